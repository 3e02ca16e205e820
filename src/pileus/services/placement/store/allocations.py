"""Consumers and what they hold."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select

from pileus.kernel.db import Tx, ask, delete_with, rows_with
from pileus.services.placement.model import Allocation, Consumer, Provider
from pileus.services.placement.store.providers import shift_used

Held = dict[str, dict[str, int]]
"""Provider to resource class to amount."""

_allocation: Any = Allocation.__table__
_INSERT = insert(_allocation)
_HELD = select(
    _allocation.c.consumer_uuid, _allocation.c.provider_uuid, _allocation.c.resource_class, _allocation.c.used
).where(_allocation.c.consumer_uuid.in_(bindparam("consumers", expanding=True)))


def get_consumer(tx: Tx, uuid: str) -> Consumer | None:
    """Return a consumer."""
    return tx.get(Consumer, uuid)


def consumers_by_uuid(tx: Tx, uuids: Iterable[str]) -> dict[str, Consumer]:
    """Return consumers by uuid."""
    return {row.uuid: row for row in rows_with(tx, Consumer.uuid, set(uuids))}


def held_by(tx: Tx, consumer_uuid: str) -> Held:
    """Return what a consumer holds."""
    return held_by_many(tx, [consumer_uuid]).get(consumer_uuid, {})


def held_by_many(tx: Tx, consumer_uuids: Collection[str]) -> dict[str, Held]:
    """Return what consumers hold: one query."""
    found: dict[str, Held] = {}
    rows: Any = ask(tx, _HELD, {"consumers": list(consumer_uuids)})
    for consumer, provider, name, used in rows:
        found.setdefault(consumer, {}).setdefault(provider, {})[name] = used
    return found


def held_from(tx: Tx, provider_uuid: str) -> dict[str, dict[str, int]]:
    """Return what each consumer holds of one provider."""
    statement = select(Allocation.consumer_uuid, Allocation.resource_class, Allocation.used)
    found: dict[str, dict[str, int]] = {}
    for consumer, name, used in tx.execute(statement.where(Allocation.provider_uuid == provider_uuid)):
        found.setdefault(consumer, {})[name] = used
    return found


def has_allocations(tx: Tx, provider_uuid: str, classes: Collection[str] | None = None) -> bool:
    """Tell whether anybody holds anything (of these classes) of a provider."""
    statement = select(Allocation.consumer_uuid).where(Allocation.provider_uuid == provider_uuid)
    if classes is not None:
        statement = statement.where(Allocation.resource_class.in_(classes))
    return tx.scalar(statement.limit(1)) is not None


def hold(tx: Tx, consumer_uuid: str, before: Held, after: Held, now: datetime) -> None:
    """Let a consumer hold ``after`` where it held ``before``, and move the inventories' sums with it."""
    if before:
        delete_with(tx, Allocation.consumer_uuid, [consumer_uuid])
    values = [
        {
            "consumer_uuid": consumer_uuid,
            "provider_uuid": provider,
            "resource_class": name,
            "used": used,
            "updated_at": now,
        }
        for provider, amounts in after.items()
        for name, used in amounts.items()
    ]
    if values:
        tx.connection().execute(_INSERT, values)
    changes: dict[tuple[str, str], int] = {}
    for held, sign in ((before, -1), (after, 1)):
        for provider, amounts in held.items():
            for name, used in amounts.items():
                changes[provider, name] = changes.get((provider, name), 0) + sign * used
    shift_used(tx, changes)


def delete_consumer(tx: Tx, uuid: str, held: Held, now: datetime) -> None:
    """Remove a consumer and what it holds."""
    hold(tx, uuid, held, {}, now)
    delete_with(tx, Consumer.uuid, [uuid])


def sums(tx: Tx) -> dict[tuple[str, str], int]:
    """Return what is used of every provider and class by the allocation rows themselves: for audits."""
    statement = select(Allocation.provider_uuid, Allocation.resource_class, func.sum(Allocation.used))
    rows = tx.execute(statement.group_by(Allocation.provider_uuid, Allocation.resource_class))
    return {(provider, name): int(used) for provider, name, used in rows}


def usages_by_type(tx: Tx, project_id: str, user_id: str | None = None) -> list[tuple[str | None, str, int, int]]:
    """Return ``(consumer type, resource class, amount, consumers)`` of a project."""
    statement = (
        select(
            Consumer.type,
            Allocation.resource_class,
            func.sum(Allocation.used),
            func.count(func.distinct(Consumer.uuid)),
        )
        .join(Consumer, Consumer.uuid == Allocation.consumer_uuid)
        .where(Consumer.project_id == project_id)
        .group_by(Consumer.type, Allocation.resource_class)
    )
    if user_id is not None:
        statement = statement.where(Consumer.user_id == user_id)
    return [(kind, name, int(used), count) for kind, name, used, count in tx.execute(statement)]


def count_consumers(tx: Tx, project_id: str, user_id: str | None) -> dict[str | None, int]:
    """Return how many consumers of each type a project has."""
    statement: Any = select(Consumer.type, func.count()).where(Consumer.project_id == project_id)
    if user_id is not None:
        statement = statement.where(Consumer.user_id == user_id)
    rows: Any = tx.execute(statement.group_by(Consumer.type))
    return {kind: count for kind, count in rows}  # noqa: C416


def generations(tx: Tx, provider_uuids: Collection[str]) -> dict[str, int]:
    """Return the generations of providers."""
    statement = select(Provider.uuid, Provider.generation).where(Provider.uuid.in_(provider_uuids))
    return {row.uuid: row.generation for row in tx.execute(statement)}
