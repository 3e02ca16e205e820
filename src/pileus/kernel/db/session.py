"""Statements that are built once, without what the session sets up anew each time it runs one.

For a row found by its key, that set-up costs more than the database, the driver and the row together.  What comes of
it is the same: rows of the transaction, each there once, whose changes are written by it.

Rule: this module alone knows the inside of SQLAlchemy's sessions; ``tests/unit/kernel/test_db_session.py`` compares
it with their own loading.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    CursorResult,
    Delete,
    Executable,
    Select,
    bindparam,
    delete,
    insert,
    inspect,
    orm,
    select,
)

R = TypeVar("R")


class Session(orm.Session):
    """SQLAlchemy's, which looks up by key with a statement built once, and knows the connection of its transaction."""

    _handed: tuple[orm.SessionTransaction, Connection] | None = None

    def connection(self, *arguments: Any, **options: Any) -> Connection:
        if arguments or options:
            return super().connection(*arguments, **options)
        handed = self._handed
        if handed is not None and handed[0] is self.get_transaction() and handed[0].is_active:
            return handed[1]
        connection = super().connection()
        transaction = self.get_transaction()
        self._handed = None if transaction is None else (transaction, connection)
        return connection

    def get(self, entity: Any, ident: Any, **options: Any) -> Any:
        if options or isinstance(ident, dict):
            return super().get(entity, ident, **options)
        key = ident if isinstance(ident, tuple) else (ident,)
        known = self.identity_map.get((entity, key, None))
        if known is not None:
            state = inspect(known)
            return super().get(entity, ident) if state.expired or state.deleted else known
        parameters = {f"key_{position}": part for position, part in enumerate(key)}
        return load_one(self, entity, _by_key(entity), parameters)

    def close(self) -> None:
        self._handed = None
        super().close()


class _Shape:
    """What becomes of the columns of a class.

    ``names``: its attributes; ``columns``: their columns' names; ``key``: where its primary key is among them;
    ``defaults``: what attributes are that were not given; ``insert``: the statement that adds a row.
    """

    def __init__(self, entity: type[Any]) -> None:
        mapper = inspect(entity)
        columns = [attribute.columns[0] for attribute in mapper.column_attrs]
        self.names = [attribute.key for attribute in mapper.column_attrs]
        self.columns = [column.name for column in columns]
        self.key = [columns.index(column) for column in mapper.primary_key]
        self.blank = mapper.class_manager.new_instance
        self.defaults = {name: column.default for name, column in zip(self.names, columns, strict=True)}
        self.insert = insert(mapper.local_table)


_shape = functools.cache(_Shape)


def ask(
    tx: orm.Session, statement: Executable, given: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    """Run a statement on columns that is built once; what the transaction has not written yet is written first."""
    if tx.autoflush:
        tx.flush()
    return tx.connection().execute(statement, given)


def load(tx: orm.Session, entity: type[R], statement: Select[Any], given: Mapping[str, Any] | None = None) -> list[R]:
    """Return the rows that ``statement``, a ``select(entity)`` that is built once, finds with what is ``given``.

    What the transaction has not written yet is written first; rows that it knows stay as it knows them.
    """
    shape = _shape(entity)
    known = tx.identity_map
    found: list[R] = []
    for row in ask(tx, statement, given or {}):
        key = entity, tuple([row[position] for position in shape.key]), None
        there = known.get(key)
        if there is None:
            there = _attach(tx, key, shape, row)
        elif inspect(there).expired:
            tx.refresh(there)
        found.append(there)
    return found


def load_one(
    tx: orm.Session, entity: type[R], statement: Select[Any], given: Mapping[str, Any] | None = None
) -> R | None:
    """Return the first row that ``load`` would return, or None."""
    found = load(tx, entity, statement, given)
    return found[0] if found else None


def add_now(tx: orm.Session, *rows: Any) -> None:
    """Insert new rows of one class at once, all of whose keys are known; the transaction knows them then.

    It is what ``tx.add_all`` and ``tx.flush`` do, without working out what else depends on what.  What the
    transaction has not written yet is written first.
    """
    if not rows:
        return
    shape = _shape(type(rows[0]))
    given = [_complete(shape, row) for row in rows]
    ask(tx, shape.insert, given[0] if len(given) == 1 else given)
    known: Any = tx.identity_map
    for row in rows:
        state: Any = inspect(row)
        state.key = type(row), tuple([state.dict[shape.names[position]] for position in shape.key]), None
        state.session_id = tx.hash_key
        known.add(state)
        state._commit_all(state.dict, known)


def _complete(shape: _Shape, row: Any) -> dict[str, Any]:
    """Give a new row its defaults; return what is inserted, by column."""
    values: dict[str, Any] = inspect(row).dict
    for name in shape.names:
        if name not in values:
            default: Any = shape.defaults[name]
            values[name] = None if default is None else default.arg(None) if default.is_callable else default.arg
    if any(values[shape.names[position]] is None for position in shape.key):
        raise TypeError(f"{type(row).__name__} has no key yet: add it and flush")
    return {column: values[name] for column, name in zip(shape.columns, shape.names, strict=True)}


def _attach(tx: orm.Session, key: Any, shape: _Shape, row: Any) -> Any:
    """Make a row of the transaction, as the session's own loader does where no event is listened to."""
    made = shape.blank()
    state: Any = inspect(made)
    state.dict.update(zip(shape.names, row, strict=True))
    state.key = key
    state.session_id = tx.hash_key
    known: Any = tx.identity_map
    known._add_unpresent(state, key)
    return made


def rows_with(
    tx: orm.Session, column: orm.InstrumentedAttribute[Any], values: Collection[Any], *order: Any
) -> list[Any]:
    """Return the rows whose ``column`` has one of ``values``, sorted by the columns in ``order``.

    The statement is built once for each use; building it costs more than running it.
    """
    if not values:
        return []
    owner: Any = column.class_
    if len(values) == 1:
        return load(tx, owner, _rows_with(column, order, True), {"value": next(iter(values))})
    return load(tx, owner, _rows_with(column, order, False), {"value": list(values)})


@functools.cache
def _rows_with(column: orm.InstrumentedAttribute[Any], order: tuple[Any, ...], one: bool) -> Select[Any]:
    wanted = column == bindparam("value") if one else column.in_(bindparam("value", expanding=True))
    return select(column.class_).where(wanted).order_by(*order)


def delete_with(tx: orm.Session, column: orm.InstrumentedAttribute[Any], values: Collection[Any]) -> int:
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


@functools.cache
def _by_key(entity: Any) -> Select[Any]:
    """Return the statement that finds a row by its primary key."""
    columns = enumerate(inspect(entity).primary_key)
    return select(entity).where(*(column == bindparam(f"key_{position}") for position, column in columns))
