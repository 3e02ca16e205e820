"""How much a request may hold: the types with a bound that declarations are made of, and the bounds of all the rest.

Rule: a list or dictionary in a declaration says how many it takes; whatever a declaration leaves open (the depth, a
text without a length, what ``Any`` stands for) has the bounds below, judged before anything else is done with a body.
``undeclared`` finds the declarations that break the rule.
"""

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from pileus.kernel.errors import Invalid

DEPTH = 16
"""Levels of objects and lists in a body."""
WIDTH = 1000
"""Entries of one object or list."""
VALUES = 20_000
"""Values in a body, all together."""
TEXT = 65_535
"""Characters of a text, as many as upstream's longest columns and fields take."""
SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""What a column holds."""
PARAMETERS = 250
"""Parameters of a URL: upstream's servers refuse lines of more than 8 KiB, which hold about as many ids."""
PARAMETER = 16_384
"""Characters of a parameter's value."""


def at_most(count: int, least: int | None = None) -> msgspec.Meta:
    """Return the bound of a list, a dictionary or a text: ``Annotated[list[Rule], at_most(100)]``."""
    return msgspec.Meta(max_length=count, min_length=least)


Id = Annotated[str, at_most(255)]
Name = Annotated[str, at_most(255)]
Label = Annotated[str, at_most(255, 1)]
"""A name that must not be empty."""
Text = Annotated[str, at_most(TEXT)]
Ids = Annotated[list[Id], at_most(WIDTH)]
Names = Annotated[list[Name], at_most(WIDTH)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Metadata = Annotated[dict[Label, Name], at_most(256)]
"""Pairs of texts about a thing: twice what upstream's quota takes by default."""
Extra = Annotated[dict[str, Any], at_most(64)]
"""What an ``OpenBody`` collects, and objects of no fixed form."""
Objects = Annotated[list[Extra], at_most(WIDTH)]


def check(raw: Any) -> None:
    """Raise Invalid when decoded JSON is deeper, wider or larger than a body may be."""
    level, values = [raw], 1
    _check_leaf(raw, "The request body")
    for _ in range(DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                children: Any = item.values()
                if len(item) and max(map(len, item)) > TEXT:
                    raise Invalid(f"The request body has a name of more than {TEXT} characters.")
            elif isinstance(item, list):
                children = item
            else:
                continue
            if len(item) > WIDTH:
                raise Invalid(
                    f"The request body has {len(item)} entries in one object or list; at most {WIDTH} may be."
                )
            values += len(item)
            if values > VALUES:
                raise Invalid(f"The request body has more than {VALUES} values: send it in parts.")
            _check_leaves(item, children)
            below += children
        if not below:
            return
        level = below
    raise Invalid(f"The request body is nested more than {DEPTH} levels deep.")


def _check_leaf(value: Any, name: str) -> None:
    kind = type(value)
    if kind is str:
        if len(value) > TEXT:
            raise Invalid(f"{name} is a text of {len(value)} characters; at most {TEXT} are accepted.")
    elif kind is int and not SMALLEST <= value <= LARGEST:
        raise Invalid(f"{name} is a number of more than 64 bits.")


def _check_leaves(item: Any, children: Any) -> None:
    """Judge the texts and numbers of an object or a list; only a refusal pays for knowing their names."""
    for child in children:
        kind = type(child)
        if (kind is str and len(child) > TEXT) or (kind is int and not SMALLEST <= child <= LARGEST):
            named = next((name for name, value in item.items() if value is child), "") if isinstance(item, dict) else ""
            _check_leaf(child, f"'{named[:64]}' in the request body" if named else "An entry of a list in the body")


def undeclared(hint: Any, where: str) -> Iterator[str]:
    """Yield what in a declared type has no bound: lists, dictionaries and texts with a pattern (which takes time).

    A struct is looked at in all its fields.  ``Any`` inside a bounded list or dictionary has the bounds of a body.
    """
    yield from _undeclared(hint, where, False, False, set())


def _undeclared(hint: Any, where: str, bounded: bool, matched: bool, seen: set[Any]) -> Iterator[str]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        metas = [mark for mark in hint.__metadata__ if isinstance(mark, msgspec.Meta)]
        bounded = bounded or any(meta.max_length is not None for meta in metas)
        matched = matched or any(meta.pattern is not None for meta in metas)
        yield from _undeclared(hint.__origin__, where, bounded, matched, seen)
    elif origin in (typing.Union, types.UnionType):
        for part in inner:
            yield from _undeclared(part, where, bounded, matched, seen)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint not in seen:
            seen.add(hint)
            hints = typing.get_type_hints(hint, include_extras=True)
            for field in msgspec.structs.fields(hint):
                yield from _undeclared(hints[field.name], f"{where}.{field.encode_name}", False, False, seen)
    elif origin in (list, tuple, set, frozenset, dict) or hint in (list, tuple, set, frozenset, dict):
        if not bounded:
            yield where
        for part in inner:
            if part is not Any:
                yield from _undeclared(part, f"{where}[]", False, False, seen)
    elif hint is Any or (hint is str and matched and not bounded):
        yield where
    elif origin is not Literal and hint not in (str, int, float, bool, type(None), msgspec.UnsetType):
        yield f"{where}: {hint}"
