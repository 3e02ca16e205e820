"""Which hosts the scheduler looks at.

Rule: a boot looks at a bounded number of hosts, those with the most room of what it asks for, found along Placement's
index of free room; the whole fleet is read only when none of them may have the server, to say why.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx
from pileus.services.compute import inventory
from pileus.services.compute.model import Aggregate, AggregateHost, Host
from pileus.services.compute.scheduler import Candidate, Demand, NoValidHost, Spans, choose
from pileus.services.compute.store import catalog, hosts

SAMPLES = (8, 128)
"""Hosts looked at for each resource class: first few, then more, then all."""


def best_host(tx: Tx, demand: Demand) -> Candidate:
    """Return the host that should have the server; raise NoValidHost, saying why of each host."""
    spans = None
    for candidates in _samples(tx, demand):
        spans = spans or inventory.spans(tx, demand.resources)
        try:
            return _choose(candidates, demand, spans)
        except NoValidHost:
            if demand.host is not None and candidates:
                raise  # of the one host that was asked for
    return _choose(list_candidates(tx, demand.resources), demand)


def _samples(tx: Tx, demand: Demand) -> Iterator[list[Candidate]]:
    """Yield the hosts to look at before all are looked at, a few first."""
    named = _named(demand)
    if named is not None:
        yield list_candidates(tx, demand.resources, names=named)
        return
    liked = demand.group_hosts if demand.group_policy == "soft-affinity" else {}
    if demand.group_policy == "soft-anti-affinity" and demand.group_hosts:
        yield list_candidates(
            tx, demand.resources, only=_roomiest(tx, demand, SAMPLES[0], frozenset(demand.group_hosts))
        )
    for most in SAMPLES if demand.resources else ():
        found = _roomiest(tx, demand, most)
        near = list_candidates(tx, demand.resources, names=liked) if liked else []
        yield [*near, *list_candidates(tx, demand.resources, only=set(found) - {candidate.id for candidate in near})]
        if len(found) < most:
            return


def _choose(candidates: list[Candidate], demand: Demand, spans: Spans | None = None) -> Candidate:
    chosen = choose(candidates, demand, spans)[0]
    return next(candidate for candidate in candidates if candidate.name == chosen)


def _named(demand: Demand) -> Collection[str] | None:
    """Return the hosts that alone may have the server where the demand names some; None leaves all."""
    if demand.host is not None:
        return (demand.host,)
    if demand.same_as is not None:
        return demand.same_as
    return demand.group_hosts if demand.group_policy == "affinity" and demand.group_hosts else None


def _roomiest(tx: Tx, demand: Demand, most: int, beside: frozenset[str] = frozenset()) -> list[str]:
    """Return the ids of enabled, living hosts with room, in the zone, that nothing speaks against by name.

    ``beside`` are names to leave out as well.
    """
    avoided = {*demand.exclude, *demand.different_from, *beside}
    if demand.group_policy == "anti-affinity":
        avoided |= {name for name, count in demand.group_hosts.items() if count >= demand.max_per_host}
    traits = {key.removeprefix("trait:"): value for key, value in demand.extra_specs.items() if key[:6] == "trait:"}
    default = demand.zone == hosts.DEFAULT_ZONE
    return inventory.roomiest(
        tx,
        demand.resources,
        required=tuple(sorted(trait for trait, value in traits.items() if value == "required")),
        forbidden=tuple(sorted(trait for trait, value in traits.items() if value == "forbidden")),
        among=_usable(demand.zone is not None, default, bool(avoided)),
        values={"zone": demand.zone, "avoided": sorted(avoided)},
        most=most,
    )


@functools.cache
def _usable(in_zone: bool, default_zone: bool, some_avoided: bool) -> Callable[[Any], ColumnElement[bool]]:
    """Return the condition that a provider is a host that may get servers, with the parameters zone and avoided."""
    agent = kernel_hosts.HostRow

    def condition(uuid: Any) -> ColumnElement[bool]:
        host = (
            select(Host.id)
            .join(agent, agent.name == Host.name)
            .where(Host.id == uuid, agent.state == kernel_hosts.UP, ~Host.disabled, ~Host.forced_down)
        )
        if in_zone:
            zones = (
                select(AggregateHost.host)
                .join(Aggregate, Aggregate.id == AggregateHost.aggregate_id)
                .where(AggregateHost.host == Host.name)
            )
            if default_zone:
                host = host.where(~zones.where(Aggregate.availability_zone.is_not(None)).exists())
            else:
                host = host.where(zones.where(Aggregate.availability_zone == bindparam("zone")).exists())
        if some_avoided:
            host = host.where(Host.name.not_in(bindparam("avoided", expanding=True)))
        return host.exists()

    return condition


def list_candidates(
    tx: Tx,
    classes: Mapping[str, int],
    *,
    only: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> list[Candidate]:
    """Return hosts with their room, as they are in this transaction: all, or ``only`` these ids or ``names``."""
    rows = hosts.list_hosts(tx, only=only, names=names)
    some = None if only is None and names is None else [row.name for row in rows]
    alive = kernel_hosts.running(tx, "compute", some)
    members = catalog.aggregates_of_hosts(tx, some)
    rooms = inventory.rooms(tx, classes, only=None if some is None else [row.id for row in rows])
    found = []
    for row in rows:
        room, aggregates = rooms.get(row.id, inventory.NO_ROOM), members.get(row.name, ())
        found.append(
            Candidate(
                name=row.name,
                id=row.id,
                zone=next((a.availability_zone for a in aggregates if a.availability_zone), hosts.DEFAULT_ZONE),
                up=row.name in alive and not row.forced_down,
                enabled=not row.disabled,
                disabled_reason=row.disabled_reason,
                capacity=room.capacity,
                used=room.used,
                traits=room.traits,
                aggregates=tuple(a.meta for a in aggregates),
            )
        )
    return found
