"""Pages by marker: sort keys, their directions, and the rows after the marker.

Rule: the last sort key is always the id, so that every order is total and no row is skipped or repeated.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, inspect, or_

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.patterns import Pattern

R = TypeVar("R")
MAX_LIMIT = 1000
"""Entries of a page where nothing else is set: the default of upstream's ``max_limit`` and ``osapi_max_limit``."""
MAX_SORT_KEYS = 10
"""Different ones; the condition of "after the marker" nests once for each, and SQLite's parser only so deep."""


class UnknownMarker(Invalid):
    """The marker names nothing in the list, or nothing that the caller may see: both sound the same."""


def sort_order(keys: Sequence[str], directions: Sequence[str], allowed: dict[str, Any]) -> list[tuple[Any, bool]]:
    """Return ``[(column, descending), ...]``; raise Invalid for an unknown key or direction.

    ``allowed`` maps the API's names to columns.  Fewer directions than keys repeat the last given one.  A column counts
    where it is named first: naming it again changes no order, and would only make the statement longer.
    """
    order: list[tuple[Any, bool]] = []
    seen: set[int] = set()
    for position, key in enumerate(keys):
        if key not in allowed:
            raise Invalid(f"Cannot sort by '{key}': the sort keys are {', '.join(sorted(allowed))}.")
        chosen = directions[min(position, len(directions) - 1)] if directions else "asc"
        if chosen not in ("asc", "desc"):
            raise Invalid(f"Unknown sort direction '{chosen}': it must be 'asc' or 'desc'.")
        if id(allowed[key]) not in seen:
            seen.add(id(allowed[key]))
            order.append((allowed[key], chosen == "desc"))
    if len(order) > MAX_SORT_KEYS:
        raise Invalid(
            f"A list is sorted by at most {MAX_SORT_KEYS} keys, not by {len(order)}: leave the last ones out."
        )
    return order


def page(
    tx: Tx,
    statement: Select[Any],
    row: type[R],
    *,
    order: list[tuple[Any, bool]],
    limit: int | None = None,
    marker: str | None = None,
    max_limit: int | None = None,
    id_column: Any = None,
    plain: bool = False,
    sieve: "Sieve | None" = None,
    seen: Select[Any] | None = None,
) -> tuple[list[R], str | None]:
    """Return the rows of ``statement`` after ``marker`` and the marker of the next page, or None at the end.

    ``limit`` None or above ``max_limit`` (by default the setting ``page``) means ``max_limit``.  Raises UnknownMarker
    when the marker names no row that the caller may see: of ``seen``, or else of ``statement``.  ``seen`` is the list
    without the filters asked for, so that a row that no longer passes them still says where to go on.
    With ``plain`` they are named tuples of the row's attributes, which cost a third as much to read and to look at, and
    cannot be changed.  ``sieve`` looks at what no statement can decide.
    """
    identity: Any = row.id if id_column is None else id_column  # type: ignore[attr-defined]
    if limit is not None and limit < 0:
        raise Invalid(f"limit must be zero or more, not {limit}.")
    if not any(column is identity or getattr(column, "key", None) == identity.key for column, _ in order):
        order = [*order, (identity, order[-1][1] if order else False)]
    if marker:
        among = statement if seen is None else seen
        statement = statement.where(_after(tx, among, order, identity, marker))
    statement = statement.order_by(*clauses(tx, order))
    size = page_size(tx, limit, max_limit)
    following = None
    if sieve is None:
        statement = statement.limit(size + 1)
    else:
        passed, following = sieve.sift(tx, statement, identity, size)
        statement = statement.where(identity.in_(passed))
    found: list[Any] = _records(tx, statement, row) if plain else list(tx.scalars(statement))
    if len(found) <= size:
        return found, following
    found = found[:size]
    return found, getattr(found[-1], identity.key) if found else None


def page_size(tx: Tx, limit: int | None, max_limit: int | None = None) -> int:
    """Return how many entries the page of a list has: as many as asked for, and no more than the setting ``page``."""
    most = tx.info.get("page", MAX_LIMIT) if max_limit is None else max_limit
    return most if limit is None else min(limit, most)


