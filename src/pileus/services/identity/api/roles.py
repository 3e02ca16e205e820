"""Roles and what they imply."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.services.identity.api import options
from pileus.services.identity.api.options import Immutable
from pileus.services.identity.api.router import SEEN, api, extra, listing, missing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, EVERY, MANAGED_ROLE, SYSTEM_READER
from pileus.services.identity.api.views import role_view
from pileus.services.identity.app import granting
from pileus.services.identity.app.references import DomainId
from pileus.services.identity.model import NO_DOMAIN, Role
from pileus.services.identity.store import roles

_MANAGED = f"role:manager and ({MANAGED_ROLE})"
LIST_ROLES = Rule("identity:list_roles", f"{SYSTEM_READER} or (role:manager and not domain_id:None)", scopes=EVERY)
GET_ROLE = Rule("identity:get_role", f"{SYSTEM_READER} or ({_MANAGED})", scopes=EVERY)
CREATE_ROLE = Rule("identity:create_role", ADMIN, scopes=CLOUD)
UPDATE_ROLE = Rule("identity:update_role", ADMIN, scopes=CLOUD)
DELETE_ROLE = Rule("identity:delete_role", ADMIN, scopes=CLOUD)
LIST_DOMAIN_ROLES = Rule("identity:list_domain_roles", SYSTEM_READER, scopes=CLOUD)
GET_DOMAIN_ROLE = Rule("identity:get_domain_role", SYSTEM_READER, scopes=CLOUD)
CREATE_DOMAIN_ROLE = Rule("identity:create_domain_role", ADMIN, scopes=CLOUD)
UPDATE_DOMAIN_ROLE = Rule("identity:update_domain_role", ADMIN, scopes=CLOUD)
DELETE_DOMAIN_ROLE = Rule("identity:delete_domain_role", ADMIN, scopes=CLOUD)
GET_IMPLIED = Rule("identity:get_implied_role", SYSTEM_READER, scopes=CLOUD)
LIST_IMPLIED = Rule("identity:list_implied_roles", SYSTEM_READER, scopes=CLOUD)
CREATE_IMPLIED = Rule("identity:create_implied_role", "rule:admin_required", scopes=CLOUD)
DELETE_IMPLIED = Rule("identity:delete_implied_role", "rule:admin_required", scopes=CLOUD)
CHECK_IMPLIED = Rule("identity:check_implied_role", SYSTEM_READER, scopes=CLOUD)
LIST_INFERENCES = Rule("identity:list_role_inference_rules", SYSTEM_READER, scopes=CLOUD)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=SEEN)]
FILTERS = {"id": Role.id, "name": Role.name}


class RoleCreate(OpenBody):
    name: Name
    domain_id: DomainId | None = None
    description: str | None = None
    options: Immutable = msgspec.field(default_factory=Immutable)
    extra: Extra = {}


class RoleUpdate(OpenBody):
    name: Name | UnsetType = UNSET
    domain_id: DomainId | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    options: Immutable | UnsetType = UNSET
    extra: Extra = {}


@api.loader(Role)
def load_role(tx: Tx, ctx: Context, id: str) -> Role:
    return roles.get_role(tx, id) or missing("role", id)


def _judged(tx: Tx, ctx: Context, id: str, plain: Rule, of_domain: Rule) -> Role:
    """Return a role, judged by the rule of its kind; one that is missing has none, so it is so for everybody."""
    row = load_role(tx, ctx, id)
    ctx.require(of_domain if row.domain_id else plain, row)
    return row


@api.get("/roles", LIST_ROLES, wrap="roles", by_handler=True)
def list_roles(tx: Tx, ctx: Context, request: Request) -> Page:
    domain_id = dict(request.query_items()).get("domain_id", NO_DOMAIN)
    ctx.require(LIST_DOMAIN_ROLES if domain_id else LIST_ROLES)
    statement = roles.select_roles().where(Role.domain_id == domain_id)
    rows, marker = listing(tx, request, statement, Role, FILTERS)
    return Page([role_view(ctx, row) for row in rows], marker)


@api.get("/roles/{role}", GET_ROLE, wrap="role", by_handler=True)
def show_role(tx: Tx, ctx: Context, role: str) -> dict[str, Any]:
    return role_view(ctx, _judged(tx, ctx, role, GET_ROLE, GET_DOMAIN_ROLE))


@api.post("/roles", CREATE_ROLE, wrap="role", status=201, by_handler=True)
def create_role(tx: Tx, ctx: Context, body: RoleCreate) -> dict[str, Any]:
    ctx.require(CREATE_DOMAIN_ROLE if body.domain_id else CREATE_ROLE)
    row = granting.create_role(
        tx,
        ctx,
        name=body.name,
        domain_id=body.domain_id or NO_DOMAIN,
        description=body.description,
        options=options.new(body.options),
        extra=extra(body.extra),
    )
    return role_view(ctx, row)


@api.patch("/roles/{role}", UPDATE_ROLE, wrap="role", by_handler=True)
def update_role(tx: Tx, ctx: Context, role: str, body: RoleUpdate) -> dict[str, Any]:
    row = _judged(tx, ctx, role, UPDATE_ROLE, UPDATE_DOMAIN_ROLE)
    given = changes(body)
    kept = extra(given.pop("extra"))
    if isinstance(body.options, Immutable):
        given["options"] = options.given(body.options)
    granting.update_role(tx, ctx, row, given, kept)
    return role_view(ctx, row)


@api.delete("/roles/{role}", DELETE_ROLE, by_handler=True)
def delete_role(tx: Tx, ctx: Context, role: str) -> None:
    granting.delete_role(tx, ctx, _judged(tx, ctx, role, DELETE_ROLE, DELETE_DOMAIN_ROLE))


def _short(ctx: Context, row: Role) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": row.domain_id or None,
        "links": {"self": url(ctx, f"/roles/{row.id}")},
    }


def _inference(ctx: Context, prior: Role, implied: Any) -> dict[str, Any]:
    return {"prior_role": _short(ctx, prior), "implies": implied}


@api.get("/roles/{role}/implies", LIST_IMPLIED)
def list_implied(tx: Tx, ctx: Context, request: Request, role: Role) -> dict[str, Any]:
    rows = roles.roles_by_id(tx, roles.implications(tx).get(role.id, []))
    links = {"self": f"{ctx.base_url}{request.path}", "previous": None, "next": None}
    return {"role_inference": _inference(ctx, role, [_short(ctx, row) for row in rows.values()]), "links": links}


def _rule(tx: Tx, ctx: Context, request: Request) -> tuple[Role, Role]:
    prior, implied = (load_role(tx, ctx, request.params[name]) for name in ("role", "implied"))
    return prior, implied


def _existing(tx: Tx, ctx: Context, request: Request) -> tuple[Role, Role]:
    prior, implied = _rule(tx, ctx, request)
    if roles.get_implied(tx, prior.id, implied.id) is None:
        raise NotFound(f"{prior.id} does not imply {implied.id}.")
    return prior, implied


@api.put("/roles/{role}/implies/{implied}", CREATE_IMPLIED, status=201)
def create_implied(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    prior, implied = _rule(tx, ctx, request)
    granting.imply(tx, ctx, prior, implied)
    links = {"self": f"{ctx.base_url}{request.path}"}
    return {"role_inference": _inference(ctx, prior, _short(ctx, implied)), "links": links}


@api.get("/roles/{role}/implies/{implied}", GET_IMPLIED)
def show_implied(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    prior, implied = _existing(tx, ctx, request)
    links = {"self": f"{ctx.base_url}{request.path}"}
    return {"role_inference": _inference(ctx, prior, _short(ctx, implied)), "links": links}


@api.head("/roles/{role}/implies/{implied}", CHECK_IMPLIED)
def check_implied(tx: Tx, ctx: Context, request: Request) -> None:
    _existing(tx, ctx, request)


@api.delete("/roles/{role}/implies/{implied}", DELETE_IMPLIED)
def delete_implied(tx: Tx, ctx: Context, request: Request) -> None:
    granting.unimply(tx, ctx, *_existing(tx, ctx, request))


@api.get("/role_inferences", LIST_INFERENCES)
def list_inferences(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    rows = roles.all_roles(tx)
    found = [
        _inference(ctx, rows[prior], [_short(ctx, rows[id]) for id in implied])
        for prior, implied in roles.implications(tx).items()
    ]
    links = {"self": f"{ctx.base_url}{request.path}", "previous": None, "next": None}
    return {"role_inferences": found, "links": links}
