"""Registered limits, and the limits that override them for a project or a domain."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Page, Request, at_most, changes
from pileus.kernel.rest.bounds import WIDTH
from pileus.kernel.rest.limits import LimitSettings, check_bulk
from pileus.kernel.rest.references import Refers
from pileus.services.identity.api.router import SEEN, api, listing, missing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, EVERY, SYSTEM_READER
from pileus.services.identity.app import limits as app
from pileus.services.identity.app.limits import NewLimit, Resource
from pileus.services.identity.model import IdentitySettings
from pileus.services.identity.model.limits import NONE, Limit, RegisteredLimit
from pileus.services.identity.store import limits, projects

GET_REGISTERED = Rule("identity:get_registered_limit", policy.ANYONE, scopes=EVERY)
LIST_REGISTERED = Rule("identity:list_registered_limits", policy.ANYONE, scopes=EVERY)
CREATE_REGISTERED = Rule("identity:create_registered_limits", ADMIN, scopes=CLOUD)
UPDATE_REGISTERED = Rule("identity:update_registered_limit", ADMIN, scopes=CLOUD)
DELETE_REGISTERED = Rule("identity:delete_registered_limit", ADMIN, scopes=CLOUD)
GET_MODEL = Rule("identity:get_limit_model", policy.ANYONE, scopes=EVERY)
GET = Rule(
    "identity:get_limit",
    f"{SYSTEM_READER} or domain_id:%(target.limit.domain.id)s or domain_id:%(target.limit.project.domain_id)s or "
    "project_id:%(target.limit.project.id)s",
    scopes=EVERY,
)
LIST = Rule("identity:list_limits", policy.ANYONE, scopes=EVERY)
CREATE = Rule("identity:create_limits", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_limit", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_limit", ADMIN, scopes=CLOUD)

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")]
ServiceId = Annotated[Id, Refers("service", loaded=False)]
ProjectId = Annotated[Id, Refers("project", loaded=False)]
DomainId = Annotated[Id, Refers("domain", loaded=False)]
RegionId = Annotated[str, msgspec.Meta(min_length=1, max_length=255), Refers("region", loaded=False)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=SEEN)]
Count = Annotated[int, msgspec.Meta(ge=-1, le=0x7FFFFFFF)]
Text = Annotated[str, msgspec.Meta(max_length=255)]
OF_RESOURCE = {
    "service_id": RegisteredLimit.service_id,
    "region_id": RegisteredLimit.region_id,
    "resource_name": RegisteredLimit.resource_name,
}
REGISTERED_FILTERS = {"id": RegisteredLimit.id, **OF_RESOURCE}
FILTERS = {"id": Limit.id, "project_id": Limit.project_id, "domain_id": Limit.domain_id, **OF_RESOURCE}


class RegisteredCreate(Body):
    service_id: ServiceId
    resource_name: Name
    default_limit: Count
    region_id: RegionId | None = None
    description: Text | None = None


class RegisteredUpdate(Body):
    service_id: ServiceId | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    resource_name: Name | UnsetType = UNSET
    default_limit: Count | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class LimitCreate(Body):
    service_id: ServiceId
    resource_name: Name
    resource_limit: Count
    project_id: ProjectId | None = None
    domain_id: DomainId | None = None
    region_id: RegionId | None = None
    description: Text | None = None


class LimitUpdate(Body):
    resource_limit: Count | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


Registered = Annotated[list[RegisteredCreate], at_most(WIDTH, 1)]
Limits = Annotated[list[LimitCreate], at_most(WIDTH, 1)]


@api.loader(RegisteredLimit)
def load_registered_limit(tx: Tx, ctx: Context, id: str) -> RegisteredLimit:
    return limits.get_registered_limit(tx, id) or missing("registered limit", id)


@api.loader(Limit)
def load_limit(tx: Tx, ctx: Context, id: str) -> Limit:
    return limits.get_limit(tx, id) or missing("limit", id)


def _registered_view(ctx: Context, row: RegisteredLimit) -> dict[str, Any]:
    return {
        "id": row.id,
        "service_id": row.service_id,
        "region_id": row.region_id or None,
        "resource_name": row.resource_name,
        "default_limit": row.default_limit,
        "description": row.description,
        "links": {"self": url(ctx, f"/registered_limits/{row.id}")},
    }


def _views(tx: Tx, ctx: Context, rows: list[Limit]) -> list[dict[str, Any]]:
    registered = limits.registered_limits_by_id(tx, (row.registered_limit_id for row in rows))
    return [
        {
            "id": row.id,
            "project_id": row.project_id or None,
            "domain_id": row.domain_id or None,
            "service_id": registered[row.registered_limit_id].service_id,
            "region_id": registered[row.registered_limit_id].region_id or None,
            "resource_name": registered[row.registered_limit_id].resource_name,
            "resource_limit": row.resource_limit,
            "description": row.description,
            "links": {"self": url(ctx, f"/limits/{row.id}")},
        }
        for row in rows
    ]


@api.get("/registered_limits", LIST_REGISTERED, wrap="registered_limits")
def list_registered_limits(tx: Tx, ctx: Context, request: Request) -> Page:
    statement = limits.select_registered_limits()
    rows, marker = listing(tx, request, statement, RegisteredLimit, REGISTERED_FILTERS)
    return Page([_registered_view(ctx, row) for row in rows], marker)


@api.post("/registered_limits", CREATE_REGISTERED, wrap="registered_limits", status=201)
def create_registered_limits(tx: Tx, ctx: Context, body: Registered, budget: LimitSettings) -> list[dict[str, Any]]:
    check_bulk(len(body), budget)
    rows = [
        app.register(
            tx, Resource(one.service_id, one.region_id or NONE, one.resource_name), one.default_limit, one.description
        )
        for one in body
    ]
    return [_registered_view(ctx, row) for row in rows]


@api.get("/registered_limits/{registered_limit}", GET_REGISTERED, wrap="registered_limit")
def show_registered_limit(ctx: Context, registered_limit: RegisteredLimit) -> dict[str, Any]:
    return _registered_view(ctx, registered_limit)


@api.patch("/registered_limits/{registered_limit}", UPDATE_REGISTERED, wrap="registered_limit")
def update_registered_limit(
    tx: Tx, ctx: Context, registered_limit: RegisteredLimit, body: RegisteredUpdate
) -> dict[str, Any]:
    row, given = registered_limit, changes(body)
    resource = Resource(
        given.get("service_id", row.service_id),
        given.get("region_id", row.region_id) or NONE,
        given.get("resource_name", row.resource_name),
    )
    default, text = given.get("default_limit", row.default_limit), given.get("description", row.description)
    app.update_registered(tx, row, resource, default, text)
    return _registered_view(ctx, row)


@api.delete("/registered_limits/{registered_limit}", DELETE_REGISTERED)
def delete_registered_limit(tx: Tx, registered_limit: RegisteredLimit) -> None:
    app.delete_registered(tx, registered_limit)


@api.get("/limits/model", GET_MODEL, wrap="model")
def show_model(settings: IdentitySettings) -> dict[str, Any]:
    return {"name": settings.limit_model, "description": app.MODELS[settings.limit_model]}


@api.get("/limits", LIST, wrap="limits")
def list_limits(tx: Tx, ctx: Context, request: Request) -> Page:
    statement = limits.select_limits()
    if not (ctx.is_admin or ctx.caller.system or "service" in ctx.roles):
        if ctx.domain_id:
            statement = limits.within_domain(statement, ctx.domain_id)
        else:
            statement = statement.where(Limit.project_id == (ctx.project_id or "-"))
    rows, marker = listing(tx, request, statement, Limit, FILTERS)
    return Page(_views(tx, ctx, rows), marker)


@api.post("/limits", CREATE, wrap="limits", status=201)
def create_limits(
    tx: Tx, ctx: Context, settings: IdentitySettings, body: Limits, budget: LimitSettings
) -> list[dict[str, Any]]:
    check_bulk(len(body), budget)
    return _views(tx, ctx, app.create(tx, settings, [_asked(one) for one in body]))


def _asked(one: LimitCreate) -> NewLimit:
    owner_id = one.project_id or one.domain_id
    if owner_id is None or (one.project_id and one.domain_id):
        raise Invalid("A limit must have either a project_id or a domain_id.")
    resource = Resource(one.service_id, one.region_id or NONE, one.resource_name)
    return NewLimit(resource, owner_id, one.resource_limit, one.description)


@api.get("/limits/{limit}", GET, wrap="limit", by_handler=True)
def show_limit(tx: Tx, ctx: Context, limit: str) -> dict[str, Any]:
    row = limits.get_limit(tx, limit)
    project = projects.get_project(tx, row.project_id) if row is not None else None
    of_domain = row.domain_id if row is not None else NONE
    ctx.require(GET, {"target": {"limit": {"domain": {"id": of_domain or None}, "project": project}}})
    return _views(tx, ctx, [row or missing("limit", limit)])[0]


@api.patch("/limits/{limit}", UPDATE, wrap="limit")
def update_limit(tx: Tx, ctx: Context, settings: IdentitySettings, limit: Limit, body: LimitUpdate) -> dict[str, Any]:
    given = changes(body)
    value, text = given.get("resource_limit", limit.resource_limit), given.get("description", limit.description)
    app.update(tx, settings, limit, value, text)
    return _views(tx, ctx, [limit])[0]


@api.delete("/limits/{limit}", DELETE)
def delete_limit(tx: Tx, limit: Limit) -> None:
    tx.delete(limit)
