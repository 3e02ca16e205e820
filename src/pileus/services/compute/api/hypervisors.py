"""Hypervisors: the hosts that run servers, with what they have and what of it is used."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Page, Query, View, page_size, since, until
from pileus.services.compute import inventory
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.api.flavors import as_bool
from pileus.services.compute.model import Host
from pileus.services.compute.store import hosts
from pileus.services.compute.store import servers as store

GONE = "2.87"
"""The last version with statistics, uptime and the sizes of hosts; later ones ask Placement for them."""


class HypervisorView(View, kw_only=True):
    id: int | str
    hypervisor_hostname: str
    state: str
    status: str
    servers: Annotated[list[dict[str, str]] | UnsetType, since("2.53")] = UNSET
    service: dict[str, Any] | UnsetType = UNSET
    host_ip: str | UnsetType = UNSET
    hypervisor_type: str | UnsetType = UNSET
    hypervisor_version: int | UnsetType = UNSET
    uptime: Annotated[str | UnsetType | None, since("2.88")] = UNSET
    cpu_info: Annotated[Any, until(GONE)] = UNSET
    current_workload: Annotated[int | UnsetType, until(GONE)] = UNSET
    disk_available_least: Annotated[int | UnsetType, until(GONE)] = UNSET
    free_disk_gb: Annotated[int | UnsetType, until(GONE)] = UNSET
    free_ram_mb: Annotated[int | UnsetType, until(GONE)] = UNSET
    local_gb: Annotated[int | UnsetType, until(GONE)] = UNSET
    local_gb_used: Annotated[int | UnsetType, until(GONE)] = UNSET
    memory_mb: Annotated[int | UnsetType, until(GONE)] = UNSET
    memory_mb_used: Annotated[int | UnsetType, until(GONE)] = UNSET
    running_vms: Annotated[int | UnsetType, until(GONE)] = UNSET
    vcpus: Annotated[int | UnsetType, until(GONE)] = UNSET
    vcpus_used: Annotated[int | UnsetType, until(GONE)] = UNSET


class HypervisorQuery(Query, kw_only=True):
    strict_since = "2.53"

    limit: int | None = None
    marker: str | None = None
    hypervisor_hostname_pattern: str | None = None
    with_servers: str | None = None


def _id(ctx: Context, host: Host) -> int | str:
    return host.id if ctx.version >= (2, 53) else host.number


def _brief(ctx: Context, host: Host, alive: set[str]) -> HypervisorView:
    return HypervisorView(
        id=_id(ctx, host),
        hypervisor_hostname=host.name,
        state="up" if host.name in alive else "down",
        status="disabled" if host.disabled else "enabled",
    )


def _listed(tx: Tx, query: HypervisorQuery) -> tuple[list[Host], str | None]:
    found = hosts.list_hosts(tx)
    if query.hypervisor_hostname_pattern is not None:
        found = [host for host in found if query.hypervisor_hostname_pattern in host.name]
        if not found:
            raise NotFound(f"No hypervisor matching '{query.hypervisor_hostname_pattern}' could be found.")
    if query.marker is not None:
        at = next((n for n, host in enumerate(found) if query.marker in (host.id, str(host.number))), None)
        if at is None:
            raise Invalid(f"marker [{query.marker}] not found: it must be the id of a hypervisor.")
        found = found[at + 1 :]
    size = page_size(tx, query.limit)
    return found[:size], found[size - 1].id if 0 < size < len(found) else None


def _detailed(tx: Tx, ctx: Context, found: list[Host], *, with_servers: bool = False) -> list[HypervisorView]:
    rooms = inventory.rooms(tx, only=[host.id for host in found])
    alive, counts = hosts.alive(tx), store.count_by_host(tx)
    facts = hosts.facts(tx, [host.name for host in found])
    views = []
    for host in found:
        view = _brief(ctx, host, alive)
        _fill(ctx, view, host, rooms.get(host.id, inventory.NO_ROOM), facts.get(host.name, {}))
        view.running_vms = counts.get(host.name, 0)
        if with_servers:
            view.servers = [{"uuid": server.id, "name": server.name} for server in store.list_of_host(tx, host.name)]
        views.append(view)
    return views


def _fill(ctx: Context, view: HypervisorView, host: Host, room: inventory.Room, facts: dict[str, Any]) -> None:
    number = _id(ctx, host)
    view.service = {"host": host.name, "id": number, "disabled_reason": host.disabled_reason}
    view.host_ip = str(facts.get("host_ip", "127.0.0.1"))
    view.hypervisor_type = str(facts.get("hypervisor_type", "unknown"))
    view.hypervisor_version = int(facts.get("hypervisor_version", 0))
    view.uptime = None
    info = facts.get("cpu_info", {})
    view.cpu_info = info if ctx.version >= (2, 28) else msgspec.json.encode(info).decode()
    view.current_workload = 0
    view.vcpus, view.vcpus_used = room.total.get("VCPU", 0), room.used.get("VCPU", 0)
    view.memory_mb, view.memory_mb_used = room.total.get("MEMORY_MB", 0), room.used.get("MEMORY_MB", 0)
    view.free_ram_mb = view.memory_mb - view.memory_mb_used
    view.local_gb, view.local_gb_used = room.total.get("DISK_GB", 0), room.used.get("DISK_GB", 0)
    view.free_disk_gb = view.local_gb - view.local_gb_used
    view.disk_available_least = int(facts.get("disk_free_gib", 0))


@api.get("/os-hypervisors", rules.HYPERVISORS_LIST, wrap="hypervisors")
def index(tx: Tx, ctx: Context, query: HypervisorQuery) -> Page:
    found, marker = _listed(tx, query)
    alive = hosts.alive(tx)
    views = [_brief(ctx, host, alive) for host in found]
    if as_bool(query.with_servers, "with_servers"):
        for host, view in zip(found, views, strict=True):
            view.servers = [{"uuid": server.id, "name": server.name} for server in store.list_of_host(tx, host.name)]
    return Page(views, marker if ctx.version >= (2, 33) else None)


@api.get("/os-hypervisors/detail", rules.HYPERVISORS_DETAIL, wrap="hypervisors")
def detail(tx: Tx, ctx: Context, query: HypervisorQuery) -> Page:
    found, marker = _listed(tx, query)
    views = _detailed(tx, ctx, found, with_servers=as_bool(query.with_servers, "with_servers"))
    return Page(views, marker if ctx.version >= (2, 33) else None)


@api.get("/os-hypervisors/statistics", rules.HYPERVISORS_STATISTICS, wrap="hypervisor_statistics", until=GONE)
def statistics(tx: Tx, ctx: Context) -> dict[str, int]:
    names = [
        "vcpus",
        "vcpus_used",
        "memory_mb",
        "memory_mb_used",
        "free_ram_mb",
        "local_gb",
        "local_gb_used",
        "free_disk_gb",
        "disk_available_least",
        "running_vms",
        "current_workload",
    ]
    views = _detailed(tx, ctx, [host for host in hosts.list_hosts(tx) if not host.disabled])
    return {"count": len(views), **{name: sum(getattr(view, name) for view in views) for name in names}}


def _find(tx: Tx, id: str) -> Host:
    host = hosts.get_host_by_id(tx, id)
    if host is None:
        raise NotFound(f"Hypervisor with ID '{id}' could not be found.")
    return host


@api.get("/os-hypervisors/{id}", rules.HYPERVISORS_SHOW, wrap="hypervisor")
def show(tx: Tx, ctx: Context, id: str, query: HypervisorQuery) -> HypervisorView:
    with_servers = as_bool(query.with_servers, "with_servers")
    return _detailed(tx, ctx, [_find(tx, id)], with_servers=with_servers)[0]


@api.get("/os-hypervisors/{id}/uptime", rules.HYPERVISORS_UPTIME, wrap="hypervisor", until=GONE)
def uptime(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    view = _brief(ctx, host := _find(tx, id), hosts.alive(tx))
    since_when = hosts.up_since(tx, host.name)
    if since_when is None:
        raise NotFound(f"Hypervisor {host.name} is down: its uptime is not known.")
    hours, rest = divmod(int((clock.now() - since_when).total_seconds()), 3600)
    return {**msgspec.to_builtins(view), "uptime": f"agent up {hours}:{rest // 60:02}"}


@api.get("/os-hypervisors/{id}/search", rules.HYPERVISORS_SEARCH, wrap="hypervisors", until="2.52")
def search(tx: Tx, ctx: Context, id: str) -> list[HypervisorView]:
    found, _ = _listed(tx, HypervisorQuery(hypervisor_hostname_pattern=id))
    return [_brief(ctx, host, hosts.alive(tx)) for host in found]


@api.get("/os-hypervisors/{id}/servers", rules.HYPERVISORS_SERVERS, wrap="hypervisors", until="2.52")
def servers_of(tx: Tx, ctx: Context, id: str) -> list[dict[str, Any]]:
    found, _ = _listed(tx, HypervisorQuery(hypervisor_hostname_pattern=id))
    alive, views = hosts.alive(tx), []
    for host in found:
        view = msgspec.to_builtins(_brief(ctx, host, alive))
        if servers := store.list_of_host(tx, host.name):
            view["servers"] = [{"uuid": server.id, "name": server.name} for server in servers]
        views.append(view)
    return views
