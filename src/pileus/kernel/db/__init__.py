"""Transactions: a unit of work is a plain function of an open session; the engine decides where it runs."""

from pileus.kernel.db.base import (
    NeedsWrite,
    Row,
    Tx,
    after_commit,
    case_insensitive_like,
    delete_with,
    keep,
    once_true,
    remembered,
    rows_with,
    writable,
)
from pileus.kernel.db.engine import Database, open_database
from pileus.kernel.db.types import ByteString, JsonText, UtcDateTime

__all__ = [
    "ByteString",
    "Database",
    "JsonText",
    "NeedsWrite",
    "Row",
    "Tx",
    "UtcDateTime",
    "after_commit",
    "case_insensitive_like",
    "delete_with",
    "keep",
    "once_true",
    "open_database",
    "remembered",
    "rows_with",
    "writable",
]
