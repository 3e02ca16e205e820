"""Providers and what they offer: made, changed and removed.

Rule: a change through the API must name the generation it was decided on; what is held cannot be taken away.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.placement.app.claims import CONCURRENT
from pileus.services.placement.model import (
    STANDARD_CLASSES,
    STANDARD_TRAITS,
    CustomClass,
    CustomTrait,
    Provider,
    Stock,
)
from pileus.services.placement.store import allocations, providers

CUSTOM = re.compile(r"^CUSTOM_[A-Z0-9_]+$")
INVENTORY_IN_USE = "placement.inventory.inuse"
PROVIDER_IN_USE = "placement.resource_provider.inuse"
CANNOT_DELETE_PARENT = "placement.resource_provider.cannot_delete_parent"
DUPLICATE_NAME = "placement.duplicate_name"


def unknown_classes(tx: Tx, names: Collection[str]) -> set[str]:
    """Return those that are no resource class of this cloud."""
    custom = set(names) - set(STANDARD_CLASSES)
    return custom - providers.custom_classes(tx, custom).keys() if custom else set()


def unknown_traits(tx: Tx, names: Collection[str]) -> set[str]:
    """Return those that are no trait of this cloud."""
    custom = set(names) - STANDARD_TRAITS
    return custom - providers.custom_traits(tx, custom).keys() if custom else set()


def _ensure_names(tx: Tx, classes: Collection[str], traits: Collection[str]) -> None:
    now = clock.now()
    for row, names in ((CustomClass, unknown_classes(tx, classes)), (CustomTrait, unknown_traits(tx, traits))):
        for name in names:
            if not CUSTOM.match(name):
                raise Invalid(f"{name} is not standard: a name of one's own begins with CUSTOM_.")
            tx.add(row(name=name, updated_at=now))


def create_provider(tx: Tx, uuid: str, name: str, parent_uuid: str | None) -> Provider:
    """Add a provider; raise Conflict when its name or uuid is taken, Invalid for a parent that is not there."""
    if providers.get_provider(tx, uuid) is not None:
        raise Conflict(f"Conflicting resource provider uuid: {uuid} already exists.", kind="placement.duplicate_uuid")
    if providers.find_provider(tx, name) is not None:
        raise Conflict(f"Conflicting resource provider name: {name} already exists.", kind=DUPLICATE_NAME)
    now = clock.now()
    root = uuid if parent_uuid is None else _parent(tx, parent_uuid).root_uuid
    row = Provider(
        uuid=uuid, name=name, generation=0, parent_uuid=parent_uuid, root_uuid=root, created_at=now, updated_at=now
    )
    tx.add(row)
    tx.flush()
    return row


def _parent(tx: Tx, uuid: str) -> Provider:
    row = providers.get_provider(tx, uuid)
    if row is None:
        raise Invalid(f"Parent provider UUID {uuid} does not exist: create it first, or name another.")
    return row


def rename_provider(tx: Tx, row: Provider, name: str) -> None:
    """Change a provider's name; raise Conflict when it is taken."""
    if name != row.name and providers.find_provider(tx, name) is not None:
        raise Conflict(f"Conflicting resource provider name: {name} already exists.", kind=DUPLICATE_NAME)
    row.name, row.updated_at = name, clock.now()
    tx.flush()


def move_provider(tx: Tx, row: Provider, parent_uuid: str | None) -> None:
    """Put a provider, with all below it, under another parent or on its own; raise Invalid for a circle."""
    tree = providers.providers_in_trees(tx, [row.root_uuid])
    below, level = {row.uuid}, {row.uuid}
    while level:
        level = {other.uuid for other in tree if other.parent_uuid in level}
        below |= level
    if parent_uuid in below:
        raise Invalid(f"creating loop in the provider tree is not allowed: {parent_uuid} stands below {row.uuid}.")
    root = row.uuid if parent_uuid is None else _parent(tx, parent_uuid).root_uuid
    row.parent_uuid = parent_uuid
    for other in tree:
        if other.uuid in below:
            other.root_uuid = root
    row.updated_at = clock.now()
    tx.flush()


