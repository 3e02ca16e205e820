"""Providers, what they offer, their traits and aggregates, and the names of classes and traits."""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from pileus.kernel.db import Tx, ask, rows_with
from pileus.services.placement.model import (
    SHARING,
    CustomClass,
    CustomTrait,
    Inventory,
    Provider,
    ProviderAggregate,
    ProviderTrait,
    Stock,
)

Room = dict[str, tuple[Stock, int]]
"""Resource class to what is offered and how much of it is used."""


def has_room(offers: Room, name: str, amount: int) -> bool:
    """Tell whether ``amount`` of a class may be had in one piece."""
    if name not in offers:
        return False
    stock, used = offers[name]
    return stock.refuses(amount) is None and used + amount <= stock.capacity


def get_provider(tx: Tx, uuid: str) -> Provider | None:
    """Return a provider."""
    return tx.get(Provider, uuid)


def find_provider(tx: Tx, name: str) -> Provider | None:
    """Return the provider of that name."""
    return tx.scalar(select(Provider).where(Provider.name == name))


def providers_by_uuid(tx: Tx, uuids: Iterable[str]) -> dict[str, Provider]:
    """Return providers by uuid."""
    return {row.uuid: row for row in rows_with(tx, Provider.uuid, set(uuids))}


def select_providers() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Provider).order_by(Provider.created_at, Provider.uuid)


def providers_in_trees(tx: Tx, roots: Collection[str]) -> list[Provider]:
    """Return every provider of these trees."""
    return list(tx.scalars(select(Provider).where(Provider.root_uuid.in_(roots))))


def has_children(tx: Tx, uuid: str) -> bool:
    """Tell whether providers stand below one."""
    return tx.scalar(select(Provider.uuid).where(Provider.parent_uuid == uuid).limit(1)) is not None


def take_generation(tx: Tx, uuid: str, generation: int, now: datetime) -> bool:
    """Raise a provider's generation by one if it still is ``generation``; tell whether it was."""
    statement = update(Provider).where(Provider.uuid == uuid, Provider.generation == generation)
    done: Any = tx.execute(
        statement.values(generation=generation + 1, updated_at=now), execution_options={"synchronize_session": "fetch"}
    )
    return done.rowcount == 1


_provider: Any = Provider.__table__
_RAISE = (
    update(_provider)
    .where(_provider.c.uuid.in_(bindparam("uuids", expanding=True)))
    .values(generation=_provider.c.generation + 1, updated_at=bindparam("now"))
)


def raise_generations(tx: Tx, uuids: Collection[str], now: datetime) -> None:
    """Raise the generation of every given provider; rows that are loaded already do not show it."""
    tx.connection().execute(_RAISE, {"uuids": list(uuids), "now": now})


def delete_provider(tx: Tx, provider: Provider) -> None:
    """Remove a provider with its inventories, traits and aggregates."""
    for row in (Inventory, ProviderTrait, ProviderAggregate):
        tx.execute(delete(row).where(row.provider_uuid == provider.uuid))
    tx.delete(provider)
    tx.flush()


def stocks_of(tx: Tx, uuid: str) -> dict[str, Stock]:
    """Return what a provider offers, by resource class."""
    rows = tx.scalars(select(Inventory).where(Inventory.provider_uuid == uuid).order_by(Inventory.resource_class))
    return {row.resource_class: row.stock for row in rows}


def put_stock(tx: Tx, uuid: str, resource_class: str, stock: Stock, now: datetime) -> None:
    """Set what a provider offers of one class."""
    row = tx.get(Inventory, (uuid, resource_class))
    if row is None:
        row = Inventory(provider_uuid=uuid, resource_class=resource_class, used=0, free=stock.capacity)
        tx.add(row)
    else:
        free: Any = stock.capacity - Inventory.used  # as it is in the table: sums change past the session
        row.free = free
    row.total, row.reserved = stock.total, stock.reserved
    row.min_unit, row.max_unit, row.step_size = stock.min_unit, stock.max_unit, stock.step_size
    row.allocation_ratio, row.updated_at = stock.allocation_ratio, now


def delete_stocks(tx: Tx, uuid: str, classes: Collection[str]) -> None:
    """Remove what a provider offers of these classes."""
    tx.execute(delete(Inventory).where(Inventory.provider_uuid == uuid, Inventory.resource_class.in_(classes)))


def used_of(tx: Tx, uuid: str) -> dict[str, int]:
    """Return what is used of a provider, by resource class (used ones only)."""
    statement = select(Inventory.resource_class, Inventory.used).where(Inventory.provider_uuid == uuid)
    return {name: used for name, used in tx.execute(statement.where(Inventory.used > 0))}  # noqa: C416


_inventory: Any = Inventory.__table__
_SHIFT = (
    update(_inventory)
    .where(_inventory.c.provider_uuid == bindparam("provider"), _inventory.c.resource_class == bindparam("name"))
    .values(used=_inventory.c.used + bindparam("more"), free=_inventory.c.free - bindparam("more"))
)


