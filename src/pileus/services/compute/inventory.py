"""What compute asks of Placement.  Rule: the only file of this service that knows its ``public.py``."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from pileus.kernel.db import Tx
from pileus.services.compute.commands import HostFacts
from pileus.services.compute.settings import ComputeSettings
from pileus.services.placement import public

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")


@dataclass(frozen=True, slots=True)
class Room:
    """What a host offers and what of it is taken, by resource class."""

    capacity: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()


NO_ROOM = Room()


def rooms(tx: Tx, classes: Collection[str] = (), only: Collection[str] | None = None) -> dict[str, Room]:
    """Return the room of every host by its id, for the usual classes and for ``classes``."""
    asked = dict.fromkeys((*CLASSES, *classes), 0)
    found = {}
    for candidate in public.candidates(tx, asked, only=only):
        capacity = {name: stock.capacity for name, stock in candidate.stock.items()}
        found[candidate.uuid] = Room(
            capacity,
            {name: capacity[name] - free for name, free in candidate.free.items()},
            {name: stock.total for name, stock in candidate.stock.items()},
            candidate.traits,
        )
    return found


def roomiest(
    tx: Tx,
    resources: Mapping[str, int],
    *,
    required: tuple[str, ...],
    forbidden: tuple[str, ...],
    among: Callable[[Any], ColumnElement[bool]],
    values: Mapping[str, Any],
    most: int,
) -> list[str]:
    """Return the ids of hosts with room, the roomiest of each class (``placement.public.roomiest``)."""
    return public.roomiest(tx, resources, required=required, forbidden=forbidden, among=among, values=values, most=most)


def spans(tx: Tx, resources: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the least and the most that is free of each class where there is enough of it."""
    return public.spans(tx, resources)


def claim(tx: Tx, consumer: str, host_id: str, resources: dict[str, int], project_id: str, user_id: str) -> None:
    """Let a server (or a migration) hold resources of a host; raise Conflict when they are not there."""
    if resources:
        public.claim(tx, consumer, {host_id: resources}, project_id=project_id, user_id=user_id)


def release(tx: Tx, consumer: str) -> None:
    """Give back everything a server (or a migration) holds."""
    public.release(tx, consumer)


def offer(tx: Tx, host_id: str, name: str, facts: HostFacts, settings: ComputeSettings) -> None:
    """Tell Placement what a host has."""
    stocks = {
        "VCPU": public.Stock(facts.vcpus, max_unit=max(facts.vcpus, 1), allocation_ratio=settings.cpu_allocation_ratio),
        "MEMORY_MB": public.Stock(
            facts.memory_mib,
            reserved=min(settings.reserved_memory_mb, facts.memory_mib // 2),
            max_unit=max(facts.memory_mib, 1),
            allocation_ratio=settings.ram_allocation_ratio,
        ),
        "DISK_GB": public.Stock(
            facts.disk_gib, max_unit=max(facts.disk_gib, 1), allocation_ratio=settings.disk_allocation_ratio
        ),
    }
    traits = ["COMPUTE_NODE", "COMPUTE_VOLUME_ATTACH_WITH_TAG", "COMPUTE_NET_ATTACH_INTERFACE"]
    public.ensure_provider(tx, host_id, name, {k: v for k, v in stocks.items() if v.total > 0}, traits)


def remove(tx: Tx, host_id: str) -> None:
    """Take a host out of Placement; raise Conflict while anything is held of it."""
    public.remove_provider(tx, host_id)
