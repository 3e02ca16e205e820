"""Quotas: limits of a project, and what it uses of them."""

from typing import Any

from sqlalchemy import select

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import ADMIN, ADMIN_OR_READER, Rule
from pileus.kernel.quota import QuotaLimit
from pileus.kernel.rest import Extra
from pileus.services.network.api.root import api
from pileus.services.network.app.limits import LIMITS, SERVICE

GET = Rule("get_quota", ADMIN_OR_READER, "See a project's quota.")
UPDATE = Rule("update_quota", ADMIN, "Change a project's quota.")
DELETE = Rule("delete_quota", ADMIN, "Put a project's quota back to the defaults.")


def _own(ctx: Context, project: str) -> str:
    """Return the project; its quota is not there for those who may not see it."""
    if not ctx.allows(GET, {"project_id": project}):
        ctx.require(GET)
        raise NotFound(f"Quota for project {project} could not be found.", kind="TenantQuotaNotFound")
    return project


@api.get("/quotas", UPDATE, wrap="quotas")
def list_quotas(tx: Tx, ctx: Context) -> list[dict[str, Any]]:
    chosen = select(QuotaLimit.project_id).where(QuotaLimit.service == SERVICE).distinct()
    ids = [project for project in tx.scalars(chosen) if not project.startswith("class:")]
    return [
        {"project_id": project, "tenant_id": project, **quota.limits_of(tx, project, LIMITS)} for project in sorted(ids)
    ]


@api.get("/quotas/tenant", GET, wrap="tenant")
def own_tenant(ctx: Context) -> dict[str, str]:
    return {"tenant_id": ctx.project_id, "project_id": ctx.project_id}


@api.get("/quotas/project", GET, wrap="project")
def own_project(ctx: Context) -> dict[str, str]:
    return {"tenant_id": ctx.project_id, "project_id": ctx.project_id}


@api.get("/quotas/{project}", GET, wrap="quota", by_handler=True)
def show_quota(tx: Tx, ctx: Context, project: str) -> dict[str, int]:
    return quota.limits_of(tx, _own(ctx, project), LIMITS)


@api.get("/quotas/{project}/default", GET, wrap="quota", by_handler=True)
def show_default(tx: Tx, ctx: Context, project: str) -> dict[str, int]:
    _own(ctx, project)
    return quota.limits_of(tx, f"class:{quota.DEFAULT_CLASS}", LIMITS)


@api.get("/quotas/{project}/details.json", GET, wrap="quota", by_handler=True)
def show_details_json(tx: Tx, ctx: Context, project: str) -> dict[str, dict[str, int]]:
    return show_details(tx, ctx, project)


@api.get("/quotas/{project}/details", GET, wrap="quota", by_handler=True)
def show_details(tx: Tx, ctx: Context, project: str) -> dict[str, dict[str, int]]:
    limits = quota.limits_of(tx, _own(ctx, project), LIMITS)
    used = quota.usage(tx, project, LIMITS)
    return {name: {"limit": limits[name], "used": used[name], "reserved": 0} for name in limits}


@api.put("/quotas/{project}", UPDATE, wrap="quota")
def update_quota(tx: Tx, ctx: Context, project: str, body: Extra) -> dict[str, int]:
    given = {name: value for name, value in body.items() if name not in ("project_id", "tenant_id")}
    check = given.pop("check_limit", False)
    force = given.pop("force", False)
    for name, value in given.items():
        if name not in LIMITS:
            raise Invalid(f"Unrecognized attribute(s) '{name}': the quotas are {', '.join(sorted(LIMITS))}.")
        given[name] = _limit(name, value)
    if check and not force:
        used = quota.usage(tx, project, LIMITS)
        over = [name for name, value in given.items() if 0 <= value < used[name]]
        if over:
            raise Invalid(f"Quota limit is smaller than what is used already: {', '.join(over)}.", kind="InvalidQuota")
    quota.set_limits(tx, project, SERVICE, given)
    return quota.limits_of(tx, project, LIMITS)


def _limit(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise Invalid(f"Invalid input for {name}. Reason: '{value}' is not an integer.") from None
    if not -1 <= number <= 2147483647:
        raise Invalid(f"Invalid input for {name}. Reason: '{value}' must be -1 (no limit) or more.")
    return number


@api.delete("/quotas/{project}", DELETE)
def delete_quota(tx: Tx, project: str) -> None:
    quota.reset(tx, project, SERVICE)
