"""Keystone's database as plain rows: MySQL, MariaDB, PostgreSQL or SQLite.

Rule: it is only read, in one transaction, so that what is taken over belongs together.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, create_engine, inspect, literal_column, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.sql import quoted_name

KSRow = dict[str, Any]
TABLES = (
    "access_rule",
    "application_credential",
    "application_credential_access_rule",
    "application_credential_role",
    "assignment",
    "consumer",
    "credential",
    "endpoint",
    "endpoint_group",
    "federated_user",
    "federation_protocol",
    "group",
    "identity_provider",
    "idp_remote_ids",
    "implied_role",
    "limit",
    "local_user",
    "mapping",
    "nonlocal_user",
    "password",
    "policy",
    "policy_association",
    "project",
    "project_endpoint",
    "project_endpoint_group",
    "project_option",
    "project_tag",
    "region",
    "registered_limit",
    "role",
    "role_option",
    "sensitive_config",
    "service",
    "service_provider",
    "system_assignment",
    "trust",
    "trust_role",
    "user",
    "user_group_membership",
    "user_option",
    "whitelisted_config",
)
NEEDED = frozenset({"user", "project", "role", "assignment", "local_user", "password"})
DRIVERS = {"mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy", "postgresql": "postgresql+psycopg"}


class SourceError(Exception):
    """A source that cannot be read: says why."""


class Source:
    """The rows of a Keystone's tables; a table that its release did not have yet is empty."""

    def __init__(self, rows: dict[str, list[KSRow]]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> list[KSRow]:
        return self._rows.get(name, [])

    def by(self, name: str, column: str) -> dict[Any, list[KSRow]]:
        """Return a table's rows grouped by one column."""
        found: dict[Any, list[KSRow]] = {}
        for row in self[name]:
            found.setdefault(row[column], []).append(row)
        return found


async def open_source(text: str) -> Source:
    """Read a Keystone's database named by its URL, or by the path of an SQLite file; raise SourceError."""
    try:
        url = make_url(text if "://" in text else f"sqlite:///{text}")
    except ArgumentError:
        raise SourceError(f"{text} is not the URL of a database.") from None
    kind = url.get_backend_name()
    try:
        if kind == "sqlite":
            return _read_file(Path(url.database or ""))
        if kind not in DRIVERS:
            raise SourceError(f"{kind} is not a database that Keystone keeps; {', '.join(DRIVERS)} or sqlite is.")
        return await _read_server(url.set(drivername=DRIVERS[kind]).difference_update_query(["charset"]))
    except (SQLAlchemyError, OSError, ModuleNotFoundError, NoSuchModuleError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SourceError(f"{url.render_as_string(hide_password=True)} cannot be read: {cause}") from error


def _read_file(path: Path) -> Source:
    if not path.is_file():
        raise SourceError(f"There is no file {path}.")
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            return _read(connection)
    finally:
        engine.dispose()


async def _read_server(url: URL) -> Source:
    engine = create_async_engine(url, isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_read)
    finally:
        await engine.dispose()


def _read(connection: Connection) -> Source:
    there = set(inspect(connection).get_table_names())
    if missing := NEEDED - there:
        raise SourceError(f"This is no Keystone's database: it has no table {', '.join(sorted(missing))}.")
    return Source({name: _rows(connection, name) for name in TABLES if name in there})


def _rows(connection: Connection, name: str) -> list[KSRow]:
    """Return a table's rows, quoted as the engine wants it: ``user``, ``group`` and ``limit`` are its own words."""
    found = connection.execute(select(literal_column("*")).select_from(table(quoted_name(name, True))))
    return [dict(row) for row in found.mappings()]


def json_of(value: str | None) -> dict[str, Any]:
    """Return what a column of JSON holds; nothing, or what is no object, is an empty one."""
    found = json_value(value)
    return found if isinstance(found, dict) else {}


def json_value(value: Any, depth: int = 2) -> Any:
    """Return a JSON value; Keystone wrote some of them as text within text."""
    for _ in range(depth):
        if not isinstance(value, str):
            break
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            break
    return value


def unique(rows: Iterable[KSRow], column: str) -> dict[Any, KSRow]:
    """Return rows by a column of which each value occurs once."""
    return {row[column]: row for row in rows}
