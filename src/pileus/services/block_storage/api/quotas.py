"""Quota sets, quota classes and limits."""

from typing import Any

from pileus.kernel import policy, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, Query
from pileus.kernel.rest.references import SomeProject
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import boolean
from pileus.services.block_storage.app import quotas
from pileus.services.block_storage.model import DEFAULT_QUOTAS

SHOW = Rule("volume_extension:quotas:show", policy.ADMIN_OR_READER)
UPDATE = Rule("volume_extension:quotas:update", policy.ADMIN)
DELETE = Rule("volume_extension:quotas:delete", policy.ADMIN)
CLASSES_SHOW = Rule("volume_extension:quota_classes:get", policy.ADMIN)
CLASSES_UPDATE = Rule("volume_extension:quota_classes:update", policy.ADMIN)
LIMITS = Rule("limits_extension:used_limits", policy.ADMIN_OR_READER)
LARGEST = 0x7FFFFFFF


class UsageQuery(Query):
    usage: str | None = None


def _require(ctx: Context, project_id: str) -> None:
    ctx.require(SHOW, {"project_id": project_id})


@api.get("/os-quota-sets/{project}", SHOW, wrap="quota_set", by_handler=True)
def show(tx: Tx, ctx: Context, project: str, query: UsageQuery) -> dict[str, Any]:
    _require(ctx, project)
    limits = quotas.all_limits(tx)
    in_force = quota.limits_of(tx, project, limits)
    if not boolean(query.usage, "usage", default=False):
        return {"id": project, **in_force}
    used = quota.usage(tx, project, limits)
    return {
        "id": project,
        **{name: {"limit": limit, "in_use": used[name], "reserved": 0} for name, limit in in_force.items()},
    }


@api.get("/os-quota-sets/{project}/defaults", SHOW, wrap="quota_set", by_handler=True)
def show_defaults(tx: Tx, ctx: Context, project: str) -> dict[str, Any]:
    _require(ctx, project)
    return {"id": project, **quota.limits_of(tx, quotas.CLASS, quotas.all_limits(tx))}


@api.put("/os-quota-sets/{project}", UPDATE, wrap="quota_set")
def update(tx: Tx, project: str, body: Extra) -> dict[str, int]:
    quota.set_limits(tx, project, quotas.SERVICE, _read(tx, body))
    return quota.limits_of(tx, project, quotas.all_limits(tx))


@api.delete("/os-quota-sets/{project}", DELETE, status=200)
def delete(tx: Tx, project: str) -> None:
    quota.reset(tx, project, quotas.SERVICE)


def _read(tx: Tx, body: Extra) -> dict[str, int]:
    known = quotas.all_limits(tx)
    found: dict[str, int] = {}
    for name, value in body.items():
        if name in ("tenant_id", "project_id", "force", "id", "class_name"):
            continue
        if name not in known:
            raise Invalid(f"Bad key(s) in quota set: {name}. Known: {', '.join(sorted(DEFAULT_QUOTAS))}.")
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise Invalid(f"Invalid input for field '{name}': '{value}' is not an integer.") from None
        if isinstance(value, bool) or not -1 <= number <= LARGEST:
            raise Invalid(
                f"Invalid input for field '{name}': {value} must be -1 (no limit) or a number up to {LARGEST}."
            )
        found[name] = number
    return found


@api.get("/os-quota-class-sets/{name}", CLASSES_SHOW, wrap="quota_class_set")
def show_class(tx: Tx, name: str) -> dict[str, Any]:
    return {"id": _class(name), **quota.limits_of(tx, quotas.CLASS, quotas.all_limits(tx))}


@api.put("/os-quota-class-sets/{name}", CLASSES_UPDATE, wrap="quota_class_set")
def update_class(tx: Tx, name: str, body: Extra) -> dict[str, int]:
    _class(name)
    quota.set_limits(tx, quotas.CLASS, quotas.SERVICE, _read(tx, body))
    return quota.limits_of(tx, quotas.CLASS, quotas.all_limits(tx))


def _class(name: str) -> str:
    if name != quota.DEFAULT_CLASS:
        raise NotFound(f"Quota class {name} could not be found: there is one, '{quota.DEFAULT_CLASS}'.")
    return name


class LimitsQuery(Query):
    project_id: SomeProject | None = None
    tenant_id: SomeProject | None = None


@api.get("/limits", LIMITS, wrap="limits")
def show_limits(tx: Tx, ctx: Context, query: LimitsQuery) -> dict[str, Any]:
    other = query.project_id or query.tenant_id
    project = other if other and ctx.is_admin and ctx.version >= (3, 39) else ctx.project_id
    limits, used = quota.limits_of(tx, project, quotas.BASE), quota.usage(tx, project, quotas.BASE)
    return {
        "rate": [],
        "absolute": {
            "maxTotalVolumes": limits["volumes"],
            "maxTotalVolumeGigabytes": limits["gigabytes"],
            "maxTotalSnapshots": limits["snapshots"],
            "maxTotalBackups": limits["backups"],
            "maxTotalBackupGigabytes": limits["backup_gigabytes"],
            "totalVolumesUsed": used["volumes"],
            "totalGigabytesUsed": used["gigabytes"],
            "totalSnapshotsUsed": used["snapshots"],
            "totalBackupsUsed": used["backups"],
            "totalBackupGigabytesUsed": used["backup_gigabytes"],
        },
    }
