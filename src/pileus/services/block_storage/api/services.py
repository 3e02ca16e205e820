"""What runs where: services, hosts, pools, capabilities, availability zones."""

from typing import Annotated, Any

import msgspec

from pileus.kernel import clock, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody, Query, View, since
from pileus.kernel.rest.references import SomeHost
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import boolean
from pileus.services.block_storage.api.references import SomeType
from pileus.services.block_storage.model import DEFAULT_ZONE, ServiceFlags
from pileus.services.block_storage.operations.scheduling import VENDOR
from pileus.services.block_storage.store import backends, volumes
from pileus.services.block_storage.store.backends import VOLUME_BINARY, Backend

LIST = Rule("volume_extension:services:index", policy.ADMIN)
UPDATE = Rule("volume_extension:services:update", policy.ADMIN)
HOSTS = Rule("volume_extension:hosts", policy.ADMIN)
POOLS = Rule("scheduler_extension:scheduler_stats:get_pools", policy.ADMIN)
CAPABILITIES = Rule("volume_extension:capabilities", policy.ADMIN)
ZONES = Rule("volume:availability_zone_list", policy.ANYONE)
SCHEDULER_BINARY = "cinder-scheduler"
VERSION = "1.0"


class ServiceView(View):
    binary: str
    host: str
    zone: str
    status: str
    state: str
    updated_at: str
    disabled_reason: str | None
    cluster: Annotated[str | msgspec.UnsetType | None, since("3.7")] = None
    replication_status: str | msgspec.UnsetType = msgspec.UNSET
    active_backend_id: str | msgspec.UnsetType | None = msgspec.UNSET
    frozen: bool | msgspec.UnsetType = msgspec.UNSET
    backend_state: Annotated[str | msgspec.UnsetType, since("3.49")] = msgspec.UNSET


class ServiceQuery(Query):
    host: SomeHost | None = None
    binary: str | None = None


def _services(tx: Tx) -> list[ServiceView]:
    found = []
    scheduler = backends.flags_of(tx, SCHEDULER_BINARY)
    for backend in backends.list_backends(tx):
        said = scheduler.get(backend.host)
        found.append(_view(SCHEDULER_BINARY, backend.host, backend, said.disabled if said else False, said))
        view = _view(VOLUME_BINARY, backend.name, backend, backend.disabled, None)
        view.disabled_reason = backend.disabled_reason
        view.replication_status, view.active_backend_id, view.frozen = "disabled", None, backend.frozen
        view.backend_state = "up" if backend.up and backend.facts.error is None else "down"
        found.append(view)
    return found


def _view(binary: str, host: str, backend: Backend, disabled: bool, said: ServiceFlags | None) -> ServiceView:
    return ServiceView(
        binary=binary,
        host=host,
        zone=DEFAULT_ZONE,
        status="disabled" if disabled else "enabled",
        state="up" if backend.up else "down",
        updated_at=clock.iso_micro(backend.seen_at),
        disabled_reason=said.disabled_reason if said else None,
    )


@api.get("/os-services", LIST, wrap="services")
def list_services(tx: Tx, query: ServiceQuery) -> list[ServiceView]:
    return [
        view
        for view in _services(tx)
        if query.binary in (None, view.binary) and (query.host is None or view.host.partition("@")[0] in _names(query))
    ]


def _names(query: ServiceQuery) -> tuple[str, ...]:
    return ((query.host or "").partition("@")[0],)


class ServiceUpdate(OpenBody):
    host: SomeHost | None = None
    binary: str | None = None
    service: str | None = None
    disabled_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    cluster: str | None = None


@api.put("/os-services/{verb}", UPDATE, body="")
def update_service(tx: Tx, verb: str, body: ServiceUpdate) -> dict[str, Any] | None:
    if verb not in ("enable", "disable", "disable-log-reason", "freeze", "thaw"):
        raise NotFound(f"There is no service action '{verb}'.")
    if not body.host:
        raise Invalid("Missing required element 'host' in request body.")
    if verb in ("freeze", "thaw"):
        if body.host not in {backend.name for backend in backends.list_backends(tx)}:
            raise Invalid(f"Host {body.host} could not be found: it has no volume backend.")
        flags = _flags(tx, VOLUME_BINARY, body.host)
        flags.frozen = verb == "freeze"
        return {}
    binary = body.binary or body.service
    if not binary:
        raise Invalid("Missing required element 'binary' in request body.")
    if verb == "disable-log-reason" and not body.disabled_reason:
        raise Invalid("Missing required element 'disabled_reason' in request body.")
    flags = _flags(tx, binary, body.host)
    flags.disabled, flags.updated_at = verb != "enable", clock.now()
    flags.disabled_reason = body.disabled_reason if verb == "disable-log-reason" else None
    status = "disabled" if flags.disabled else "enabled"
    answer = {"host": body.host, "service": binary, "binary": binary, "disabled": flags.disabled, "status": status}
    return answer if verb == "disable" else {**answer, "disabled_reason": flags.disabled_reason}


