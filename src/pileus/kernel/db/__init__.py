"""Transactions: a unit of work is a plain function of an open session; the engine decides where it runs."""

from pileus.kernel.db.base import (
    Collided,
    NeedsWrite,
    Row,
    Tx,
    after_commit,
    case_insensitive_like,
    keep,
    once_true,
    remembered,
    writable,
)
from pileus.kernel.db.engine import Database, open_database
from pileus.kernel.db.session import add_now, ask, delete_with, load, load_one, rows_with
from pileus.kernel.db.types import ByteString, JsonText, UtcDateTime

__all__ = [
    "ByteString",
    "Collided",
    "Database",
    "JsonText",
    "NeedsWrite",
    "Row",
    "Tx",
    "UtcDateTime",
    "add_now",
    "after_commit",
    "ask",
    "case_insensitive_like",
    "delete_with",
    "keep",
    "load",
    "load_one",
    "once_true",
    "open_database",
    "remembered",
    "rows_with",
    "writable",
]
