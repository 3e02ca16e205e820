"""The shape of the database: which revision it has, and how a start brings it to the program's own.

Rule: a start on a database of the right revision asks one question and imports nothing; everything else happens
under a lock, in one transaction where the engine can, and may be killed at any moment.

Until the first release there are no revisions: the schema is what the models say, and its name is their digest.
"""

import functools
import hashlib
import logging
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Constraint, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import ColumnCollectionConstraint

import pileus
from pileus.kernel.db.base import Row, Tx
from pileus.kernel.db.engine import Database
from pileus.kernel.errors import Unavailable

log = logging.getLogger(__name__)

FOLDER = Path(pileus.__file__).parent / "migrations"
TABLE = "alembic_version"
UNRELEASED = "unreleased_"
CREATING = "creating"
"""Stands for a revision while the tables are made: where it is found they are unfinished and empty."""

_FILE = re.compile(r"(\d{4})_\w+\.py")
_NAME = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)


class WrongSchema(Unavailable):
    """A database that this program cannot work on."""


@dataclass(frozen=True)
class Revision:
    """One file of the chain; files follow each other by their numbers."""

    id: str
    path: Path


def chain(folder: Path = FOLDER) -> list[Revision]:
    """Return the revisions, oldest first."""
    found = []
    for path in sorted(path for path in folder.iterdir() if _FILE.fullmatch(path.name)):
        named = _NAME.search(path.read_text())
        if named is None:
            raise WrongSchema(f'{path} does not say which revision it is: it lacks a line revision = "...".')
        found.append(Revision(named[1], path))
    return found


def head(folder: Path = FOLDER) -> str:
    """Return the revision that this program works on: the last of the chain, or the models' digest without one."""
    revisions = chain(folder)
    return revisions[-1].id if revisions else f"{UNRELEASED}{digest()}"


def tables() -> list[Table]:
    """Return the program's own tables: those of tests share the same base."""
    mappers = Row.registry.mappers
    return [m.local_table for m in mappers if m.class_.__module__.startswith("pileus.")]  # type: ignore[misc]


def digest() -> str:
    """Return what tells one state of the models from another: of columns, keys and indexes, in any order."""
    from pileus.kernel.service import find_services  # which knows this module

    find_services()  # whichever of them this cloud runs, the schema is of all
    return _digest(frozenset(tables()))


@functools.cache
def _digest(of: frozenset[Table]) -> str:
    """Return the digest of some tables; it takes longer than all else in the start of a cloud that is put back."""
    lines = []
    for table in of:
        columns = [f"{c.name} {c.type!r} {c.nullable} {c.primary_key} {c.server_default}" for c in table.columns]
        keys = [_key(constraint) for constraint in table.constraints]
        links = [f"{k.parent.name} {k.target_fullname} {k.ondelete}" for k in table.foreign_keys]
        indexes = [f"{i.name} {i.unique} {[str(e) for e in i.expressions]}" for i in table.indexes]
        lines.append(f"{table.name}: {sorted(columns)} {sorted(keys)} {sorted(links)} {sorted(indexes)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _key(constraint: Constraint) -> str:
    columns = [c.name for c in constraint.columns] if isinstance(constraint, ColumnCollectionConstraint) else []
    return f"{type(constraint).__name__} {columns}"


async def bring_up(db: Database, folder: Path = FOLDER) -> None:
    """Make the tables of a new database, or migrate an older one; return at once when there is nothing to do."""
    wanted = head(folder)
    try:
        if await db.read(read_revision) == wanted:
            return
    except DBAPIError:
        log.debug("the database has no revision yet")
    await db.change_schema(partial(_settle, folder))


def read_revision(tx: Tx) -> str | None:
    """Return the revision of a database that has one."""
    return tx.connection().execute(text(f"select version_num from {TABLE}")).scalar()


def stored(connection: Connection) -> str | None:
    """Return the revision that the database has, None when it has none."""
    if not inspect(connection).has_table(TABLE):
        return None
    return connection.execute(text(f"select version_num from {TABLE}")).scalar()


def stamp(connection: Connection, revision: str) -> None:
    """Note which revision the database has."""
    if not inspect(connection).has_table(TABLE):
        length = max(32, len(revision))
        connection.execute(text(f"create table {TABLE} (version_num varchar({length}) not null primary key)"))
    connection.execute(text(f"delete from {TABLE}"))
    connection.execute(text(f"insert into {TABLE} values (:revision)"), {"revision": revision})
    if not transactional(connection):
        connection.commit()


def transactional(connection: Connection) -> bool:
    """Tell whether the engine can take back changes of the schema; MariaDB commits each by itself."""
    return connection.dialect.name in ("sqlite", "postgresql")


def _settle(folder: Path, connection: Connection) -> None:
    found = stored(connection)
    tables = set(inspect(connection).get_table_names()) - {TABLE}
    if found == CREATING:
        log.warning("the database was left half made: its empty tables are made again")
        _drop(connection, tables)
        tables = set()
    elif found is None and tables & Row.metadata.tables.keys():
        raise WrongSchema(
            "The database was made by a version of Pileus from before its first release, which had no migrations: "
            "start anew with `pileus down --purge`, or name another with --state or [cloud] database."
        )
    if found in (None, CREATING):
        create(connection, head(folder))
        return
    if not chain(folder):
        raise WrongSchema(
            f"The database was made by another development version of Pileus ({found}; this one is {head(folder)}), "
            "and before the first release nothing leads from one to the next: start anew with `pileus down --purge`."
        )
    from pileus.kernel.db import migrate  # imports Alembic, which a start with nothing to migrate need not

    migrate.upgrade(connection, folder)


def create(connection: Connection, revision: str) -> None:
    """Make all tables at once, as the models say; a test sees to it that a chain ends in the same."""
    stamp(connection, CREATING)
    Row.metadata.create_all(connection)
    stamp(connection, revision)


def _drop(connection: Connection, tables: set[str]) -> None:
    connection.execute(text("set foreign_key_checks = 0"))
    quote = connection.dialect.identifier_preparer.quote
    for name in sorted(tables):
        connection.execute(text(f"drop table {quote(name)}"))
    connection.execute(text("set foreign_key_checks = 1"))
