"""One request, sent to the application as a server would hand it over.  Rule: nothing tidies it up on the way."""

import asyncio
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from pileus.kernel.runtime import Runtime

PATIENCE_S = 30


@dataclass
class Sent:
    """What goes out; ``path`` is percent-encoded, ``operation`` the document's name for it."""

    operation: str
    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def told(self) -> str:
        """Return it in one line, for a report."""
        query = f"?{urlencode(self.query, errors='replace')}" if self.query else ""
        extra = {name: value for name, value in self.headers.items() if name not in ("x-auth-token", "content-type")}
        return f"{self.method} {self.path[:300]}{query[:300]} {extra or ''} {self.body[:300]!r}"


@dataclass
class Got:
    """What came back; status 0: nothing did, within the time."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def request_id(self) -> str:
        return self.headers.get("x-openstack-request-id", "")


async def send(runtime: Runtime, sent: Sent) -> Got:
    """Hand the request to the application and gather its answer."""
    started = time.perf_counter()
    status, headers, chunks = 0, {}, []

    async def receive() -> MutableMapping[str, Any]:
        if not arrived:
            arrived.append(True)
            return {"type": "http.request", "body": sent.body, "more_body": False}
        await asyncio.sleep(PATIENCE_S)
        return {"type": "http.disconnect"}

    async def answer(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update({name.decode(): value.decode("utf-8", "replace") for name, value in message["headers"]})
        else:
            chunks.append(message.get("body", b""))

    arrived: list[bool] = []
    given = {"host": "cloud.test", "content-length": str(len(sent.body)), **sent.headers}
    scope = {
        "type": "http",
        "method": sent.method,
        "scheme": "http",
        "path": unquote(sent.path, errors="replace"),
        "raw_path": sent.path.encode("latin-1", "replace"),
        "query_string": urlencode(sent.query, errors="replace").encode(),
        "headers": [(name.encode(), value.encode("utf-8", "replace")) for name, value in given.items()],
        "client": ("192.0.2.1", 1),
    }
    try:
        async with asyncio.timeout(PATIENCE_S):
            await runtime.app(scope, receive, answer)
    except TimeoutError:
        status = 0
    return Got(status, headers, b"".join(chunks), time.perf_counter() - started)
