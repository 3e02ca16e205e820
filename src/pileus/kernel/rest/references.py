"""References: ids of other things in bodies and queries, declared as such and loaded as the caller may see them.

Rule: a handler never looks a reference up by itself.  It asks ``referred`` for the row that the kernel loaded under
the caller's own eyes, so that no id of another tenant reaches a decision because one handler forgot to ask.

A service says once how its things are found (``@api.reference("network")``: ids to visible rows) and names them in
its structs (``network_id: NetworkId``, where ``NetworkId = Annotated[str, Meta(max_length=36), Refers("network")]``).
"""

import contextlib
import functools
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, NotFound
from pileus.kernel.rest.bounds import at_most
from pileus.kernel.rest.schema import structs_in

Resolve = Callable[[Tx, Context, list[str]], dict[str, Any]]
"""``resolve(tx, ctx, ids)`` returns the rows that the caller may see, by id; the others are left out."""


@dataclass(frozen=True)
class Refers:
    """Marks a text as the id of a ``kind`` of thing.

    ``words`` are the values that are no ids (``auto``).  ``loaded`` False: the handler finds the thing itself, since it
    may be named in more ways than by its id, or since the rule to use it is not that to see it; the walk of the
    standing attack still puts foreign ids there.  ``at``: the id stands at this key of an object that has no struct
    (``fixed_ips: [{"subnet_id": ...}]``); an object may bear several marks.
    """

    kind: str
    words: frozenset[str] = frozenset()
    loaded: bool = True
    at: str | None = None


SomeProject = Annotated[str, at_most(255), Refers("project", loaded=False)]
SomeUser = Annotated[str, at_most(255), Refers("user", loaded=False)]
SomeServer = Annotated[str, at_most(255), Refers("server", loaded=False)]
SomeHost = Annotated[str, at_most(255), Refers("host", loaded=False)]
"""Ids of other services' things: those that lists are filtered by, and those that only administrators may name."""


@dataclass(frozen=True)
class Place:
    """Where a struct holds references: a field, what it refers to, or the struct further down."""

    name: str
    api: str
    refers: tuple[Refers, ...]
    below: tuple[type[msgspec.Struct], ...]


def marks_of(hint: Any) -> Iterator[Refers]:
    """Yield the marks in a type hint, those of lists' items, unions' members and dictionaries' values too."""
    if typing.get_origin(hint) is Annotated:
        yield from (mark for mark in hint.__metadata__ if isinstance(mark, Refers))
    for argument in typing.get_args(hint):
        if not isinstance(argument, (str, int, Refers)):
            yield from marks_of(argument)


@functools.cache
def places(struct: type[msgspec.Struct]) -> tuple[Place, ...]:
    """Return where ``struct`` holds references, at any depth."""
    hints = typing.get_type_hints(struct, include_extras=True)
    found = []
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        refers = tuple(marks_of(hint))
        below = tuple(s for s in structs_in(hint) if s is not struct and places(s))
        if refers or below:
            found.append(Place(info.name, info.encode_name, refers, below))
    return tuple(found)


def references_in(value: Any) -> Iterator[tuple[Refers, str, str]]:
    """Yield ``(mark, id, field)`` of every reference in a decoded struct."""
    if isinstance(value, list):
        for item in value:
            yield from references_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, msgspec.Struct):
        for place in places(type(value)):
            inside = getattr(value, place.name)
            for refers in place.refers:
                found = _texts(inside) if refers.at is None else _texts_at(inside, refers.at)
                yield from ((refers, id, refers.at or place.api) for id in found if id not in refers.words)
            if place.below:
                yield from references_in(inside)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)  # some clients write flavors' ids as numbers
    elif isinstance(value, (list, set, frozenset, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _texts_at(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts_at(item, key)
    elif isinstance(value, dict):
        yield from _texts(value.get(key))


def load_references(
    tx: Tx, ctx: Context, value: Any, resolvers: dict[str, Resolve], missing: Callable[[Refers, str, str], ApiError]
) -> None:
    """Load all that ``value`` refers to, by one query a kind; raise what ``missing`` makes of the first not seen."""
    wanted: dict[str, dict[str, tuple[Refers, str]]] = {}
    for refers, id, field in references_in(value):
        if refers.loaded:
            wanted.setdefault(refers.kind, {}).setdefault(id, (refers, field))
    for kind, ids in wanted.items():
        rows = resolvers[kind](tx, ctx, list(ids))
        for id, (refers, field) in ids.items():
            if id not in rows:
                raise missing(refers, id, field)
        tx.info.setdefault("referred", {}).update({(kind, id): row for id, row in rows.items()})


def each(find: Callable[[Tx, Context, str], Any]) -> Resolve:
    """Return a resolver by a function that returns one thing that the caller sees, or raises NotFound."""

    def resolve(tx: Tx, ctx: Context, ids: list[str]) -> dict[str, Any]:
        found = {}
        for id in ids:
            with contextlib.suppress(NotFound):
                found[id] = find(tx, ctx, id)
        return found

    return resolve


def not_found(refers: Refers, id: str, field: str) -> ApiError:
    """Return 404 with the thing's own type, as most APIs answer a reference to nothing."""
    title = refers.kind.replace("_", " ").capitalize()
    return NotFound(f"{title} {id} could not be found.", kind=f"{refers.kind.title().replace('_', '')}NotFound")


def referred(tx: Tx, kind: str, id: str) -> Any:
    """Return the row that the kernel loaded for a declared reference of this request."""
    return tx.info["referred"][kind, id]
