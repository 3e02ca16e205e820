"""One consistent copy of a whole database in a file, and a database made from it.

Rule: a copy is one moment of the database, taken while others go on writing, and holds every commit from before it
began.  PostgreSQL and MariaDB are copied by their own programs, which must be of the server's version or newer.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection, MetaData, make_url

from pileus.kernel.db import schema
from pileus.kernel.db.engine import open_database
from pileus.kernel.errors import Unavailable

RESTORING = "restoring"
"""Stands for a revision while rows are put in: no cloud starts on such a database."""
PAGES = 2000
Progress = Callable[[float], None]

LONGEST_S = 6 * 3600.0
"""How long a database may take to be written out or read in."""


class Failed(Unavailable):
    """A copy that could not be made or read."""


def kind(url: str) -> str:
    """Return which engine a URL names; copies go from one to the same only."""
    name = make_url(url).get_backend_name()
    return "mariadb" if name == "mysql" else name


def dump(url: str, file: Path, progress: Progress) -> None:
    """Copy the database into ``file``."""
    match kind(url):
        case "sqlite":
            _copy_sqlite(Path(url.removeprefix("sqlite:///")), file, progress)
        case "postgresql":
            words = ["pg_dump", "--format=custom", f"--exclude-table={schema.TABLE}", "--no-owner", "--no-privileges"]
            _run([*words, f"--file={file}", "--dbname", _libpq(make_url(url))])
        case _:
            words = ["mariadb-dump", *_client(make_url(url)), "--single-transaction", "--skip-lock-tables"]
            words += ["--hex-blob", "--default-character-set=utf8mb4", f"--result-file={file}"]
            database = make_url(url).database or ""
            _run([*words, f"--ignore-table={database}.{schema.TABLE}", database], password=make_url(url).password)


def _copy_sqlite(source: Path, file: Path, progress: Progress) -> None:
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, isolation_level=None)) as here,
        closing(sqlite3.connect(file)) as there,
    ):
        # Within a transaction the source is one snapshot: writers go on beside it and the copy never starts anew.
        here.execute("begin")
        here.execute("select count(*) from sqlite_master").fetchone()
        here.backup(there, pages=PAGES, progress=lambda _, left, total: progress(1 - left / max(total, 1)), sleep=0)
        there.execute("pragma journal_mode=delete")
    os.chmod(file, 0o600)


async def load(url: str, file: Path, revision: str) -> None:
    """Put a copy into the database that ``url`` names; whatever was in it goes."""
    if kind(url) == "sqlite":
        target = Path(url.removeprefix("sqlite:///"))
        shutil.copyfile(file, target)
        os.chmod(target, 0o600)
        _sync(target)
        return
    database = open_database(url)
    try:
        await database.change_schema(_empty)
        if kind(url) == "postgresql":
            words = ["pg_restore", "--single-transaction", "--no-owner", "--no-privileges", "--exit-on-error"]
            _run([*words, "--dbname", _libpq(make_url(url)), str(file)])
        else:
            words = ["mariadb", *_client(make_url(url)), "--default-character-set=utf8mb4"]
            with file.open("rb") as content:
                _run([*words, make_url(url).database or ""], password=make_url(url).password, stdin=content.fileno())
        await database.change_schema(lambda connection: schema.stamp(connection, revision))
    finally:
        await database.close()


def _empty(connection: Connection) -> None:
    schema.stamp(connection, RESTORING)
    found = MetaData()
    found.reflect(connection)
    found.drop_all(connection, [table for name, table in found.tables.items() if name != schema.TABLE])


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _client(url: URL) -> list[str]:
    words = ["--no-defaults", f"--user={url.username or ''}"]
    if socket := url.query.get("unix_socket"):
        return [*words, f"--socket={socket}"]
    return [*words, f"--host={url.host or '127.0.0.1'}", f"--port={url.port or 3306}"]


def _run(words: list[str], *, password: str | None = None, stdin: int = subprocess.DEVNULL) -> None:
    environment = {**os.environ, **({"MYSQL_PWD": password} if password else {})}
    try:
        done = subprocess.run(
            words, stdin=stdin, capture_output=True, text=True, check=False, env=environment, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{words[0]} did not end within {LONGEST_S / 3600:.0f} hours and was stopped.") from None
    except FileNotFoundError:
        package = "postgresql-client" if words[0].startswith("pg_") else "mariadb-client"
        raise Failed(f"The program {words[0]} is not here: apt-get install {package}.") from None
    if done.returncode != 0:
        raise Failed(f"{words[0]} failed: {done.stderr.strip()[-600:]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
