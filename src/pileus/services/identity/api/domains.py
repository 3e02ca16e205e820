"""Domains."""

from typing import Annotated, Any, NewType, cast

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, at_most, changes
from pileus.services.identity.api import options
from pileus.services.identity.api.options import Immutable
from pileus.services.identity.api.router import SEEN, api, extra, listing, missing
from pileus.services.identity.api.rules import CLOUD, EVERY, SYSTEM_READER, seen_domain
from pileus.services.identity.api.views import domain_view
from pileus.services.identity.app import tenancy
from pileus.services.identity.model import Project
from pileus.services.identity.store import projects

LIST_DOMAINS = Rule(
    "identity:list_domains", f"{SYSTEM_READER} or (role:reader and domain_id:%(target.domain_id)s)", scopes=EVERY
)
GET_DOMAIN = Rule(
    "identity:get_domain",
    f"{SYSTEM_READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s",
    scopes=EVERY,
)
CREATE_DOMAIN = Rule("identity:create_domain", "rule:admin_required", scopes=CLOUD)
UPDATE_DOMAIN = Rule("identity:update_domain", "rule:admin_required", scopes=CLOUD)
DELETE_DOMAIN = Rule("identity:delete_domain", "rule:admin_required", scopes=CLOUD)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=SEEN)]
Tags = Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]], at_most(80)]
FILTERS = {"id": Project.id, "name": Project.name, "enabled": Project.enabled}


class DomainCreate(OpenBody):
    name: Name
    description: str | None = None
    enabled: bool = True
    tags: Tags = []
    options: Immutable = msgspec.field(default_factory=Immutable)
    explicit_domain_id: str | None = None
    extra: Extra = {}


class DomainUpdate(OpenBody):
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Immutable | UnsetType = UNSET
    extra: Extra = {}


Domain = NewType("Domain", Project)
"""A project row that is a domain: handlers ask for it by this type, so that a plain project is not found."""


def load_domain(tx: Tx, ctx: Context, id: str) -> Project:
    return projects.get_domain(tx, id) or missing("domain", id)


api.loaders[cast(type, Domain)] = load_domain


@api.get("/domains", LIST_DOMAINS, wrap="domains")
def list_domains(tx: Tx, ctx: Context, request: Request) -> Page:
    statement = projects.select_projects(is_domain=True)
    if (domain := seen_domain(ctx)) is not None:
        statement = statement.where(Project.id == domain)
    rows, marker = listing(tx, request, statement, Project, FILTERS)
    tags = projects.tags_of(tx, [row.id for row in rows])
    return Page([domain_view(ctx, row, tags.get(row.id)) for row in rows], marker)


@api.get("/domains/{domain}", GET_DOMAIN, wrap="domain")
def show_domain(tx: Tx, ctx: Context, domain: Domain) -> dict[str, Any]:
    return domain_view(ctx, domain, projects.tags_of(tx, [domain.id]).get(domain.id))


def create_as_project(tx: Tx, ctx: Context, **more: Any) -> Project:
    """Add a domain that was asked for as a project with ``is_domain``."""
    ctx.require(CREATE_DOMAIN)
    return tenancy.create_domain(tx, ctx, **more)


@api.post("/domains", CREATE_DOMAIN, wrap="domain", status=201)
def create_domain(tx: Tx, ctx: Context, body: DomainCreate) -> dict[str, Any]:
    if body.explicit_domain_id is not None and not ids.is_uuid(body.explicit_domain_id):
        raise Invalid("explicit_domain_id must be a UUID in hexadecimal digits.")
    row = tenancy.create_domain(
        tx,
        ctx,
        name=body.name,
        tags=body.tags,
        id=body.explicit_domain_id,
        description=body.description or "",
        enabled=body.enabled,
        options=options.new(body.options),
        extra=extra(body.extra),
    )
    return domain_view(ctx, row, sorted(set(body.tags)))


@api.patch("/domains/{domain}", UPDATE_DOMAIN, wrap="domain", by_handler=True)
def update_domain(tx: Tx, ctx: Context, domain: Domain, body: DomainUpdate) -> dict[str, Any]:
    ctx.require(UPDATE_DOMAIN, domain)
    given = changes(body)
    kept = extra(given.pop("extra"))
    if isinstance(body.options, Immutable):
        given["options"] = options.given(body.options)
    tenancy.update_project(tx, ctx, domain, given, kept)
    return show_domain(tx, ctx, domain)


@api.delete("/domains/{domain}", DELETE_DOMAIN)
def delete_domain(tx: Tx, ctx: Context, domain: Domain) -> None:
    tenancy.delete_domain(tx, ctx, domain)
