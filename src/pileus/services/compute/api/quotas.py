"""Quota sets, quota classes and limits."""

from typing import Any

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Extra, Query
from pileus.kernel.rest.references import SomeProject, SomeUser
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.limits import LIMITS, NETWORK_LIMITS, SERVICE, SHOWN

INJECTED = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
PATH = "/os-quota-sets/{id}"
CLASS = f"class:{quota.DEFAULT_CLASS}"


class QuotaQuery(Query, kw_only=True):
    strict_since = "2.75"

    user_id: SomeUser | None = None


class UsageQuery(Query, kw_only=True):
    strict_since = "2.75"

    tenant_id: SomeProject | None = None
    reserved: str | None = None


def _shown(ctx: Context, *, classes: bool = False) -> list[str]:
    """Return the names this version shows."""
    names = [*LIMITS]
    if classes and ctx.version < (2, 50):
        names = [name for name in names if not name.startswith("server_group")]
    if ctx.version >= (2, 57):
        names = [name for name in names if name not in INJECTED]
    if ctx.version < (2, 50 if classes else 36):
        names += NETWORK_LIMITS
    return names


def _limits(tx: Tx, ctx: Context, project_id: str, *, classes: bool = False) -> dict[str, int]:
    found = quota.limits_of(tx, project_id, SHOWN)
    return {name: found[name] for name in _shown(ctx, classes=classes)}


def _judge(ctx: Context, rule: Any, id: str) -> None:
    ctx.require(rule, {"project_id": id})


@api.get(PATH, rules.QUOTAS_SHOW, wrap="quota_set", by_handler=True)
def show(tx: Tx, ctx: Context, id: str, query: QuotaQuery) -> dict[str, Any]:
    _judge(ctx, rules.QUOTAS_SHOW, id)
    return {"id": id, **_limits(tx, ctx, id)}


@api.get(PATH + "/defaults", rules.QUOTAS_DEFAULTS, wrap="quota_set")
def defaults(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    return {"id": id, **_limits(tx, ctx, CLASS)}


@api.get(PATH + "/detail", rules.QUOTAS_DETAIL, wrap="quota_set", by_handler=True)
def detail(tx: Tx, ctx: Context, id: str, query: QuotaQuery) -> dict[str, Any]:
    _judge(ctx, rules.QUOTAS_DETAIL, id)
    used = quota.usage(tx, id, {name: limit for name, limit in LIMITS.items() if name != "key_pairs"})
    limits = _limits(tx, ctx, id)
    return {
        "id": id,
        **{name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()},
    }


@api.put(PATH, rules.QUOTAS_UPDATE, body="quota_set", wrap="quota_set")
def update(tx: Tx, ctx: Context, id: str, body: Extra) -> dict[str, Any]:
    force = body.pop("force", False) in (True, "True", "true")
    body.pop("tenant_id", None)
    values = _checked(ctx, body, _shown(ctx))
    used = quota.usage(tx, id, {name: limit for name, limit in LIMITS.items() if name != "key_pairs"})
    for name, value in values.items():
        if not force and value != quota.UNLIMITED and value < used.get(name, 0):
            raise Invalid(
                f"Quota limit {value} for {name} must be greater than or equal to already used and reserved "
                f"{used[name]}; use force to set it all the same."
            )
    quota.set_limits(tx, id, SERVICE, values)
    return _limits(tx, ctx, id)


def _checked(ctx: Context, body: Extra, known: list[str]) -> dict[str, int]:
    values = {}
    for name, value in body.items():
        if name not in known:
            raise Invalid(
                f"Invalid input for quota_set: Additional properties are not allowed ('{name}' was unexpected)."
            )
        text = str(value)
        if isinstance(value, bool) or not text.removeprefix("-").isdigit() or not -1 <= int(text) <= 0x7FFFFFFF:
            raise Invalid(f"Invalid input for {name}: {value} is not a whole number between -1 and 2147483647.")
        values[name] = int(text)
    return values


@api.delete(PATH, rules.QUOTAS_DELETE, status=202)
def delete(tx: Tx, id: str) -> None:
    quota.reset(tx, id, SERVICE)


@api.get("/os-quota-class-sets/{id}", rules.CLASSES_SHOW, wrap="quota_class_set")
def show_class(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    return {"id": id, **_limits(tx, ctx, CLASS, classes=True)}


@api.put("/os-quota-class-sets/{id}", rules.CLASSES_UPDATE, body="quota_class_set", wrap="quota_class_set")
def update_class(tx: Tx, ctx: Context, id: str, body: Extra) -> dict[str, Any]:
    if id != quota.DEFAULT_CLASS:
        raise Invalid(f"There is one quota class, '{quota.DEFAULT_CLASS}': its limits hold for every project.")
    values = _checked(ctx, body, _shown(ctx, classes=True))
    quota.set_limits(tx, CLASS, SERVICE, values)
    return _limits(tx, ctx, CLASS, classes=True)


@api.get("/limits", rules.LIMITS, wrap="limits")
def show_limits(tx: Tx, ctx: Context, query: UsageQuery) -> dict[str, Any]:
    project_id = ctx.project_id
    if query.tenant_id and query.tenant_id != project_id:
        ctx.require(rules.LIMITS_OTHER)
        project_id = query.tenant_id
    limits = quota.limits_of(tx, project_id, SHOWN)
    used = quota.usage(tx, project_id, {name: LIMITS[name] for name in ("instances", "cores", "ram", "server_groups")})
    absolute = {
        "maxTotalInstances": limits["instances"],
        "maxTotalCores": limits["cores"],
        "maxTotalRAMSize": limits["ram"],
        "maxServerMeta": limits["metadata_items"],
        "maxTotalKeypairs": limits["key_pairs"],
        "maxServerGroups": limits["server_groups"],
        "maxServerGroupMembers": limits["server_group_members"],
        "totalInstancesUsed": used["instances"],
        "totalCoresUsed": used["cores"],
        "totalRAMUsed": used["ram"],
        "totalServerGroupsUsed": used["server_groups"],
        **_old_limits(ctx, limits),
    }
    return {"rate": [], "absolute": absolute}


def _old_limits(ctx: Context, limits: dict[str, int]) -> dict[str, int]:
    found = {}
    if ctx.version < (2, 57):
        found |= {
            "maxPersonality": limits["injected_files"],
            "maxPersonalitySize": limits["injected_file_content_bytes"],
        }
    if ctx.version < (2, 39):
        found["maxImageMeta"] = limits["metadata_items"]
    if ctx.version < (2, 36):
        found |= {
            "maxTotalFloatingIps": limits["floating_ips"],
            "maxSecurityGroups": limits["security_groups"],
            "maxSecurityGroupRules": limits["security_group_rules"],
            "totalFloatingIpsUsed": 0,
            "totalSecurityGroupsUsed": 0,
        }
    return found