def shift_used(tx: Tx, changes: Mapping[tuple[str, str], int]) -> None:
    """Add to what is used: ``(provider, resource class)`` to amount, below zero for what is given back.

    In the order of their keys, so that transactions that change the same rows wait for each other in a row.
    """
    values = [{"provider": uuid, "name": name, "more": more} for (uuid, name), more in sorted(changes.items()) if more]
    if values:
        tx.connection().execute(_SHIFT, values)


def _words(tx: Tx, key: Any, word: Any, keys: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    if keys:
        rows: Any = ask(tx, _words_statement(key, word), {"keys": list(keys)})
        for owner, value in rows:
            found.setdefault(owner, set()).add(value)
    return found


@functools.cache
def _words_statement(key: Any, word: Any) -> Any:
    return select(key, word).where(key.in_(bindparam("keys", expanding=True)))


def traits_of(tx: Tx, uuids: Collection[str]) -> dict[str, set[str]]:
    """Return the traits of providers."""
    return _words(tx, ProviderTrait.provider_uuid, ProviderTrait.trait, uuids)


def aggregates_of(tx: Tx, uuids: Collection[str]) -> dict[str, set[str]]:
    """Return the aggregates of providers."""
    return _words(tx, ProviderAggregate.provider_uuid, ProviderAggregate.aggregate_uuid, uuids)


def _replace(tx: Tx, row: Any, field: str, uuid: str, words: Iterable[str]) -> None:
    tx.execute(delete(row).where(row.provider_uuid == uuid))
    values = [{"provider_uuid": uuid, field: word} for word in sorted(set(words))]
    if values:
        tx.execute(insert(row), values)


def set_traits(tx: Tx, uuid: str, traits: Iterable[str]) -> None:
    """Replace the traits of a provider."""
    _replace(tx, ProviderTrait, "trait", uuid, traits)


def set_aggregates(tx: Tx, uuid: str, aggregates: Iterable[str]) -> None:
    """Replace the aggregates of a provider."""
    _replace(tx, ProviderAggregate, "aggregate_uuid", uuid, aggregates)


def custom_traits(tx: Tx, names: Collection[str] | None = None) -> dict[str, datetime]:
    """Return this cloud's own traits (of ``names``, if given) and when they were made."""
    statement = select(CustomTrait.name, CustomTrait.updated_at)
    statement = statement if names is None else statement.where(CustomTrait.name.in_(names))
    return {row.name: row.updated_at for row in tx.execute(statement)}


def used_traits(tx: Tx) -> set[str]:
    """Return the traits that any provider has."""
    return set(tx.scalars(select(ProviderTrait.trait).distinct()))


def custom_classes(tx: Tx, names: Collection[str] | None = None) -> dict[str, datetime]:
    """Return this cloud's own resource classes (of ``names``, if given) and when they were made."""
    statement = select(CustomClass.name, CustomClass.updated_at)
    statement = statement if names is None else statement.where(CustomClass.name.in_(names))
    return {row.name: row.updated_at for row in tx.execute(statement)}


def class_in_use(tx: Tx, name: str) -> bool:
    """Tell whether any provider offers a class."""
    return tx.scalar(select(Inventory.provider_uuid).where(Inventory.resource_class == name).limit(1)) is not None


@functools.cache
def _room_statement(some_classes: bool, some_providers: bool) -> Any:
    """Return the statement of ``room``; building it costs more than running it."""
    statement = select(
        Inventory.provider_uuid,
        Inventory.resource_class,
        Inventory.total,
        Inventory.reserved,
        Inventory.min_unit,
        Inventory.max_unit,
        Inventory.step_size,
        Inventory.allocation_ratio,
        Inventory.used,
    )
    if some_classes:
        statement = statement.where(Inventory.resource_class.in_(bindparam("classes", expanding=True)))
    if some_providers:
        statement = statement.where(Inventory.provider_uuid.in_(bindparam("uuids", expanding=True)))
    return statement


Among = Callable[[Any], ColumnElement[bool]]
"""``among(uuid column)``: a further condition on providers, in the words of whoever asks."""


def roomiest(
    tx: Tx,
    resources: Mapping[str, int],
    required: tuple[str, ...],
    forbidden: tuple[str, ...],
    among: Among | None,
    values: Mapping[str, Any],
    most: int,
) -> list[str]:
    """Return providers that have room and the traits: for each class the ``most`` with most of it, more first.

    Reads along the index of what is free, so it costs by what it returns and what is refused on the way, not by how
    many providers there are.  Units and steps are not looked at (``Stock.refuses``).
    """
    found: dict[str, None] = {}
    asked = {**values, **{f"free_{n}": amount for n, amount in enumerate(resources.values())}, "most": most}
    for position in range(len(resources)):
        statement = _roomiest(tuple(resources), position, required, forbidden, among)
        found.update(dict.fromkeys(uuid for (uuid,) in ask(tx, statement, asked)))
    return list(found)


@functools.lru_cache(maxsize=512)
def _roomiest(
    classes: tuple[str, ...], position: int, required: tuple[str, ...], forbidden: tuple[str, ...], among: Among | None
) -> Any:
    uuid = Inventory.provider_uuid
    conditions = [Inventory.resource_class == classes[position], Inventory.free >= bindparam(f"free_{position}")]
    for other, name in enumerate(classes):
        if other != position:
            here = aliased(Inventory)
            has = select(here.free).where(here.provider_uuid == uuid, here.resource_class == name)
            conditions.append(has.where(here.free >= bindparam(f"free_{other}")).exists())
    conditions += [_has_trait(uuid, trait) for trait in required]
    conditions += [~_has_trait(uuid, trait) for trait in forbidden]
    if among is not None:
        conditions.append(among(uuid))
    statement = select(uuid).where(*conditions).order_by(Inventory.free.desc(), uuid.desc())  # along the index
    return statement.limit(bindparam("most"))


def sharing(tx: Tx, classes: Collection[str]) -> list[str]:
    """Return the providers that share any of ``classes`` with the trees in their aggregates, by age."""
    offers = select(Inventory.free).where(
        Inventory.provider_uuid == Provider.uuid, Inventory.resource_class.in_(classes)
    )
    statement = (
        select(Provider.uuid)
        .join(ProviderTrait, ProviderTrait.provider_uuid == Provider.uuid)
        .where(ProviderTrait.trait == SHARING, offers.exists())
    )
    return list(tx.scalars(statement.order_by(Provider.created_at, Provider.uuid)))


def roots_with(
    tx: Tx,
    resources: Mapping[str, int],
    root_traits: Collection[str],
    aggregates: Collection[Collection[str]],
    within: Collection[str],
    *,
    after: tuple[str, datetime] | None,
    limit: int | None,
) -> list[tuple[str, datetime]]:
    """Return ``(uuid, age)`` of roots, by age, after one of them: of trees in which the rest is to be had.

    Somewhere in the tree there is as much of each class, and a member of one of each of ``aggregates``; the providers
    ``within`` stand in it.
    """
    root = aliased(Provider)
    below = aliased(Provider)
    statement = select(root.uuid, root.created_at).where(root.parent_uuid.is_(None))
    for name, amount in resources.items():
        offer = select(Inventory.free).join(below, below.uuid == Inventory.provider_uuid)
        offer = offer.where(below.root_uuid == root.uuid, Inventory.resource_class == name, Inventory.free >= amount)
        statement = statement.where(offer.exists())
    for trait in root_traits:
        statement = statement.where(_has_trait(root.uuid, trait))
    for uuids in aggregates:
        member = select(ProviderAggregate.aggregate_uuid).join(below, below.uuid == ProviderAggregate.provider_uuid)
        member = member.where(below.root_uuid == root.uuid, ProviderAggregate.aggregate_uuid.in_(uuids))
        statement = statement.where(member.exists())
    for uuid in within:
        statement = statement.where(root.uuid.in_(select(below.root_uuid).where(below.uuid == uuid)))
    if after is not None:
        uuid, age = after
        statement = statement.where(or_(root.created_at > age, and_(root.created_at == age, root.uuid > uuid)))
    statement = statement.order_by(root.created_at, root.uuid).limit(limit)
    return [(uuid, age) for uuid, age in tx.execute(statement)]


def spans(tx: Tx, resources: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the least and the most that is free of each class where there is enough: two looks into the index each."""
    if not resources:
        return {}
    asked = {f"free_{n}": amount for n, amount in enumerate(resources.values())}
    row: Any = ask(tx, _spans(tuple(resources)), asked).one()
    pairs = zip(resources, row[::2], row[1::2], strict=True)
    return {name: (least, most) for name, least, most in pairs if least is not None}


@functools.lru_cache(maxsize=512)
def _spans(classes: tuple[str, ...]) -> Any:
    ends = []
    for position, name in enumerate(classes):
        here = aliased(Inventory)
        enough = select(here.free).where(here.resource_class == name, here.free >= bindparam(f"free_{position}"))
        for order in (here.free.asc(), here.free.desc()):
            ends.append(enough.order_by(order).limit(1).scalar_subquery())
    return select(*ends)


def _has_trait(uuid: Any, trait: str) -> ColumnElement[bool]:
    return select(ProviderTrait.trait).where(ProviderTrait.provider_uuid == uuid, ProviderTrait.trait == trait).exists()


def room(tx: Tx, classes: Collection[str] | None, uuids: Collection[str] | None = None) -> Mapping[str, Room]:
    """Return what each provider that offers any of ``classes`` (None: anything) offers and gave away: one query."""
    tx.flush()
    values: dict[str, Any] = {}
    if classes is not None:
        values["classes"] = list(classes)
    if uuids is not None:
        values["uuids"] = list(uuids)
    statement = _room_statement(classes is not None, uuids is not None)
    found: dict[str, Room] = {}
    rows: Any = tx.connection().execute(statement, values)
    for row in rows:
        uuid, name, total, reserved, smallest, largest, step, ratio, taken = row
        stock = Stock(total, reserved, smallest, largest, step, ratio)
        found.setdefault(uuid, {})[name] = (stock, taken)
    return found
