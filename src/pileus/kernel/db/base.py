"""What every row and every transaction share.  Rule: rows hold no relationships and load nothing lazily."""

import functools
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Delete, MetaData, Select, String, bindparam, delete, func, inspect, orm, select
from sqlalchemy.orm import DeclarativeBase

from pileus.kernel.db.types import JsonText, UtcDateTime


class Session(orm.Session):
    """SQLAlchemy's, with a ``get`` whose statement is built once for a class instead of every time."""

    def get(self, entity: Any, ident: Any, **options: Any) -> Any:
        if options or isinstance(ident, dict):
            return super().get(entity, ident, **options)
        key = ident if isinstance(ident, tuple) else (ident,)
        known = self.identity_map.get((entity, key, None))
        if known is not None:
            state = inspect(known)
            return super().get(entity, ident) if state.expired or state.deleted else known
        parameters = {f"key_{position}": part for position, part in enumerate(key)}
        return self.scalars(_by_key(entity), parameters).one_or_none()


@functools.cache
def _by_key(entity: Any) -> Select[Any]:
    """Return the statement that finds a row by its primary key."""
    columns = enumerate(inspect(entity).primary_key)
    return select(entity).where(*(column == bindparam(f"key_{position}") for position, column in columns))


Tx = orm.Session
"""An open transaction.  ``tx.info`` carries what its owner put there (see ``after_commit``)."""


class Row(DeclarativeBase):
    """Base of every table's row."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        str: String(255),
        datetime: UtcDateTime,
        dict[str, Any]: JsonText,
        dict[str, str]: JsonText,
        list[Any]: JsonText,
        list[dict[str, Any]]: JsonText,
        list[str]: JsonText,
    }


def rows_with(tx: Tx, column: orm.InstrumentedAttribute[Any], values: Collection[Any], *order: Any) -> list[Any]:
    """Return the rows whose ``column`` has one of ``values``, sorted by the columns in ``order``.

    The statement is built once for each use; building it costs more than running it.
    """
    if not values:
        return []
    if len(values) == 1:
        return list(tx.scalars(_rows_with(column, order, True), {"value": next(iter(values))}))
    return list(tx.scalars(_rows_with(column, order, False), {"value": list(values)}))


@functools.cache
def _rows_with(column: orm.InstrumentedAttribute[Any], order: tuple[Any, ...], one: bool) -> Select[Any]:
    wanted = column == bindparam("value") if one else column.in_(bindparam("value", expanding=True))
    return select(column.class_).where(wanted).order_by(*order)


def delete_with(tx: Tx, column: orm.InstrumentedAttribute[Any], values: Collection[Any]) -> int:
    """Delete the rows whose ``column`` has one of ``values``; return how many.

    The statement is built once for each use, and what the transaction remembers of such rows is forgotten.
    """
    if not values:
        return 0
    tx.flush()
    owner: Any = column.class_
    for row in [row for row in tx.identity_map.values() if isinstance(row, owner)]:
        if getattr(row, column.key) in values:
            tx.expunge(row)
    one = len(values) == 1
    given = {"value": next(iter(values)) if one else list(values)}
    return tx.connection().execute(_delete_with(column, one), given).rowcount


@functools.cache
def _delete_with(column: orm.InstrumentedAttribute[Any], one: bool) -> Delete:
    table: Any = inspect(column.class_).local_table
    key = table.c[column.property.columns[0].name]
    return delete(table).where(key == bindparam("value") if one else key.in_(bindparam("value", expanding=True)))


class NeedsWrite(Exception):
    """A transaction that only reads finds that something has to be added first: run it again as one that writes."""


def writable(tx: Tx) -> bool:
    """Tell whether this request's transaction may write; one that must raises ``NeedsWrite`` otherwise."""
    return bool(tx.info.get("writable"))


R = TypeVar("R", bound=Row)
T = TypeVar("T")


def keep(tx: Tx, row: R) -> R:
    """Have the transaction remember a row up to its end: ``tx.get`` finds it again without a query.

    Rows that nobody holds are forgotten otherwise.
    """
    tx.info.setdefault("kept", set()).add(row)
    return row


def after_commit(tx: Tx, callback: Callable[[], object]) -> None:
    """Run ``callback`` on the event loop once this transaction is durable; never if it is rolled back."""
    tx.info.setdefault("after_commit", []).append(callback)


def case_insensitive_like(column: Any, pattern: str) -> ColumnElement[bool]:
    """Return ``column LIKE pattern`` without regard to case, alike on every engine."""
    return func.lower(column).like(pattern.lower(), escape="\\")


class Stamp:
    """Tells without a query whether anybody, in any process, has committed; and keeps what was learned by then."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.read = read
        self.known: dict[str, tuple[int, Any]] = {}


def remembered(tx: Tx, key: str, query: Callable[[Tx], T]) -> T:
    """Return what ``query`` gives; it is not run where nobody has committed anything since it ran last.

    Only in a transaction that has read nothing so far: its snapshot is then no older than what is remembered.
    """
    stamp: Stamp | None = tx.info.get("stamp")
    if stamp is None or tx.in_transaction():
        return query(tx)
    now = stamp.read()
    known = stamp.known.get(key)
    if known is not None and known[0] == now:
        return known[1]
    value = query(tx)
    stamp.known[key] = now, value
    return value


def once_true(tx: Tx, callback: Callable[[], object]) -> None:
    """Run ``callback`` when what the transaction has read is sure to be committed: now if it only reads."""
    if tx.info.get("snapshot"):
        callback()
    else:
        after_commit(tx, callback)