def remove_provider(tx: Tx, uuid: str) -> bool:
    """Remove a provider; raise Conflict while something is held of it or stands below it; tell whether it was there."""
    row = providers.get_provider(tx, uuid)
    if row is None:
        return False
    if providers.has_children(tx, uuid):
        raise Conflict(
            f"Unable to delete parent resource provider {uuid}: it has child resource providers, delete those first.",
            kind=CANNOT_DELETE_PARENT,
        )
    if allocations.has_allocations(tx, uuid):
        raise Conflict(
            f"Unable to delete resource provider {uuid}: resource provider has allocations.", kind=PROVIDER_IN_USE
        )
    providers.delete_provider(tx, row)
    return True


def take_generation(tx: Tx, row: Provider, generation: int) -> None:
    """Raise a provider's generation; raise Conflict when it is no longer what the client saw."""
    if not providers.take_generation(tx, row.uuid, generation, clock.now()):
        raise Conflict(
            f"resource provider generation conflict: {row.uuid} has generation {row.generation}, not {generation}. "
            "Read it again, then repeat the change.",
            kind=CONCURRENT,
        )


def set_stocks(tx: Tx, uuid: str, stocks: Mapping[str, Stock]) -> None:
    """Let a provider offer exactly this; raise Conflict when something that goes is held."""
    unknown = unknown_classes(tx, stocks)
    if unknown:
        raise Invalid(
            f"Unknown resource class in inventory for resource provider {uuid}: {', '.join(sorted(unknown))}."
        )
    gone = providers.stocks_of(tx, uuid).keys() - stocks.keys()
    drop_stocks(tx, uuid, gone)
    now = clock.now()
    for name, stock in stocks.items():
        providers.put_stock(tx, uuid, name, stock, now)
    tx.flush()


def drop_stocks(tx: Tx, uuid: str, classes: Collection[str]) -> None:
    """Let a provider no longer offer these; raise Conflict when any is held."""
    held = sorted(providers.used_of(tx, uuid).keys() & set(classes))
    if held:
        raise Conflict(
            f"Inventory for '{', '.join(held)}' on resource provider '{uuid}' in use: release the allocations first.",
            kind=INVENTORY_IN_USE,
        )
    providers.delete_stocks(tx, uuid, classes)


def require_traits(tx: Tx, names: Collection[str]) -> None:
    """Raise Invalid for names that are no traits."""
    unknown = unknown_traits(tx, names)
    if unknown:
        raise Invalid(f"No such trait {', '.join(sorted(unknown))}: create it at /traits first.")


def ensure_provider(
    tx: Tx,
    uuid: str,
    name: str,
    stocks: Mapping[str, Stock],
    traits: frozenset[str],
    *,
    parent: str | None,
    aggregates: Iterable[str] | None,
) -> None:
    """Make a provider, or bring it to what is said (``public.ensure_provider``)."""
    row = providers.get_provider(tx, uuid)
    if row is None:
        row = create_provider(tx, uuid, name, parent)
    elif row.name != name:
        rename_provider(tx, row, name)
    if row.parent_uuid != parent:
        move_provider(tx, row, parent)
    before = providers.stocks_of(tx, uuid)
    wanted = {**_still_held(tx, uuid, before, stocks), **stocks}
    changed = False
    if before != wanted:
        _ensure_names(tx, wanted, ())
        changed = True
        now = clock.now()
        providers.delete_stocks(tx, uuid, before.keys() - wanted.keys())
        for resource_class, stock in wanted.items():
            if before.get(resource_class) != stock:
                providers.put_stock(tx, uuid, resource_class, stock, now)
    if providers.traits_of(tx, [uuid]).get(uuid, set()) != traits:
        _ensure_names(tx, (), traits)
        changed = True
        providers.set_traits(tx, uuid, traits)
    if aggregates is not None and providers.aggregates_of(tx, [uuid]).get(uuid, set()) != (groups := set(aggregates)):
        changed = True
        providers.set_aggregates(tx, uuid, groups)
    if changed:
        tx.flush()
        providers.raise_generations(tx, [uuid], clock.now())


def _still_held(tx: Tx, uuid: str, before: Mapping[str, Stock], wanted: Mapping[str, Stock]) -> dict[str, Stock]:
    gone = before.keys() - wanted.keys()
    held = gone & providers.used_of(tx, uuid).keys() if gone else set()
    return {name: replace(before[name], reserved=before[name].total) for name in held}


def require_provider(tx: Tx, uuid: str) -> Provider:
    """Return a provider; raise NotFound."""
    row = providers.get_provider(tx, uuid)
    if row is None:
        raise NotFound(f"No resource provider with uuid {uuid} found.")
    return row