def _flags(tx: Tx, binary: str, host: str) -> ServiceFlags:
    if not any(view.binary == binary and view.host == host for view in _services(tx)):
        raise NotFound(f"Service {binary} could not be found on host {host}.")
    found = tx.get(ServiceFlags, (binary, host))
    if found is None:
        found = ServiceFlags(
            binary=binary, host=host, disabled=False, disabled_reason=None, frozen=False, updated_at=clock.now()
        )
        tx.add(found)
    return found


@api.get("/os-hosts", HOSTS, wrap="hosts")
def list_hosts(tx: Tx) -> list[dict[str, Any]]:
    return [
        {
            "host_name": view.host,
            "service": view.binary,
            "zone": view.zone,
            "service-status": "available" if view.state == "up" else "unavailable",
            "service-state": view.status,
            "last-update": view.updated_at,
        }
        for view in _services(tx)
    ]


@api.get("/os-hosts/{host}", HOSTS, wrap="host")
def show_host(tx: Tx, ctx: Context, host: str) -> list[dict[str, Any]]:
    backend = next((found for found in backends.list_backends(tx) if found.name == host), None)
    if backend is None:
        raise NotFound(f"Host {host} could not be found: it runs no cinder-volume service.")
    found = volumes.use_of_pool(tx, backend.pool)
    count, size = sum(use.volumes for use in found), sum(use.volume_gib for use in found)
    snapshots, snapshot_size = sum(use.snapshots for use in found), sum(use.snapshot_gib for use in found)
    entries = [_use(host, "(total)", count, size, snapshots, snapshot_size)]
    entries += [_use(host, u.project_id, u.volumes, u.volume_gib, u.snapshots, u.snapshot_gib) for u in found]
    return entries


def _use(host: str, project: str, count: int, size: int, snapshots: int, snapshot_size: int) -> dict[str, Any]:
    return {
        "resource": {
            "host": host,
            "project": project,
            "volume_count": str(count),
            "total_volume_gb": str(size),
            "snapshot_count": str(snapshots),
            "total_snapshot_gb": str(snapshot_size),
        }
    }


class PoolQuery(Query):
    detail: str | None = None
    name: str | None = None
    volume_type: SomeType | None = None


@api.get("/scheduler-stats/get_pools", POOLS, wrap="pools")
def list_pools(tx: Tx, query: PoolQuery) -> list[dict[str, Any]]:
    found = [
        backend
        for backend in backends.list_backends(tx)
        if backend.up and backend.facts.error is None and query.name in (None, backend.pool)
    ]
    if not boolean(query.detail, "detail", default=False):
        return [{"name": backend.pool} for backend in found]
    return [{"name": backend.pool, "capabilities": _capabilities(backend)} for backend in found]


def _capabilities(backend: Backend) -> dict[str, Any]:
    facts = backend.facts
    return {
        "volume_backend_name": facts.driver,
        "vendor_name": VENDOR,
        "driver_version": VERSION,
        "storage_protocol": facts.storage_protocol,
        "total_capacity_gb": facts.total_gib,
        "free_capacity_gb": facts.free_gib,
        "allocated_capacity_gb": facts.provisioned_gib,
        "provisioned_capacity_gb": facts.provisioned_gib,
        "reserved_percentage": 0,
        "QoS_support": False,
        "thin_provisioning_support": True,
        "multiattach": False,
        "timestamp": clock.iso_micro(backend.seen_at),
        "updated": None,
    }


@api.get("/capabilities/{host}", CAPABILITIES)
def show_capabilities(tx: Tx, host: str) -> dict[str, Any]:
    backend = next((found for found in backends.list_backends(tx) if host in (found.name, found.pool)), None)
    if backend is None:
        raise NotFound(f"Host {host} could not be found: it has no volume backend.")
    return {
        "namespace": f"OS::Storage::Capabilities::{backend.name}",
        "vendor_name": VENDOR,
        "volume_backend_name": backend.facts.driver,
        "pool_name": backend.facts.driver,
        "driver_version": VERSION,
        "storage_protocol": backend.facts.storage_protocol,
        "display_name": "qcow2 files",
        "description": "Volumes as thin qcow2 files in one directory of the host",
        "visibility": "public",
        "replication_targets": [],
        "properties": {
            "thin_provisioning": {
                "title": "Thin Provisioning",
                "description": "Space is taken as it is written.",
                "type": "boolean",
            }
        },
    }


@api.get("/os-availability-zone", ZONES, wrap="availabilityZoneInfo")
def list_zones(tx: Tx) -> list[dict[str, Any]]:
    there = any(backend.up and not backend.disabled for backend in backends.list_backends(tx))
    return [{"zoneName": DEFAULT_ZONE, "zoneState": {"available": there}}]
