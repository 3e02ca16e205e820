"""Where a cloud lives and which processes run it.

Rule: a role runs while its process holds the role's lock (:mod:`pileus.cli.lock`); only the holder is ever signalled.
The state directory holds the database, credentials, keys, bytes, logs, locks and ``run/`` with sockets.
"""

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pileus.cli import lock
from pileus.cli.terminal import Problem, say
from pileus.kernel.files import write_durably

ROLES = ("server", "agent")
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8774


@dataclass
class Cloud:
    """What was chosen when the cloud was made; kept in ``cloud.json``."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    fake: bool = False
    fake_hosts: int = 1
    cloud_id: str = "0000"
    tls: bool = False


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

    def lock_file(self, role: str) -> Path:
        """Return the file whose lock a role's process holds as long as it lives."""
        return self.path / f"{role}.lock"

    def pid(self, role: str) -> int | None:
        """Return the pid of a role's process, or None when it does not run."""
        return lock.holder(self.lock_file(role))

    def hold(self, role: str) -> None:
        """Be a role's process until this process ends; raise Problem when there is one already."""
        if not lock.take(self.lock_file(role)):
            raise Problem(
                f"The {role} of the cloud in {self.path} runs already (process {self.pid(role)}).",
                "Stop it with `pileus down`.",
            )

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other commands from starting or stopping this cloud meanwhile; wait for one that is at it.

        Where no cloud has come of it, the directory is left as it was.
        """
        had_folder = self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.lock_file("change")
        if not lock.take(file):
            say(f"Another command is starting or stopping the cloud in {self.path}; waiting for it.")
            lock.take(file, wait=True)
        try:
            yield
        finally:
            lock.release(file, remove=not self.exists())
            if not had_folder and not self.exists():
                with contextlib.suppress(OSError):  # something is in it, logs for example
                    self.path.rmdir()

    def start(self, role: str) -> "subprocess.Popen[bytes]":
        """Start a role's process, detached, with its output in its log; return once it holds its lock or has ended."""
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
        while self.pid(role) != process.pid and process.poll() is None:
            time.sleep(0.005)
        return process

    def log_into(self, role: str) -> None:
        """Let all that this process says go into a role's log, as ``start`` does for one that it starts."""
        log = os.open(self.log(role), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        sys.stdout.flush()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)

    def stop(self, role: str, patience_s: float = 15) -> bool:
        """Stop a role's process, by force when it does not go; return whether there was one."""
        pid = self.pid(role)
        if pid is None:
            return False
        if pid == 0:
            raise Problem(f"The {role} of the cloud in {self.path} runs in another container.", "Stop it there.")
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            self._end(role, pid, handle, patience_s)
        finally:
            os.close(handle)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return True

    def _end(self, role: str, pid: int, handle: int, patience_s: float) -> None:
        """Signal the holder of a role's lock, by ``handle`` of this very process, until it has let go."""
        deadline = time.monotonic() + patience_s
        with contextlib.suppress(ProcessLookupError):
            if self.pid(role) == pid:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
            while self.pid(role) == pid:
                if time.monotonic() > deadline:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                time.sleep(0.02)

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
    scheme = "https" if cloud.tls else "http"
    return f"{scheme}://[{host}]:{cloud.port}" if ":" in host else f"{scheme}://{host}:{cloud.port}"


def connection(cloud: Cloud, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to the cloud from its own machine; who answers there is not doubted."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(cloud.host, cloud.host)
    if not cloud.tls:
        return http.client.HTTPConnection(host, cloud.port, timeout=timeout_s)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, cloud.port, timeout=timeout_s, context=trusting)


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace ``path`` so that a crash leaves either the old or the new text."""
    write_durably(path, text.encode(), mode)


def port_is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there."""
    return why_not_listen(host, port) is None


def why_not_listen(host: str, port: int) -> Problem | None:
    """Return why a server could not listen there, or None when it could."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (socket.gaierror, UnicodeError) as error:
        return Problem(f"The address {host} is not known: {error}.", "Name an address of this machine.")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Problem(
                f"Port {port} on {host} is taken by another program.",
                f"Choose another with --port, for example --port {_free_port(host)}.",
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return Problem(
                f"{host} is no address of this machine.",
                "Name one with --host (`ip address` lists them), or 0.0.0.0 for all.",
            )
        if error.errno == errno.EACCES:
            return Problem(f"Port {port} needs root.", "Choose one above 1023 with --port, or use sudo.")
        return Problem(f"Cannot listen on {host} port {port}: {error.strerror}.", "Choose others with --host, --port.")
    return None


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
