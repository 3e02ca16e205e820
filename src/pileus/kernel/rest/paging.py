"""Pages by marker: sort keys, their directions, and the rows after the marker.

Rule: the last sort key is always the id, so that every order is total and no row is skipped or repeated.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, inspect, or_, select

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid

R = TypeVar("R")
MAX_LIMIT = 1000


def sort_order(keys: Sequence[str], directions: Sequence[str], allowed: dict[str, Any]) -> list[tuple[Any, bool]]:
    """Return ``[(column, descending), ...]``; raise Invalid for an unknown key or direction.

    ``allowed`` maps the API's names to columns.  Fewer directions than keys repeat the last given one.
    """
    order = []
    for position, key in enumerate(keys):
        if key not in allowed:
            raise Invalid(f"Cannot sort by '{key}': the sort keys are {', '.join(sorted(allowed))}.")
        chosen = directions[min(position, len(directions) - 1)] if directions else "asc"
        if chosen not in ("asc", "desc"):
            raise Invalid(f"Unknown sort direction '{chosen}': it must be 'asc' or 'desc'.")
        order.append((allowed[key], chosen == "desc"))
    return order


def page(
    tx: Tx,
    statement: Select[Any],
    row: type[R],
    *,
    order: list[tuple[Any, bool]],
    limit: int | None = None,
    marker: str | None = None,
    max_limit: int = MAX_LIMIT,
    id_column: Any = None,
    plain: bool = False,
) -> tuple[list[R], str | None]:
    """Return the rows of ``statement`` after ``marker`` and the marker of the next page, or None at the end.

    ``limit`` None or above ``max_limit`` means ``max_limit``.  Raises Invalid when the marker names no row.
    With ``plain`` they are named tuples of the row's attributes, which cost a third as much to read and to look at, and
    cannot be changed.
    """
    identity: Any = row.id if id_column is None else id_column  # type: ignore[attr-defined]
    if limit is not None and limit < 0:
        raise Invalid(f"limit must be zero or more, not {limit}.")
    if not any(column is identity or getattr(column, "key", None) == identity.key for column, _ in order):
        order = [*order, (identity, order[-1][1] if order else False)]
    if marker:
        statement = statement.where(_after(tx, order, identity, marker))
    statement = statement.order_by(*_clauses(tx, order))
    size = max_limit if limit is None else min(limit, max_limit)
    statement = statement.limit(size + 1)
    found: list[Any] = _records(tx, statement, row) if plain else list(tx.scalars(statement))
    if len(found) <= size:
        return found, None
    found = found[:size]
    return found, getattr(found[-1], identity.key) if found else None


def _records(tx: Tx, statement: Select[Any], row: type[Any]) -> list[Any]:
    """Return records past the session: it has nothing to keep of them, and its rows find each attribute by name."""
    record, attributes = _record_of(row)
    tx.flush()
    return list(map(record, tx.connection().execute(statement.with_only_columns(*attributes))))


@cache
def _record_of(row: type[Any]) -> tuple[Callable[[Iterable[Any]], Any], list[Any]]:
    names = [attribute.key for attribute in inspect(row).column_attrs]
    return namedtuple(row.__name__, names)._make, [getattr(row, name) for name in names]


def _clauses(tx: Tx, order: list[tuple[Any, bool]]) -> list[Any]:
    """Order nulls as the smallest: so do SQLite and MariaDB (which has no words for it); PostgreSQL has to be told."""
    clauses = []
    told = tx.get_bind().dialect.name == "postgresql"
    for column, descending in order:
        clause = column.desc() if descending else column.asc()
        if told and getattr(getattr(column, "expression", column), "nullable", False):
            clause = clause.nulls_last() if descending else clause.nulls_first()
        clauses.append(clause)
    return clauses


def _after(tx: Tx, order: list[tuple[Any, bool]], identity: Any, marker: str) -> ColumnElement[bool]:
    values = tx.execute(select(*(column for column, _ in order)).where(identity == marker)).first()
    if values is None:
        raise Invalid(f"marker [{marker}] not found: it must be the id of an entry of this list.")
    alternatives = []
    for position, (column, descending) in enumerate(order):
        same = [_equal(other, values[index]) for index, (other, _) in enumerate(order[:position])]
        alternatives.append(and_(*same, _beyond(column, values[position], descending)))
    return or_(*alternatives)


def _equal(column: Any, value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _beyond(column: Any, value: Any, descending: bool) -> ColumnElement[bool]:
    """Return "comes after ``value``" where null is the smallest."""
    if value is None:
        return column.is_not(None) if not descending else column != column
    if descending:
        return or_(column < value, column.is_(None))
    return column > value
