"""Where a cloud lives and which processes run it.  Rule: a process is only ever signalled by a pid that was checked.

The state directory holds the database, credentials, keys, bytes, logs and ``run/`` with pid files and sockets.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pileus.cli.terminal import Problem
from pileus.kernel.files import write_durably

ROLES = ("server", "agent")


@dataclass
class Cloud:
    """What was chosen when the cloud was made; kept in ``cloud.json``."""

    host: str = "127.0.0.1"
    port: int = 8774
    fake: bool = False
    fake_hosts: int = 1
    cloud_id: str = "0000"


class State:
    """One cloud's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def cloud_file(self) -> Path:
        return self.path / "cloud.json"

    def exists(self) -> bool:
        return self.cloud_file.exists()

    def load(self) -> Cloud:
        """Return the cloud's choices; raise Problem when there is no cloud here."""
        try:
            return Cloud(**json.loads(self.cloud_file.read_text()))
        except FileNotFoundError:
            raise Problem(
                f"There is no cloud in {self.path}.", "Start one with `pileus up`, or name another with --state."
            ) from None
        except (ValueError, TypeError) as error:
            raise Problem(f"{self.cloud_file} cannot be read: {error}.", "Mend or remove that file.") from error

    def save(self, cloud: Cloud) -> None:
        for folder in (self.path, self.path / "run", self.path / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)
        write_atomically(self.cloud_file, json.dumps(asdict(cloud), indent=2) + "\n")

    def log(self, role: str) -> Path:
        return self.path / "logs" / f"{role}.log"

    def pid(self, role: str) -> int | None:
        """Return the pid of a role's process if it still is that very process."""
        try:
            noted = json.loads((self.path / "run" / f"{role}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return noted["pid"] if started_at(noted["pid"]) == noted["started"] else None

    def start(self, role: str) -> int:
        """Start a role's process, detached, with its output in its log; return its pid."""
        log = os.open(self.log(role), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "pileus.cli.main", role, "--state", str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
        note = {"pid": process.pid, "started": started_at(process.pid)}
        write_atomically(self.path / "run" / f"{role}.pid", json.dumps(note))
        return process.pid

    def stop(self, role: str, patience_s: float = 15) -> bool:
        """Stop a role's process, by force when it does not go; tell whether there was one."""
        pid = self.pid(role)
        if pid is None:
            (self.path / "run" / f"{role}.pid").unlink(missing_ok=True)
            return False
        noted = started_at(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while started_at(pid) == noted:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        (self.path / "run" / f"{role}.pid").unlink(missing_ok=True)
        return True

    def credentials(self) -> dict[str, Any]:
        """Return the users the cloud was made with and their passwords."""
        try:
            return json.loads((self.path / "credentials.json").read_text())
        except FileNotFoundError:
            raise Problem(f"{self.path} has no credentials yet.", "Start the cloud with `pileus up`.") from None
        except PermissionError as error:
            raise Problem(
                f"{error.filename} belongs to another user.",
                "Run this as the user who started the cloud, or with sudo.",
            ) from error


def url(cloud: Cloud) -> str:
    """Return the cloud's address as a browser on this machine would use it."""
    host = "127.0.0.1" if cloud.host in ("0.0.0.0", "::") else cloud.host
    return f"http://[{host}]:{cloud.port}" if ":" in host else f"http://{host}:{cloud.port}"


def started_at(pid: int) -> str | None:
    """Return the start time of a live process (``/proc/PID/stat`` field 22), or None; zombies do not count.

    One whose first thread is a zombie while others still die (field 20 counts them) has not let go of its port and
    its locks yet, so it is not gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z" and int(fields[17]) <= 1:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return fields[19]


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace ``path`` so that a crash leaves either the old or the new text."""
    write_durably(path, text.encode(), mode)


def port_is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
