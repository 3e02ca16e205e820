"""Compute services (one per host, and the parts of the control plane), and availability zones."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from pileus.kernel import clock
from pileus.kernel.clock import iso_micro
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.rest import Body, Query, View, since
from pileus.kernel.rest.references import SomeHost
from pileus.services.compute import inventory
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.model import Host
from pileus.services.compute.store import hosts
from pileus.services.compute.store import servers as store

BINARY = "nova-compute"
CONTROL = ("nova-scheduler", "nova-conductor")
"""What other clouds run as processes of their own; here they are parts of the one process that answers."""
CONTROL_ID = "00000000-0000-4000-8000-00000000000"
Reason = Annotated[str, Meta(min_length=1, max_length=255)]


class ServiceView(View, kw_only=True):
    id: int | str
    binary: str
    host: str
    zone: str
    status: str
    state: str
    updated_at: str | None
    disabled_reason: str | None
    forced_down: Annotated[bool, since("2.11")] = False


class ServiceQuery(Query, kw_only=True):
    strict_since = "2.75"

    host: SomeHost | None = None
    binary: str | None = None


def _views(tx: Tx, ctx: Context, found: Iterable[Host]) -> list[ServiceView]:
    alive, zones, seen = hosts.alive(tx), hosts.zones(tx), hosts.seen_at(tx)
    return [_view(ctx, host, alive, zones, seen.get(host.name, host.updated_at)) for host in found]


def _view(ctx: Context, host: Host, alive: set[str], zones: dict[str, str], seen: datetime) -> ServiceView:
    return ServiceView(
        id=host.id if ctx.version >= (2, 53) else host.number,
        binary=BINARY,
        host=host.name,
        zone=zones.get(host.name, hosts.DEFAULT_ZONE),
        status="disabled" if host.disabled else "enabled",
        state="up" if host.name in alive else "down",
        updated_at=iso_micro(seen),
        disabled_reason=host.disabled_reason,
        forced_down=host.forced_down,
    )


def _control(ctx: Context) -> list[ServiceView]:
    return [
        ServiceView(
            id=f"{CONTROL_ID}{number}" if ctx.version >= (2, 53) else 1_000_000 + number,
            binary=binary,
            host="control",
            zone="internal",
            status="enabled",
            state="up",
            updated_at=iso_micro(clock.now()),
            disabled_reason=None,
        )
        for number, binary in enumerate(CONTROL, 1)
    ]


@api.get("/os-services", rules.SERVICES_LIST, wrap="services")
def list_services(tx: Tx, ctx: Context, query: ServiceQuery) -> list[ServiceView]:
    views = [*_control(ctx), *_views(tx, ctx, hosts.list_hosts(tx))]
    return [view for view in views if query.host in (None, view.host) and query.binary in (None, view.binary)]


class ServiceUpdate(Body, kw_only=True):
    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Reason | None = None
    forced_down: bool | None = None


@api.put("/os-services/{id}", rules.SERVICES_UPDATE, wrap="service", body="", since="2.53")
def update_service(tx: Tx, ctx: Context, id: str, body: ServiceUpdate) -> ServiceView:
    host = _find(tx, id)
    if body.status is None and body.forced_down is None:
        raise Invalid("Invalid input for service: give at least one of 'status' and 'forced_down'.")
    if body.disabled_reason is not None and body.status != "disabled":
        raise Invalid("Specifying disabled_reason requires that status is 'disabled'.")
    if body.status is not None:
        host.disabled, host.disabled_reason = body.status == "disabled", body.disabled_reason
    if body.forced_down is not None:
        host.forced_down = body.forced_down
    host.updated_at = clock.now()
    return _views(tx, ctx, [host])[0]


def _find(tx: Tx, id: str) -> Host:
    host = hosts.get_host_by_id(tx, id)
    if host is None:
        raise NotFound(f"Service {id} could not be found.")
    return host


class OldUpdate(Body, kw_only=True):
    host: Annotated[SomeHost, Meta(min_length=1)]
    binary: Annotated[str, Meta(min_length=1, max_length=255)]
    disabled_reason: Reason | None = None
    forced_down: bool | str | None = None


@api.put("/os-services/{id}", rules.SERVICES_UPDATE, wrap="service", body="", until="2.52")
def update_before_2_53(tx: Tx, ctx: Context, id: str, body: OldUpdate) -> dict[str, Any]:
    host = hosts.get_host(tx, body.host)
    if host is None or body.binary != BINARY:
        raise NotFound(f"Service {body.binary} on host {body.host} could not be found.")
    answer: dict[str, Any] = {"host": host.name, "binary": body.binary}
    match id:
        case "enable":
            host.disabled, host.disabled_reason = False, None
        case "disable":
            host.disabled, host.disabled_reason = True, None
        case "disable-log-reason":
            if body.disabled_reason is None:
                raise Invalid("Missing disabled reason field.")
            host.disabled, host.disabled_reason = True, body.disabled_reason
            answer["disabled_reason"] = body.disabled_reason
        case "force-down" if ctx.version >= (2, 11):
            host.forced_down = body.forced_down in (True, "true", "True", "1")
            return {**answer, "forced_down": host.forced_down}
        case _:
            raise NotFound(f"There is no '{id}' of services in this version of the API.")
    return {**answer, "status": "disabled" if host.disabled else "enabled"}


@api.delete("/os-services/{id}", rules.SERVICES_DELETE)
def delete_service(tx: Tx, id: str) -> None:
    host = _find(tx, id)
    if store.list_of_host(tx, host.name):
        raise Conflict(
            f"Unable to delete compute service that is hosting instances: host {host.name}. Move them first."
        )
    inventory.remove(tx, host.id)
    tx.delete(host)


def _zones(tx: Tx, *, detailed: bool) -> list[dict[str, Any]]:
    alive, zones, seen = hosts.alive(tx), hosts.zones(tx), hosts.seen_at(tx)
    found: dict[str, dict[str, Any]] = {}
    for host in hosts.list_hosts(tx):
        members = found.setdefault(zones.get(host.name, hosts.DEFAULT_ZONE), {})
        moment = iso_micro(seen[host.name]) if host.name in seen else None
        members[host.name] = {
            BINARY: {"available": host.name in alive, "active": not host.disabled, "updated_at": moment}
        }
    return [
        {
            "zoneName": name,
            "zoneState": {
                "available": any(s["available"] and s["active"] for m in members.values() for s in m.values())
            },
            "hosts": members if detailed else None,
        }
        for name, members in sorted(found.items())
    ]


@api.get("/os-availability-zone", rules.ZONES_LIST, wrap="availabilityZoneInfo")
def list_zones(tx: Tx) -> list[dict[str, Any]]:
    return [zone for zone in _zones(tx, detailed=False) if zone["zoneState"]["available"]]


@api.get("/os-availability-zone/detail", rules.ZONES_DETAIL, wrap="availabilityZoneInfo")
def list_zones_detail(tx: Tx) -> list[dict[str, Any]]:
    moment = iso_micro(clock.now())
    control = {name: {"available": True, "active": True, "updated_at": moment} for name in CONTROL}
    internal = {"zoneName": "internal", "zoneState": {"available": True}, "hosts": {"control": control}}
    return [internal, *_zones(tx, detailed=True)]
