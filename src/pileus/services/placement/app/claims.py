"""Taking and giving back resources.

Rule: a claim replaces all that its consumer holds, and holds only if it fits in the transaction that makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pileus.kernel import clock
from pileus.kernel.db import Tx, add_now
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.placement.model import Consumer
from pileus.services.placement.store import allocations, providers
from pileus.services.placement.store.allocations import Held
from pileus.services.placement.store.providers import Room

CONCURRENT = "placement.concurrent_update"


@dataclass(frozen=True)
class Claim:
    """What a consumer shall hold; nothing means that it gives everything back."""

    consumer_uuid: str
    held: Held
    project_id: str
    user_id: str
    type: str | None = None
    keeps_type: bool = False
    """An old client that knows no types leaves that of an existing consumer as it is."""


def replace(tx: Tx, *claims: Claim) -> None:
    """Let each consumer hold what its claim says; raise Conflict when that is more than there is.

    All claims are judged together, so that resources can move from one consumer to another.
    """
    now = clock.now()
    before = allocations.held_by_many(tx, [claim.consumer_uuid for claim in claims])
    for claim in claims:
        held = before.get(claim.consumer_uuid, {})
        if not claim.held:
            allocations.delete_consumer(tx, claim.consumer_uuid, held, now)
            continue
        _put_consumer(tx, claim)
        allocations.hold(tx, claim.consumer_uuid, held, claim.held, now)
    tx.flush()
    _check(tx, claims)
    touched = {uuid for claim in claims for uuid in claim.held} | {uuid for held in before.values() for uuid in held}
    if touched:
        providers.raise_generations(tx, touched, now)


def _put_consumer(tx: Tx, claim: Claim) -> None:
    now = clock.now()
    row = allocations.get_consumer(tx, claim.consumer_uuid)
    if row is None:
        add_now(
            tx,
            Consumer(
                uuid=claim.consumer_uuid,
                project_id=claim.project_id,
                user_id=claim.user_id,
                type=claim.type,
                generation=1,
                created_at=now,
                updated_at=now,
            ),
        )
        return
    row.project_id, row.user_id, row.updated_at = claim.project_id, claim.user_id, now
    if not claim.keeps_type:
        row.type = claim.type
    row.generation += 1


def _check(tx: Tx, claims: tuple[Claim, ...]) -> None:
    """Raise unless everything that is held now, these claims included, fits."""
    uuids = {uuid for claim in claims for uuid in claim.held}
    if not uuids:
        return
    classes = {name for claim in claims for amounts in claim.held.values() for name in amounts}
    there = providers.room(tx, classes, uuids)
    for claim in claims:
        for uuid, amounts in claim.held.items():
            for name, amount in amounts.items():
                reason = _refusal(there.get(uuid, {}), name, amount)
                if reason is not None:
                    raise _refused(tx, uuid, name, amount, reason)


def _refusal(offers: Room, name: str, amount: int) -> str | None:
    """Return why an allocation that is in the sums already may not stay, or None."""
    if name not in offers:
        return f"it has no inventory of {name}"
    stock, used = offers[name]
    reason = stock.refuses(amount)
    if reason is None and used > stock.capacity:
        free = max(0, stock.capacity - used + amount)
        return f"only {free} of {stock.capacity} are free. The requested amount would exceed the capacity"
    return reason


def _refused(tx: Tx, uuid: str, name: str, amount: int, reason: str) -> Conflict | Invalid:
    row = providers.get_provider(tx, uuid)
    if row is None:
        return Invalid(f"Allocation for resource provider '{uuid}' that does not exist.")
    return Conflict(f"Unable to allocate {amount} {name} of resource provider '{uuid}' ({row.name}): {reason}.")


def release(tx: Tx, consumer_uuid: str) -> bool:
    """Give back everything a consumer holds; tell whether it held anything."""
    held, now = allocations.held_by(tx, consumer_uuid), clock.now()
    if held:
        providers.raise_generations(tx, list(held), now)
    allocations.delete_consumer(tx, consumer_uuid, held, now)
    return bool(held)


def merge(*parts: Mapping[str, Mapping[str, int]]) -> Held:
    """Return the sum of several holdings."""
    found: Held = {}
    for part in parts:
        for uuid, amounts in part.items():
            into = found.setdefault(uuid, {})
            for name, amount in amounts.items():
                into[name] = into.get(name, 0) + amount
    return found
