"""What a violated constraint says, in every engine's own words: which kind it is of, and which columns it names.

Rule: only the kind and the columns leave this module; the values in an engine's message may be secrets.
"""

import re
import sqlite3
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import IntegrityError

Kind = Literal["unique", "reference", "null", "check"]
"""A second row of the same key; a row that refers to none or is still referred to; a value missing; one refused."""

_SQLITE: dict[int, Kind] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "unique",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "unique",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "reference",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "null",
}
_POSTGRESQL: dict[str, Kind] = {"23505": "unique", "23503": "reference", "23502": "null"}
_MARIADB: dict[int, Kind] = {
    1062: "unique", 1169: "unique", 1586: "unique",
    1216: "reference", 1217: "reference", 1451: "reference", 1452: "reference",
    1048: "null", 1364: "null",
}  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """A constraint that a statement violated; ``columns`` are empty where the engine does not name them."""

    kind: Kind
    columns: tuple[str, ...]


def violation_of(error: IntegrityError) -> Violation:
    """Return what an engine's refusal says; what is not known otherwise is a value that a check refused."""
    cause = error.orig
    diagnosis = getattr(cause, "diag", None)
    if diagnosis is not None:
        kind = _POSTGRESQL.get(str(getattr(cause, "sqlstate", "")), "check")
        named = [diagnosis.column_name] if diagnosis.column_name else _in_key(diagnosis.message_detail or "")
        return Violation(kind, tuple(named))
    if isinstance(cause, sqlite3.Error) or hasattr(cause, "sqlite_errorcode"):
        kind = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0), "check")
        return Violation(kind, tuple(re.findall(r"\w+\.(\w+)", str(cause).partition("constraint failed: ")[2])))
    arguments = cause.args if cause is not None else ()
    kind = _MARIADB.get(arguments[0] if arguments and isinstance(arguments[0], int) else 0, "check")
    return Violation(kind, tuple(re.findall(r"Column '(\w+)'", str(cause))))


def _in_key(detail: str) -> list[str]:
    """Return the columns in "Key (network_id, ip)=(..., ...) already exists."."""
    found = re.match(r"Key \(([\w, ]+)\)=", detail)
    return found.group(1).split(", ") if found else []


def may_be_a_race(error: IntegrityError) -> bool:
    """Tell whether two transactions at once can cause it: each alone would have found what the other wrote."""
    return violation_of(error).kind in ("unique", "reference")
