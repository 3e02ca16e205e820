"""A whole control plane in the test's own process, spoken to over real HTTP semantics without a socket."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pileus.kernel.config import Configuration
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service

if TYPE_CHECKING:
    import httpx

databases: dict[str, Callable[[Path], str]] = {}
"""``databases["url"]``, if given, says on which database the cloud of a state directory runs instead of SQLite."""


@asynccontextmanager
async def running(
    state: Path, services: Sequence[Service] | None = None, tables: dict[str, Any] | None = None, **cloud: Any
) -> AsyncIterator[Runtime]:
    """Start a control plane on ``state``, yield it, stop it.  ``tables`` are those of ``pileus.toml``."""
    cloud.setdefault("fake", True)
    if "url" in databases:
        cloud.setdefault("database", databases["url"](state))
    # A cloud of one test need not hash its passwords as dearly as one that lasts.
    identity = {"password_hash_rounds": 4, **(tables or {}).get("identity", {})}
    runtime = Runtime(Configuration(state, {**(tables or {}), "identity": identity}, **cloud), services)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


def client(runtime: Runtime, token: str | None = None, **headers: str) -> "httpx.AsyncClient":
    """Return an HTTP client that calls the runtime's application directly; it comes with the tests' dependencies."""
    import httpx

    transport = httpx.ASGITransport(runtime.app, raise_app_exceptions=False)
    given = {**headers, **({"X-Auth-Token": token} if token else {})}
    return httpx.AsyncClient(transport=transport, base_url="http://cloud.test", headers=given)
