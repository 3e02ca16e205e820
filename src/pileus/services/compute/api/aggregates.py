"""Aggregates: hosts an operator put together, perhaps as an availability zone."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from pileus.kernel import clock, ids
from pileus.kernel.clock import iso_micro
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.rest import Body, Extra, View, at_most, since
from pileus.kernel.rest.references import SomeHost
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.model import Aggregate, AggregateHost
from pileus.services.compute.store import catalog, hosts
from pileus.services.compute.store import servers as store

ZONE = "availability_zone"
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Zone = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^:]*\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=255)]
PATH = "/os-aggregates/{id}"


class AggregateCreate(Body, kw_only=True):
    name: Name
    availability_zone: Zone | None = None


class AggregateUpdate(Body, kw_only=True):
    name: Name | UnsetType = UNSET
    availability_zone: Zone | UnsetType | None = UNSET


class AggregateView(View, kw_only=True):
    id: int
    name: str
    availability_zone: str | None
    created_at: str
    updated_at: str | None
    deleted: bool = False
    deleted_at: str | None = None
    uuid: Annotated[str, since("2.41")]
    hosts: list[str] | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class HostName(Body, kw_only=True):
    host: SomeHost


class SetMetadata(Body, kw_only=True):
    metadata: Annotated[dict[Key, Annotated[str, Meta(max_length=255)] | None], at_most(128)]


def _view(tx: Tx, row: Aggregate) -> AggregateView:
    return _whole(row, catalog.hosts_of_aggregate(tx, row.id))


def _whole(row: Aggregate, members: list[str]) -> AggregateView:
    view, zone = _brief(row), {ZONE: row.availability_zone} if row.availability_zone else {}
    view.hosts, view.metadata = members, {**row.meta, **zone}
    return view


def _brief(row: Aggregate) -> AggregateView:
    return AggregateView(
        id=row.id,
        uuid=row.uuid,
        name=row.name,
        availability_zone=row.availability_zone,
        created_at=iso_micro(row.created_at),
        updated_at=iso_micro(row.updated_at) if row.updated_at else None,
    )


def _find(tx: Tx, id: str) -> Aggregate:
    row = catalog.get_aggregate(tx, int(id)) if id.isdigit() else None
    if row is None:
        raise NotFound(f"Aggregate {id} could not be found.")
    return row


def _check_name(tx: Tx, name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise Invalid(f"Invalid input for name: {name!r} must be printable, without spaces around it.")
    if catalog.get_aggregate_by_name(tx, name) is not None:
        raise Conflict(f"Aggregate {name} already exists.")
    return name


@api.get("/os-aggregates", rules.AGGREGATES_INDEX, wrap="aggregates")
def index(tx: Tx) -> list[AggregateView]:
    members = catalog.hosts_of_aggregates(tx)
    return [_whole(row, members.get(row.id, [])) for row in catalog.list_aggregates(tx)]


@api.post("/os-aggregates", rules.AGGREGATES_CREATE, wrap="aggregate", status=200)
def create(tx: Tx, body: AggregateCreate) -> AggregateView:
    row = Aggregate(
        uuid=ids.new_id(),
        name=_check_name(tx, body.name),
        availability_zone=body.availability_zone,
        meta={},
        created_at=clock.now(),
    )
    tx.add(row)
    tx.flush()
    return _brief(row)


@api.get(PATH, rules.AGGREGATES_SHOW, wrap="aggregate")
def show(tx: Tx, id: str) -> AggregateView:
    return _view(tx, _find(tx, id))


@api.put(PATH, rules.AGGREGATES_UPDATE, wrap="aggregate")
def update(tx: Tx, id: str, body: AggregateUpdate) -> AggregateView:
    row = _find(tx, id)
    if body.name is UNSET and body.availability_zone is UNSET:
        raise Invalid("Invalid input for aggregate: give 'name' or 'availability_zone'.")
    if body.name is not UNSET and body.name != row.name:
        row.name = _check_name(tx, body.name)
    if body.availability_zone is not UNSET:
        _set_zone(tx, row, body.availability_zone)
    row.updated_at = clock.now()
    return _view(tx, row)


def _set_zone(tx: Tx, row: Aggregate, zone: str | None) -> None:
    if zone == row.availability_zone:
        return
    members = catalog.hosts_of_aggregate(tx, row.id)
    busy = [host for host in members if store.list_of_host(tx, host)]
    if busy:
        raise Conflict(
            f"Cannot change the availability zone of aggregate {row.name}: hosts {', '.join(busy)} have servers in it."
        )
    for host in members:
        _check_zone(tx, host, zone, except_id=row.id)
    row.availability_zone = zone


def _check_zone(tx: Tx, host: str, zone: str | None, *, except_id: int) -> None:
    """A host is in one availability zone at most."""
    for other in catalog.aggregates_of_hosts(tx, [host]).get(host, ()):
        if other.id != except_id and other.availability_zone and zone not in (None, other.availability_zone):
            raise Conflict(
                f"Host {host} is in availability zone {other.availability_zone} already (aggregate {other.name})."
            )


@api.delete(PATH, rules.AGGREGATES_DELETE, status=200)
def delete(tx: Tx, id: str) -> None:
    row = _find(tx, id)
    if members := catalog.hosts_of_aggregate(tx, row.id):
        raise Conflict(f"Cannot delete aggregate {row.name}: it has the hosts {', '.join(members)}; remove them first.")
    tx.delete(row)


@api.action(PATH + "/action", "add_host", rules.AGGREGATES_ADD_HOST, wrap="aggregate", status=200)
def add_host(tx: Tx, id: str, body: HostName) -> AggregateView:
    row = _find(tx, id)
    if hosts.get_host(tx, body.host) is None:
        raise NotFound(f"Compute host {body.host} could not be found.")
    if body.host in catalog.hosts_of_aggregate(tx, row.id):
        raise Conflict(f"Aggregate {row.name} has the host {body.host} already.")
    _check_zone(tx, body.host, row.availability_zone, except_id=row.id)
    _require_empty(tx, row, body.host, "added to")
    tx.add(AggregateHost(aggregate_id=row.id, host=body.host))
    row.updated_at = clock.now()
    return _view(tx, row)


def _require_empty(tx: Tx, row: Aggregate, host: str, verb: str) -> None:
    now = hosts.zone_of(tx, host)
    moves = row.availability_zone is not None and (verb == "removed from" or now != row.availability_zone)
    if moves and store.list_of_host(tx, host):
        raise Conflict(
            f"Host {host} has servers: it cannot be {verb} aggregate {row.name}, which would change their zone."
        )


@api.action(PATH + "/action", "remove_host", rules.AGGREGATES_REMOVE_HOST, wrap="aggregate", status=200)
def remove_host(tx: Tx, id: str, body: HostName) -> AggregateView:
    row = _find(tx, id)
    if body.host not in catalog.hosts_of_aggregate(tx, row.id):
        raise NotFound(f"Aggregate {row.name} has no host {body.host}.")
    _require_empty(tx, row, body.host, "removed from")
    catalog.take_from_aggregate(tx, row.id, body.host)
    row.updated_at = clock.now()
    return _view(tx, row)


@api.action(PATH + "/action", "set_metadata", rules.AGGREGATES_META, wrap="aggregate", status=200)
def set_metadata(tx: Tx, id: str, body: SetMetadata) -> AggregateView:
    row = _find(tx, id)
    changes: dict[str, Any] = dict(body.metadata)
    if ZONE in changes:
        _set_zone(tx, row, changes.pop(ZONE))
    merged = {**row.meta, **changes}
    row.meta = {key: value for key, value in merged.items() if value is not None}
    row.updated_at = clock.now()
    return _view(tx, row)


@api.post(PATH + "/images", rules.AGGREGATES_UPDATE, body="", status=202, since="2.81")
def cache_images(tx: Tx, id: str, body: Extra) -> None:
    _find(tx, id)
    raise Invalid(
        "Images are copied to hosts when a server needs them; there is no cache to fill beforehand.", status=501
    )
