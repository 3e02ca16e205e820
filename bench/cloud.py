"""Starts a fake cloud of its own for a benchmark and reads what its processes cost."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import processes
from bench.http import Connection
from pileus.cli.state import State


class FakeCloud:
    """A cloud in a directory of its own; use as a context manager.  ``synced``: commits wait for the disk, as a real
    cloud's do, or not, as a fake one's do by default."""

    def __init__(self, hosts: int = 10, *, synced: bool = True) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.hosts = hosts
        (self.state / "pileus.toml").write_text(f"[cloud]\nsynced = {str(synced).lower()}\n")

    def __enter__(self) -> "FakeCloud":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self._pileus("down", "--purge")
        shutil.rmtree(self.state, ignore_errors=True)

    def up(self) -> float:
        """Start it and return the seconds until the command was done."""
        started = time.monotonic()
        self._pileus("up", "--fake", "--port", str(self.port), "--fake-hosts", str(self.hosts))
        return time.monotonic() - started

    def timed_up(self) -> tuple[float, float]:
        """Start it; return the seconds until every API answered, and until the command had also seen to an image."""
        started = time.monotonic()
        with ThreadPoolExecutor(1) as aside:
            whole = aside.submit(self.up)
            while not whole.done() and not self._answers():
                time.sleep(0.01)
            answering = time.monotonic() - started
            return answering, whole.result()

    def _answers(self) -> bool:
        """Tell whether ``/healthz`` says that the cloud is ready."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def down(self) -> None:
        self._pileus("down")

    def _pileus(self, command: str, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pileus.cli.main", command, *words, "--state", str(self.state)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pileus {command}: {done.stderr}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        pid = State(self.state).pid("server")
        assert pid is not None, "the server does not run"
        return pid

    def cpu_s(self) -> float:
        """Return the CPU seconds the server has used so far."""
        return processes.cpu_s([self.pid])

    def pss_mb(self) -> float:
        """Return the server's proportional set size in MB."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6

    async def login(self, project: str = "admin") -> str:
        """Return a token of the project's user."""
        users = json.loads((self.state / "credentials.json").read_text()).values()
        user = next(user for user in users if user["project"] == project)
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user["user"], "domain": {"id": "default"}, "password": user["password"]}},
        }
        body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": {"id": "default"}}}}}
        connection = Connection(self.url, {})
        answer = (await connection.request("POST", "/identity/v3/auth/tokens", body)).expect(201)
        connection.close()
        return answer.headers["x-subject-token"]
