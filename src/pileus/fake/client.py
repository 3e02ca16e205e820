"""A fake cloud from outside, over HTTP: what ``pileus fake`` and the pytest plugin speak.

Rule: the standard library alone, so that whoever imports it pays for nothing else.
"""

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit


class Refused(Exception):
    """The cloud's refusal: ``status``, and its sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LocalConnection(http.client.HTTPConnection):
    """A connection to the socket through which this machine reaches a cloud, whatever it serves others by."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class FakeClient:
    """Orders resets, snapshots, faults and time of the fake cloud at ``url`` (``http://127.0.0.1:8774``).

    Each method raises Refused with the cloud's sentence, or OSError when it does not answer.
    """

    def __init__(self, url: str, *, key: str = "", token: str = "", local: Path | None = None) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._local = local
        self._headers = {"X-Fake-Key": key} if key else {"X-Auth-Token": token}

    @classmethod
    def of_state(cls, url: str, state: Path) -> "FakeClient":
        """Return a client that is let in by the key in the cloud's state directory, through the socket beside it."""
        run = state / "run"
        return cls(url, key=(run / "fake.key").read_text().strip(), local=run / "api.sock")

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Send a request to any path of the cloud and return the decoded answer, None when it is empty."""
        return self.exchange(method, path, body, self._headers if headers is None else headers)[0]

    def exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """Send a request; return the decoded answer and its headers, names in lower case."""
        content = None if body is None else json.dumps(body).encode()
        return self.send(method, path, content, {"Content-Type": "application/json", **headers})

    def send(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> tuple[Any, dict[str, str]]:
        """Send a request with a body of bytes; return as ``exchange`` does."""
        if self._local is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        else:
            connection = LocalConnection(self._local)
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status >= 400:
                raise Refused(answer.status, _sentence(told))
            found = {name.lower(): value for name, value in answer.getheaders()}
            return (json.loads(told) if told else None), found
        finally:
            connection.close()

    def reset(self) -> None:
        """Put the cloud back to just after its first start; faults are cleared, time is as it was."""
        self.call("POST", "/fake/reset")

    def save(self, name: str) -> None:
        """Keep the whole cloud as it is now, under a name."""
        self.call("PUT", f"/fake/snapshots/{quote(name, safe='')}")

    def load(self, name: str) -> None:
        """Put the cloud back to what ``save`` kept; faults are cleared."""
        self.call("POST", f"/fake/snapshots/{quote(name, safe='')}/load")

    def delete(self, name: str) -> None:
        """Forget a snapshot."""
        self.call("DELETE", f"/fake/snapshots/{quote(name, safe='')}")

    def snapshots(self) -> list[dict[str, Any]]:
        """Return the snapshots: name, saved_at, bytes."""
        return self.call("GET", "/fake/snapshots")["snapshots"]

    def order(self, kind: str, **fields: Any) -> int:
        """Put a fault of a kind in force (boot, command, api, host, capacity, quota) and return its number."""
        given = {name: value for name, value in fields.items() if value is not None}
        return self.call("POST", "/fake/faults", {"kind": kind, **given})["fault"]["id"]

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults in force, each with how often it was met and how often it struck."""
        return self.call("GET", "/fake/faults")["faults"]

    def clear(self, id: int | None = None) -> None:
        """Take one fault out of force, or all."""
        self.call("DELETE", "/fake/faults" if id is None else f"/fake/faults/{id}")

    def time(self) -> dict[str, Any]:
        """Return the cloud's time: now, and ahead_s, the seconds by which it is ahead of the machine's."""
        return self.call("GET", "/fake/time")

    def move_time(self, seconds: float) -> None:
        """Let ``seconds`` pass at once in the cloud."""
        self.call("POST", "/fake/time", {"forward_s": seconds})

    # The faults that tests order most, by what they do.

    def fail_boot(
        self, message: str, *, name: str = "*", host: str = "*", every: int = 1, times: int = 1, after_s: float = 0
    ) -> int:
        """Have servers' boots fail with a sentence: the next one, each ``every``-th, ``times`` 0 for all."""
        return self.order("boot", message=message, name=name, host=host, every=every, times=times, delay_s=after_s)

    def hang_boot(self, *, name: str = "*", host: str = "*", every: int = 1, times: int = 1) -> int:
        """Have boots hang until the fault is cleared."""
        return self.order("boot", hang=True, name=name, host=host, every=every, times=times)

    def slow_boot(self, seconds: float, *, name: str = "*", host: str = "*", every: int = 1, times: int = 1) -> int:
        """Have boots take ``seconds``."""
        return self.order("boot", delay_s=seconds, name=name, host=host, every=every, times=times)

    def break_api(
        self,
        service: str,
        status: int | None = None,
        *,
        method: str = "*",
        path: str = "*",
        delay_s: float = 0,
        message: str | None = None,
        retry_after_s: int | None = None,
        every: int = 1,
        times: int = 0,
    ) -> int:
        """Have requests of a service answered with ``status``, or ``delay_s`` late, or both; until cleared."""
        what = {"service": service, "status": status, "method": method, "path": path, "delay_s": delay_s}
        return self.order("api", message=message, retry_after_s=retry_after_s, every=every, times=times, **what)

    def fill_quota(self, project: str, service: str, name: str) -> int:
        """Have a project's limit be full, ``("demo", "compute", "instances")`` for example, until cleared."""
        return self.order("quota", project=project, service=service, name=name)

    def lose_host(self, host: str, *, power_off: bool = False) -> int:
        """Have a host die; it comes back when the fault is cleared."""
        return self.order("host", host=host, power_off=power_off)

    def lose_capacity(self, host: str = "*", **left: int) -> int:
        """Have hosts be full but for what is ``left``: vcpus, memory_mib, disk_gib, volumes_gib; until cleared."""
        return self.order("capacity", host=host, **left)


def _sentence(told: bytes) -> str:
    try:
        found = json.loads(told)
    except ValueError:
        return told.decode(errors="replace")
    while isinstance(found, dict) and found:
        message = found.get("message") or found.get("detail")
        found = message if isinstance(message, str) else next(iter(found.values()))
    return str(found)