class Sieve:
    """Callers' patterns, which rows pass when each matches one of the texts of its column.

    Each row and each character costs: when ``STEPS`` are spent the page ends early, with a marker to go on from.
    """

    STEPS = 4_000_000
    """Of patterns; at worst some 20 ns each."""
    ROW = 400
    """Steps that it costs to read a row."""

    def __init__(self) -> None:
        self._tests: list[tuple[Any, Callable[[Any], Sequence[str]], Pattern]] = []

    def add(self, column: Any, texts: Callable[[Any], Sequence[str]], wanted: Pattern) -> None:
        """Let pass only rows of which one of ``texts(value of column)`` matches."""
        self._tests.append((column, texts, wanted))

    def __bool__(self) -> bool:
        return bool(self._tests)

    def sift(self, tx: Tx, statement: Select[Any], identity: Any, size: int) -> tuple[list[Any], Any]:
        """Return the ids of the first ``size`` rows that pass (one more, when there are more), and where to go on.

        The latter is None unless the steps ran out.  Raises Invalid when they did before anything was found.
        """
        passed: list[Any] = []
        spent, last = 0, None
        most = self.STEPS // self.ROW
        columns = [column for column, _, _ in self._tests]
        tx.flush()
        found = tx.connection().execute(statement.with_only_columns(identity, *columns).limit(most))
        for id, *values in found:
            spent += self.ROW
            for (_, texts, wanted), value in zip(self._tests, values, strict=True):
                tried = texts(value)
                spent += wanted.cost * sum(map(len, tried))
                if not any(map(wanted.is_in, tried)):
                    break
            else:
                passed.append(id)
                if len(passed) > size:
                    return passed, None
            last = id
            if spent >= self.STEPS:
                break
        if spent < self.STEPS:
            return passed, None
        if not passed:
            raise Invalid(
                "The pattern matches nothing in as many entries as one request may search: narrow the list by another"
                " filter, or use a simpler pattern."
            )
        return passed, last


def _records(tx: Tx, statement: Select[Any], row: type[Any]) -> list[Any]:
    """Return records past the session: it has nothing to keep of them, and its rows find each attribute by name."""
    record, attributes = _record_of(row)
    tx.flush()
    return list(map(record, tx.connection().execute(statement.with_only_columns(*attributes))))


@cache
def _record_of(row: type[Any]) -> tuple[Callable[[Iterable[Any]], Any], list[Any]]:
    names = [attribute.key for attribute in inspect(row).column_attrs]
    return namedtuple(row.__name__, names)._make, [getattr(row, name) for name in names]


def clauses(tx: Tx, order: list[tuple[Any, bool]]) -> list[Any]:
    """Return what to order by.

    Nulls are the smallest: so do SQLite and MariaDB (which has no words for it); PostgreSQL has to be told.
    """
    found = []
    told = tx.get_bind().dialect.name == "postgresql"
    for column, descending in order:
        clause = column.desc() if descending else column.asc()
        if told and getattr(getattr(column, "expression", column), "nullable", False):
            clause = clause.nulls_last() if descending else clause.nulls_first()
        found.append(clause)
    return found


def _after(
    tx: Tx, among: Select[Any], order: list[tuple[Any, bool]], identity: Any, marker: str
) -> ColumnElement[bool]:
    wanted = among.order_by(None).where(identity == marker).with_only_columns(*(column for column, _ in order))
    values = tx.execute(wanted).first()
    if values is None:
        raise UnknownMarker(f"marker [{marker}] not found: it must be the id of an entry of this list.")
    condition: ColumnElement[bool] | None = None
    # Nested from the last key outwards, so that it grows by one comparison and one equality for each key.
    for (column, descending), value in zip(reversed(order), reversed(values), strict=True):
        further = _beyond(column, value, descending)
        condition = further if condition is None else or_(further, and_(_equal(column, value), condition))
    assert condition is not None
    return condition


def _equal(column: Any, value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _beyond(column: Any, value: Any, descending: bool) -> ColumnElement[bool]:
    """Return "comes after ``value``" where null is the smallest."""
    if value is None:
        return column.is_not(None) if not descending else column != column
    if descending:
        return or_(column < value, column.is_(None))
    return column > value
