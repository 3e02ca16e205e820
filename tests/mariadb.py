"""A MariaDB server of the tests' own: on a unix socket in a temporary directory, stopped by its process id."""

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

PROGRAM = Path("/usr/sbin/mariadbd")
INSTALL = Path("/usr/bin/mariadb-install-db")
CLIENT = Path("/usr/bin/mariadb")


def is_installed() -> bool:
    """Tell whether a server's programs are here."""
    return all(program.exists() for program in (PROGRAM, INSTALL, CLIENT))


@contextmanager
def server(*settings: str) -> Iterator[str]:
    """Start a server and yield a format string for database URLs, ``...DBNAME...``."""
    assert is_installed(), "MariaDB is not installed: apt-get install mariadb-server"
    # In memory where there is room for it: a schema is a hundred tables, each of which the server syncs to its disk.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    folder = Path(tempfile.mkdtemp(prefix="pileus-db-", dir=memory if roomy else "/tmp"))
    account = pwd.getpwnam("mysql") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    data, socket = folder / "data", folder / "sock"
    os.chown(folder, account.pw_uid, account.pw_gid)
    as_user: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "cwd": folder}
    subprocess.run(
        [
            INSTALL, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=16M",
        ],
        check=True, capture_output=True, **as_user,
    )  # fmt: skip
    options = [
        "--skip-networking", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M", "--innodb-file-per-table=0", "--max-connections=100", *settings,
    ]  # fmt: skip
    process = subprocess.Popen(
        [PROGRAM, "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder}/pid", *options],
        stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"), **as_user,
    )  # fmt: skip
    try:
        _wait(socket, process)
        yield f"mariadb://root@/DBNAME?unix_socket={socket}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def create_database(url: str, name: str) -> str:
    """Create a database and return its URL."""
    _ask(url, f"create database `{name}`")
    return url.replace("DBNAME", name)


def drop_database(url: str) -> None:
    """Drop a database."""
    _ask(url, f"drop database `{url.partition('@/')[2].partition('?')[0]}`")


def _ask(url: str, statement: str) -> None:
    socket = url.rpartition("=")[2]
    command = [CLIENT, "--no-defaults", f"--socket={socket}", "--user=root", "-e", statement]
    subprocess.run(command, check=True, capture_output=True)


def _wait(socket: Path, process: subprocess.Popen[Any]) -> None:
    ping = [CLIENT, "--no-defaults", f"--socket={socket}", "--user=root", "-e", "select 1"]
    deadline = time.monotonic() + 30
    while subprocess.run(ping, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline or process.poll() is not None:
            raise TimeoutError("MariaDB did not start within 30 s")
        time.sleep(0.1)
