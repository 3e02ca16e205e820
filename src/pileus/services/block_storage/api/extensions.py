"""What clients may rely on: the old list of extensions, and the filters each list takes."""

from typing import Any

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Query, Response, json_response
from pileus.services.block_storage.api.base import api

LIST = Rule("volume:list_extensions", policy.ANYONE)
UPDATED = "2026-04-01T00:00:00+00:00"
EXTENSIONS = {
    "OS-SCH-HNT": ("SchedulerHints", "Pass arbitrary key/value pairs to the scheduler."),
    "capabilities": ("Capabilities", "Capabilities of a storage backend."),
    "os-admin-actions": ("AdminActions", "Enable admin actions."),
    "os-availability-zone": ("AvailabilityZones", "Describe availability zones."),
    "backups": ("Backups", "Backups support."),
    "os-extended-snapshot-attributes": ("ExtendedSnapshotAttributes", "Extended snapshot attributes."),
    "os-hosts": ("Hosts", "Admin-only host administration."),
    "os-quota-class-sets": ("QuotaClasses", "Quota classes management."),
    "os-quota-sets": ("Quotas", "Quota management."),
    "os-services": ("Services", "Services support."),
    "os-snapshot-actions": ("SnapshotActions", "Update snapshot status."),
    "os-types-extra-specs": ("TypesExtraSpecs", "Types extra specs support."),
    "os-types-manage": ("TypesManage", "Types manage support."),
    "os-used-limits": ("UsedLimits", "Provide data on limited resources that are being used."),
    "os-vol-host-attr": ("VolumeHostAttribute", "Expose host as an attribute of a volume."),
    "os-vol-image-meta": ("VolumeImageMetadata", "Show image metadata associated with the volume."),
    "os-vol-mig-status-attr": ("VolumeMigStatusAttribute", "Expose migration_status as an attribute of a volume."),
    "os-vol-tenant-attr": ("VolumeTenantAttribute", "Expose the internal project_id as an attribute of a volume."),
    "os-volume-actions": ("VolumeActions", "Enable volume actions."),
    "os-volume-transfer": ("VolumeTransfer", "Volume transfer management support."),
    "os-volume-type-access": ("VolumeTypeAccess", "Volume type access support."),
    "scheduler-stats": ("Scheduler_stats", "Scheduler stats support."),
}


@api.get("/extensions", LIST, wrap="extensions")
def list_extensions() -> Response:
    return json_response({"extensions": [_describe(alias) for alias in EXTENSIONS]})


@api.get("/extensions/{alias}", LIST, wrap="extension")
def show_extension(alias: str) -> dict[str, Any]:
    if alias not in EXTENSIONS:
        raise NotFound(f"There is no extension '{alias}'.")
    return _describe(alias)


def _describe(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": UPDATED, "links": []}


FILTERS = {
    "volume": ["name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size",
               "glance_metadata", "volume_type_id"],
    "snapshot": ["name", "status", "volume_id", "metadata", "availability_zone"],
    "backup": ["name", "status", "volume_id"],
    "attachment": ["volume_id", "status", "instance_id", "attach_status"],
    "message": ["resource_uuid", "resource_type", "event_id", "request_id", "message_level"],
    "pool": ["name", "volume_type"],
    "volume_type": ["is_public"],
}  # fmt: skip


class ResourceQuery(Query):
    resource: str | None = None


@api.get("/resource_filters", LIST, wrap="resource_filters", since="3.33")
def list_filters(ctx: Context, query: ResourceQuery) -> Response:
    found = [
        {"resource": resource, "filters": filters}
        for resource, filters in FILTERS.items()
        if query.resource in (None, resource)
    ]
    return json_response({"resource_filters": found})
