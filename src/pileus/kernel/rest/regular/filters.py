"""What a regular list is asked for: which rows, in which order, which page, which fields.

Rule: a name that means nothing is refused, so that a misspelt filter never shows more than was asked for.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, false, or_

from pileus.kernel.context import Context
from pileus.kernel.errors import Invalid
from pileus.kernel.rest.bounds import LARGEST, SMALLEST

Filter = Callable[[Context, list[str]], ColumnElement[bool]]
"""``filter(ctx, values) -> condition``: true for rows that match any of the values."""

LONGEST_NUMBER = 18
"""Digits that surely fit 64 bits."""
TRUE = frozenset({"true", "1", "t", "yes", "on", "y"})
FALSE = frozenset({"false", "0", "f", "no", "off", "n"})


@dataclass
class ListQuery:
    """A list's query string, read."""

    filters: dict[str, list[str]] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    sort_keys: list[str] = field(default_factory=list)
    sort_dirs: list[str] = field(default_factory=list)
    limit: int | None = None
    marker: str | None = None
    page_reverse: bool = False
    offset: int = 0
    """How many entries come before the page, in dialects that count them."""
    total: int = 0
    """How many entries there are in all, once the page of such a dialect is read."""


def limit_of(value: str) -> int | None:
    """Return the entries of a page that are asked for; 0 asks for all."""
    if not value.isdecimal() or len(value) > LONGEST_NUMBER:
        raise Invalid(f"Limit must be an integer 0 or greater and not '{value[:LONGEST_NUMBER]}'.")
    return int(value) or None


def boolean(name: str, value: str) -> bool:
    """Return the truth of a text; raise Invalid naming the parameter."""
    lowered = value.strip().lower()
    if lowered in TRUE:
        return True
    if lowered in FALSE:
        return False
    raise Invalid(f"Invalid input for {name}. Reason: '{value}' cannot be converted to boolean.")


def column_filter(name: str, column: Any) -> Filter:
    """Return the filter of an attribute that is a column: equal to any of the values."""
    kind = column.type

    def matches(ctx: Context, values: list[str]) -> ColumnElement[bool]:
        if isinstance(kind, Boolean):
            wanted: list[Any] = [boolean(name, value) for value in values]
        elif isinstance(kind, Integer):
            wanted = [_integer(name, value) for value in values if value]
        else:
            wanted = list(values)
        found = column == wanted[0] if len(wanted) == 1 else (column.in_(wanted) if wanted else false())
        return or_(found, column.is_(None)) if column.nullable and "" in values else found

    return matches


def _integer(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise Invalid(f"Invalid input for {name}. Reason: '{value[:64]}' is not an integer.") from None
    if not SMALLEST <= number <= LARGEST:
        raise Invalid(f"Invalid input for {name}. Reason: it has more than 64 bits.")
    return number


_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}


def moment_condition(name: str, column: Any, value: str) -> Any:
    """Return what ``lt:2030-01-31T09:30:00Z`` asks of a time; without an order it must be the same."""
    order, _, text = value.partition(":")
    if order not in _ORDERS:
        order, text = "eq", value
    try:
        wanted = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{name} must be a time such as 2030-01-31T09:30:00Z, with one of {', '.join(_ORDERS)} and a colon "
            f"before it, not {value[:64]!r}."
        ) from None
    return _ORDERS[order](column, wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted)


def changed_since(column: Any) -> Filter:
    """Return the filter ``changed_since``: rows that changed at or after a moment."""

    def matches(ctx: Context, values: list[str]) -> ColumnElement[bool]:
        try:
            moments = [datetime.fromisoformat(value.replace("Z", "+00:00")) for value in values]
        except ValueError:
            raise Invalid(
                f"Invalid input for changed_since. Reason: '{values[0]}' is not a time such as 2026-01-31T09:30:00Z."
            ) from None
        aware = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments]
        return column >= min(aware)

    return matches


def conditions(ctx: Context, given: Mapping[str, list[str]], known: Mapping[str, Filter]) -> list[ColumnElement[bool]]:
    """Return one condition for each filter given; raise Invalid for one that does not exist."""
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise Invalid(f"{unknown} is invalid attribute for filtering; the filters are {', '.join(sorted(known))}.")
    return [known[name](ctx, values) for name, values in given.items()]
