"""Quotas: those in force for the caller's project, and those that administrators set for projects."""

from typing import Annotated, Any

import msgspec

from pileus.dialects.barbican import paged, parse
from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Request
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import ADMIN, READER
from pileus.services.key_manager.store import quotas as store
from pileus.services.key_manager.store.things import LIMITS

GET = Rule("quotas:get", READER)
GET_PROJECT, PUT_PROJECT, DELETE_PROJECT = (Rule(f"project_quotas:{verb}", ADMIN) for verb in ("get", "put", "delete"))
Amount = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None


class Quotas(Body):
    secrets: Amount = None
    orders: Amount = None
    containers: Amount = None
    consumers: Amount = None
    cas: Amount = None


def configured(found: dict[str, int]) -> dict[str, int | None]:
    """Return what is set for a project; what is not is null."""
    return {name: found.get(name) for name in LIMITS}


def not_found(project_id: str) -> NotFound:
    return NotFound(f"Project quotas not found: none are set for project {project_id}, it has the defaults.")


@api.get("/quotas", GET, wrap="quotas")
def show_quotas(tx: Tx, ctx: Context) -> dict[str, int]:
    return quota.limits_of(tx, ctx.project_id, LIMITS)


@api.get("/project-quotas", GET_PROJECT)
def list_project_quotas(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    query = parse(request.query_items())
    found = store.list_limits(tx, query)
    views = [{"project_id": id, "project_quotas": configured(values)} for id, values in found.items()]
    return paged("project_quotas", views, query, request, ctx)


@api.get("/project-quotas/{project}", GET_PROJECT, wrap="project_quotas")
def show_project_quotas(tx: Tx, project: str) -> dict[str, int | None]:
    found = store.own_limits(tx, [project]).get(project)
    if not found:
        raise not_found(project)
    return configured(found)


@api.put("/project-quotas/{project}", PUT_PROJECT, body="project_quotas", status=204)
def set_project_quotas(tx: Tx, project: str, body: Quotas) -> None:
    """Set the quotas of a project anew: below zero is without limit, what is left out is the default."""
    quota.reset(tx, project, "key_manager")
    given = {name: max(value, -1) for name, value in msgspec.to_builtins(body).items() if value is not None}
    quota.set_limits(tx, project, "key_manager", given)


@api.delete("/project-quotas/{project}", DELETE_PROJECT)
def delete_project_quotas(tx: Tx, project: str) -> None:
    if not store.own_limits(tx, [project]):
        raise not_found(project)
    quota.reset(tx, project, "key_manager")
