"""Which providers, alone or together, can give what is asked for.

Rule: the database narrows the trees to those that may fit, some at a time and the oldest first; what is known of them
is read in a handful of queries, and each is judged in memory, until there are as many answers as were asked for.
"""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pileus.kernel.db import Tx
from pileus.services.placement.app import claims
from pileus.services.placement.app.requests import Group, Wanted
from pileus.services.placement.model import Provider
from pileus.services.placement.store import providers
from pileus.services.placement.store.allocations import Held
from pileus.services.placement.store.providers import Room, has_room

BATCH = 32
"""Trees that are read at first where a request has a limit; then four times as many, and so on."""
Key = tuple[tuple[str, str, int], ...]
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
    def read(cls, tx: Tx, wanted: Wanted, roots: Collection[str], sharing: Collection[str]) -> "Landscape":
        """Read the trees of ``roots``, and the providers that share with trees, whose trees these are too."""
        shared = providers.providers_by_uuid(tx, sharing)
        everything = providers.providers_in_trees(tx, {*roots, *(row.root_uuid for row in shared.values())})
        rows = {row.uuid: row for row in everything}
        room = dict(providers.room(tx, wanted.classes, rows))
        traits = providers.traits_of(tx, list(rows))
        needs = sharing or any(group.member_of or group.not_member_of for group in wanted.groups.values())
        aggregates = providers.aggregates_of(tx, list(rows)) if needs else {}
        return cls(room, rows, traits, aggregates, [uuid for uuid in sharing if uuid in room])

    def add(self, other: "Landscape") -> None:
        """Know what another one knows, too."""
        self.room |= other.room
        self.rows |= other.rows
        self.traits |= other.traits
        self.aggregates |= other.aggregates

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
    sharing = providers.sharing(tx, wanted.classes)
    known = Landscape({}, {}, {}, {}, [])
    found: dict[Key, Solution] = {}
    for roots in _trees_that_may_fit(tx, wanted, sharing):
        land = Landscape.read(tx, wanted, roots, sharing)
        known.add(land)
        trees = land.trees()
        for root in roots:
            traits = land.traits.get(root, set())
            if not wanted.root_required <= traits or wanted.root_forbidden & traits:
                continue
            for solution in itertools.islice(_in_tree(land, wanted, root, trees[root], nested), MOST):
                found.setdefault(_key(solution), solution)
                if wanted.limit is not None and len(found) >= wanted.limit:
                    return list(found.values()), known
    return list(found.values()), known


def _key(solution: Solution) -> Key:
    parts = sorted((u, n, a) for u, amounts in solution.held.items() for n, a in amounts.items())
    return (*parts, *sorted((s, u, 0) for s, uuids in solution.mappings.items() for u in uuids))


def _trees_that_may_fit(tx: Tx, wanted: Wanted, sharing: Collection[str]) -> Iterator[list[str]]:
    """Yield the roots of the trees that have, somewhere, enough of each class and what else can be asked in SQL.

    What sharing providers may give instead is not asked of the trees.
    """
    most: dict[str, int] = {}
    for group in wanted.groups.values():
        for name, amount in group.resources.items():
            most[name] = max(amount, most.get(name, 0))
    there = providers.room(tx, most, sharing) if sharing else {}
    lacking = {n: a for n, a in most.items() if not any(has_room(offers, n, a) for offers in there.values())}
    groups = () if sharing else tuple(wanted.groups.values())
    aggregates = [uuids for group in groups for uuids in group.member_of]
    within = [group.in_tree for group in groups if group.in_tree is not None]
    size, after = BATCH if wanted.limit is not None else None, None
    while True:
        page = providers.roots_with(tx, lacking, wanted.root_required, aggregates, within, after=after, limit=size)
        if page:
            yield [uuid for uuid, _ in page]
        if size is None or len(page) < size:
            return
        after, size = page[-1], size * 4


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
