"""Which providers, alone or together, can give what is asked for.

Rule: everything is read first, in a handful of queries; then each tree is judged in memory.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pileus.kernel.db import Tx
from pileus.services.placement.app import claims
from pileus.services.placement.app.requests import Group, Wanted
from pileus.services.placement.model import SHARING, Provider
from pileus.services.placement.store import providers
from pileus.services.placement.store.allocations import Held
from pileus.services.placement.store.providers import Room, has_room

MOST = 20_000
"""Combinations looked at in one tree at most; beyond it the others of the tree are not offered."""


@dataclass(slots=True)
class Solution:
    """One way to meet a request: what to allocate, and which providers met which group."""

    held: Held
    mappings: dict[str, list[str]]
    root: str


@dataclass(slots=True)
class Landscape:
    """All that is read of the database for one request."""

    room: dict[str, Room]
    rows: dict[str, Provider]
    traits: dict[str, set[str]]
    aggregates: dict[str, set[str]]
    sharing: list[str]

    @classmethod
    def read(cls, tx: Tx, wanted: Wanted) -> "Landscape":
        room = dict(providers.room(tx, wanted.classes))
        offering = providers.providers_by_uuid(tx, room)
        everything = providers.providers_in_trees(tx, {row.root_uuid for row in offering.values()})
        rows = {row.uuid: row for row in everything}
        traits = providers.traits_of(tx, list(rows))
        sharing = [uuid for uuid in room if SHARING in traits.get(uuid, ())]
        needs = sharing or any(group.member_of or group.not_member_of for group in wanted.groups.values())
        aggregates = providers.aggregates_of(tx, list(rows)) if needs else {}
        return cls(room, rows, traits, aggregates, sharing)

    def trees(self) -> dict[str, list[str]]:
        """Return the uuids of each tree by its root, in order of age."""
        found: dict[str, list[str]] = {}
        for row in sorted(self.rows.values(), key=lambda row: (row.created_at, row.uuid)):
            found.setdefault(row.root_uuid, []).append(row.uuid)
        return found

    def shared_with(self, tree: list[str]) -> list[str]:
        """Return the sharing providers, of other trees, that share an aggregate with a tree."""
        groups = set().union(*(self.aggregates.get(uuid, ()) for uuid in tree))
        return [uuid for uuid in self.sharing if uuid not in tree and self.aggregates.get(uuid, set()) & groups]

    def has_room(self, uuid: str, name: str, amount: int) -> bool:
        """Tell whether a provider can give ``amount`` of a class in one piece."""
        return has_room(self.room.get(uuid, {}), name, amount)

    def ancestors(self, uuid: str) -> set[str]:
        """Return a provider and all above it."""
        found: set[str] = set()
        at: str | None = uuid
        while at is not None and at in self.rows:
            found.add(at)
            at = self.rows[at].parent_uuid
        return found

    def in_place(self, uuid: str, group: Group, *, spans: bool) -> bool:
        """Tell whether a provider stands where a group wants; with ``spans`` its root's aggregates count too."""
        root = self.rows[uuid].root_uuid
        if group.in_tree is not None and group.in_tree not in self.rows:
            return False
        if group.in_tree is not None and self.rows[group.in_tree].root_uuid != root:
            return False
        mine = self.aggregates.get(uuid, set())
        if spans:
            mine = mine | self.aggregates.get(root, set())
        return all(mine & uuids for uuids in group.member_of) and not mine & group.not_member_of


def find(tx: Tx, wanted: Wanted, *, nested: bool) -> tuple[list[Solution], Landscape]:
    """Return the ways to meet a request; without ``nested`` only those that use one provider of each tree."""
    land = Landscape.read(tx, wanted)
    found: list[Solution] = []
    seen: set[tuple[tuple[str, str, int], ...]] = set()
    for root, tree in land.trees().items():
        traits = land.traits.get(root, set())
        if not wanted.root_required <= traits or wanted.root_forbidden & traits:
            continue
        for solution in itertools.islice(_in_tree(land, wanted, root, tree, nested), MOST):
            parts = sorted((u, n, a) for u, amounts in solution.held.items() for n, a in amounts.items())
            key = (*parts, *sorted((s, u, 0) for s, uuids in solution.mappings.items() for u in uuids))
            if key not in seen:
                seen.add(key)
                found.append(solution)
            if wanted.limit is not None and len(found) >= wanted.limit:
                return found, land
    return found, land


def _in_tree(land: Landscape, wanted: Wanted, root: str, tree: list[str], nested: bool) -> Iterator[Solution]:
    usable = [*tree, *land.shared_with(tree)]
    options = [
        list(itertools.islice(_of_one(land, group, usable) if group.suffix else _of_many(land, group, usable), MOST))
        for group in wanted.groups.values()
    ]
    members = set(tree)
    for choice in itertools.product(*options):
        held = claims.merge(*choice)
        mappings = {group.suffix: list(part) for group, part in zip(wanted.groups.values(), choice, strict=True)}
        used = {uuid for uuids in mappings.values() for uuid in uuids}
        if not used & members or (not nested and len(used & members) > 1):
            continue
        if wanted.isolate and not _isolated(wanted, mappings):
            continue
        if not all(_together(land, suffixes, mappings) for suffixes in wanted.same_subtrees):
            continue
        held = {uuid: amounts for uuid, amounts in held.items() if amounts}
        if len(choice) == 1 or all(
            land.has_room(uuid, name, amount) for uuid, amounts in held.items() for name, amount in amounts.items()
        ):
            yield Solution(held, mappings, root)


def _of_one(land: Landscape, group: Group, usable: list[str]) -> Iterator[Held]:
    """Yield each provider that meets a group by itself."""
    for uuid in usable:
        traits = land.traits.get(uuid, set())
        if (
            all(traits & words for words in group.required)
            and not traits & group.forbidden
            and land.in_place(uuid, group, spans=False)
            and all(land.has_room(uuid, name, amount) for name, amount in group.resources.items())
        ):
            yield {uuid: dict(group.resources)}


def _of_many(land: Landscape, group: Group, usable: list[str]) -> Iterator[Held]:
    """Yield each combination of providers that meets a group together, a class from one provider each."""
    fit = [
        uuid
        for uuid in usable
        if not land.traits.get(uuid, set()) & group.forbidden and land.in_place(uuid, group, spans=True)
    ]
    choices = [[uuid for uuid in fit if land.has_room(uuid, name, amount)] for name, amount in group.resources.items()]
    for chosen in itertools.product(*choices):
        traits = set().union(*(land.traits.get(uuid, ()) for uuid in chosen))
        if all(traits & words for words in group.required):
            yield claims.merge(
                *({uuid: {name: amount}} for uuid, (name, amount) in zip(chosen, group.resources.items(), strict=True))
            )


def _isolated(wanted: Wanted, mappings: dict[str, list[str]]) -> bool:
    """Tell whether no two suffixed groups with resources use one provider."""
    used = [uuid for suffix, uuids in mappings.items() if suffix and wanted.groups[suffix].resources for uuid in uuids]
    return len(used) == len(set(used))


def _together(land: Landscape, suffixes: set[str], mappings: dict[str, list[str]]) -> bool:
    """Tell whether one of the providers that meet these groups stands above all the others."""
    used = {uuid for suffix in suffixes for uuid in mappings[suffix]}
    common = set.intersection(*(land.ancestors(uuid) for uuid in used))
    return bool(common & used)
