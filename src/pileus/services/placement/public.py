"""All that other services may ask of placement, as functions of their own transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.services.placement.app import claims, inventory
from pileus.services.placement.app.claims import Claim
from pileus.services.placement.model import Stock
from pileus.services.placement.store import allocations, providers

__all__ = [
    "Candidate",
    "Stock",
    "candidates",
    "claim",
    "ensure_provider",
    "held_by",
    "held_by_many",
    "release",
    "remove_provider",
    "roomiest",
    "spans",
    "usage",
]

_OUTSIDE = "membership in one of the wanted aggregates"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider judged against a request; ``lacks`` says in words what it is short of (empty: it fits)."""

    uuid: str
    name: str
    free: Mapping[str, int]
    """What is left of each class asked for; absent when it offers none."""
    stock: Mapping[str, Stock]
    traits: frozenset[str]
    lacks: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.lacks


def ensure_provider(
    tx: Tx,
    uuid: str,
    name: str,
    stocks: Mapping[str, Stock],
    traits: Iterable[str] = (),
    *,
    parent: str | None = None,
    aggregates: Iterable[str] | None = None,
) -> None:
    """Make a provider, or bring it to what is said; cheap when nothing changed.

    A class that is no longer offered but still held stays with everything reserved, so that nobody gets more of it.
    Traits and classes that are not standard must begin with ``CUSTOM_``; they are made when missing.
    """
    inventory.ensure_provider(tx, uuid, name, stocks, frozenset(traits), parent=parent, aggregates=aggregates)


def remove_provider(tx: Tx, uuid: str) -> None:
    """Remove a provider, if it is there; raise Conflict while anything is held of it."""
    inventory.remove_provider(tx, uuid)


def candidates(
    tx: Tx,
    resources: Mapping[str, int],
    *,
    required: Collection[str] = (),
    forbidden: Collection[str] = (),
    member_of: Sequence[Collection[str]] = (),
    only: Collection[str] | None = None,
) -> list[Candidate]:
    """Return every provider that offers any of ``resources``, judged: those that fit and those that do not.

    ``member_of``: of each given set of aggregates the provider must be in one.  ``only``: look at these uuids.
    Three queries, however many providers.
    """
    there = providers.room(tx, list(resources), only)
    rows = providers.providers_by_uuid(tx, there)
    traits = providers.traits_of(tx, list(there))
    aggregates = providers.aggregates_of(tx, list(there)) if member_of else {}
    found = []
    for uuid, offers in there.items():
        has = frozenset(traits.get(uuid, ()))
        lacks = [
            *_short(resources, offers),
            *(f"the trait {trait}" for trait in required if trait not in has),
            *(f"freedom from the trait {trait}" for trait in forbidden if trait in has),
            *(
                "membership in the wanted aggregates"
                for group in member_of
                if not aggregates.get(uuid, set()) & set(group)
            ),
        ]
        free = {name: max(0, stock.capacity - used) for name, (stock, used) in offers.items()}
        stock = {name: stock for name, (stock, _) in offers.items()}
        found.append(Candidate(uuid, rows[uuid].name, free, stock, has, tuple(lacks)))
    return sorted(found, key=lambda candidate: candidate.name)


def roomiest(
    tx: Tx,
    resources: Mapping[str, int],
    *,
    required: tuple[str, ...] = (),
    forbidden: tuple[str, ...] = (),
    among: providers.Among | None = None,
    values: Mapping[str, Any] | None = None,
    most: int,
) -> list[str]:
    """Return the uuids of providers with room for ``resources``: the ``most`` with most of each class.

    ``among(uuid column)`` is a condition of the caller's own, with the parameters in ``values``; the same function
    each time, since the statement is built once for it.  It costs by what is found, not by the size of the fleet.
    """
    return providers.roomiest(tx, resources, required, forbidden, among, values or {}, most)


def spans(tx: Tx, resources: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the least and the most that is free of each class at any provider with enough of it; absent for none."""
    return providers.spans(tx, resources)


def _short(resources: Mapping[str, int], offers: Mapping[str, tuple[Stock, int]]) -> list[str]:
    lacks = []
    for name, amount in resources.items():
        if name not in offers:
            lacks.append(f"{amount} {name} (it offers none)")
            continue
        stock, used = offers[name]
        reason = stock.refuses(amount)
        if reason is not None:
            lacks.append(f"{amount} {name} ({reason})")
        elif used + amount > stock.capacity:
            lacks.append(f"{amount} {name} ({max(0, stock.capacity - used)} of {stock.capacity} free)")
    return lacks


def claim(
    tx: Tx,
    consumer: str,
    held: Mapping[str, Mapping[str, int]],
    *,
    project_id: str,
    user_id: str,
    type: str = "INSTANCE",
) -> None:
    """Let a consumer hold exactly ``held`` (provider to class to amount); raise Conflict when it does not fit."""
    if not held:
        raise Conflict("A claim must ask for something; to give everything back, release it.")
    claims.replace(
        tx, Claim(consumer, {uuid: dict(amounts) for uuid, amounts in held.items()}, project_id, user_id, type)
    )


def release(tx: Tx, consumer: str) -> None:
    """Give back everything a consumer holds, if anything."""
    claims.release(tx, consumer)


def held_by(tx: Tx, consumer: str) -> dict[str, dict[str, int]]:
    """Return what a consumer holds: provider to class to amount."""
    return allocations.held_by(tx, consumer)


def held_by_many(tx: Tx, consumers: Collection[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return what many consumers hold: one query."""
    return allocations.held_by_many(tx, consumers)


def usage(tx: Tx, provider: str) -> dict[str, int]:
    """Return what is used of a provider, by class."""
    return providers.used_of(tx, provider)
