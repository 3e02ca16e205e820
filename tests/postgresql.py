"""A PostgreSQL server of the tests' own: on a unix socket in a temporary directory, stopped by its process id."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def find_programs() -> Path | None:
    """Return the folder of the newest server's programs, or None when none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@contextmanager
def server() -> Iterator[str]:
    """Start a server and yield a format string for database URLs, ``...dbname...``."""
    programs = find_programs()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="pileus-pg-", dir="/tmp"))
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(folder, account.pw_uid, account.pw_gid)
    as_user: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "cwd": folder}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        check=True, capture_output=True, **as_user,
    )  # fmt: skip
    settings = ["listen_addresses=", "fsync=off", "max_connections=60", "shared_buffers=32MB"]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, *(word for one in settings for word in ("-c", one))],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user,
    )  # fmt: skip
    try:
        _wait(programs, folder)
        yield f"postgresql://postgres@/DBNAME?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def create_database(url: str, name: str) -> str:
    """Create a database and return its URL."""
    import psycopg

    with psycopg.connect(url.replace("DBNAME", "postgres"), autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
    return url.replace("DBNAME", name)


def drop_database(url: str) -> None:
    """Drop a database, whoever is connected to it."""
    import psycopg

    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


def _wait(programs: Path, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise TimeoutError("PostgreSQL did not start within 30 s")
        time.sleep(0.05)
