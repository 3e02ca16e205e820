"""What every row and every transaction share.  Rule: rows hold no relationships and load nothing lazily."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, DateTime, Dialect, MetaData, Text, func
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

Tx = Session
"""An open transaction.  ``tx.info`` carries what its owner put there (see ``after_commit``)."""

_decode = msgspec.json.Decoder().decode


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC moments with microseconds, stored without an offset on every engine."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


class JsonText(TypeDecorator[Any]):
    """Any JSON value (or msgspec struct), stored as text; assign a new value to change it, do not mutate it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else _decode(value)


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
        datetime: UtcDateTime,
        dict[str, Any]: JsonText,
        dict[str, str]: JsonText,
        list[Any]: JsonText,
        list[dict[str, Any]]: JsonText,
        list[str]: JsonText,
    }


class NeedsWrite(Exception):
    """A transaction that only reads finds that something has to be added first: run it again as one that writes."""


def writable(tx: Tx) -> bool:
    """Tell whether this request's transaction may write; one that must raises ``NeedsWrite`` otherwise."""
    return bool(tx.info.get("writable"))


R = TypeVar("R", bound=Row)


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
