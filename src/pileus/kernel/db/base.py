"""What every row and every transaction share.  Rule: rows hold no relationships and load nothing lazily."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, MetaData, String, func, orm
from sqlalchemy.orm import DeclarativeBase

from pileus.kernel.db.types import JsonText, UtcDateTime

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


class NeedsWrite(Exception):
    """A transaction that only reads finds that something has to be added first: run it again as one that writes."""


class Collided(Exception):
    """Another transaction took what this one was about to take: run it again on what is there now."""


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
