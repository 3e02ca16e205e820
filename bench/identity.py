"""Identity inside the process, without HTTP server and sockets: what a request costs in CPU."""

import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import msgspec

from bench.requests import Progress
from pileus.cli.serving import calm_collector
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of

TIMES = 1000
HASH_ROUNDS = 4
"""The cheapest: the hash is measured too, and taken off."""
SCOPE = {"project": {"name": "demo", "domain": {"id": "default"}}}
TOKENS = "/identity/v3/auth/tokens"
Call = Callable[[str, str, dict[str, str], Any], Awaitable[bytes]]


@dataclass(frozen=True)
class Cost:
    """CPU of one kind of request."""

    name: str
    cpu_ms: float
    target_ms: float


async def run(say: Progress) -> list[Cost]:
    """Measure on a cloud of identity alone."""
    with tempfile.TemporaryDirectory() as state:
        async with running(Path(state), [SERVICE], {"identity": {"password_hash_rounds": HASH_ROUNDS}}) as cloud:
            return await _measure(cloud, _caller(cloud), say)


async def _measure(cloud: Runtime, call: Call, say: Progress) -> list[Cost]:
    admin, demo = await login(cloud, "admin"), await login(cloud, "demo")
    calm_collector()  # as the server does
    headers = {"x-auth-token": admin, "x-subject-token": demo}
    user = msgspec.json.decode(await call("GET", TOKENS, headers, None))["token"]["user"]["id"]
    rescope = {"auth": {"identity": {"methods": ["token"], "token": {"id": demo}}, "scope": SCOPE}}
    password = auth_body("demo", password_of(cloud, "demo"), SCOPE)
    found = []
    for name, target_ms, request in (
        ("validate a token seen before", 0.25, ("GET", TOKENS, headers, None)),
        ("token from token", 0.6, ("POST", TOKENS, {}, rescope)),
        ("show user", 0.4, ("GET", f"/identity/v3/users/{user}", headers, None)),
        ("log in by password, less the hash", 1.0, ("POST", TOKENS, {}, password)),
    ):
        say(name)
        cost = await _cost(call, request)
        found.append(Cost(name, cost - (_hash_ms() if "less the hash" in name else 0), target_ms))
    say("list 1,000 users")
    await _add_users(call, admin, 1000)
    many = await _cost(call, ("GET", "/identity/v3/users", {"x-auth-token": admin}, None), times=20)
    return [*found, Cost("list 1,000 users", many, 8.0)]


async def _add_users(call: Call, token: str, total: int) -> None:
    headers = {"x-auth-token": token}
    there = len(msgspec.json.decode(await call("GET", "/identity/v3/users", headers, None))["users"])
    for number in range(there, total):
        user = {"name": f"person {number}", "password": "a secret of theirs"}
        await call("POST", "/identity/v3/users", headers, {"user": user})


async def _cost(call: Call, request: tuple[str, str, dict[str, str], Any], times: int = TIMES) -> float:
    for _ in range(20):
        await call(*request)
    before = time.process_time()
    for _ in range(times):
        await call(*request)
    return (time.process_time() - before) / times * 1e3


def _hash_ms() -> float:
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(HASH_ROUNDS))
    before = time.process_time()
    for _ in range(200):
        bcrypt.checkpw(b"x", hashed)
    return (time.process_time() - before) / 200 * 1e3


def _caller(cloud: Runtime) -> Call:
    """Return a function that sends a request to the application and returns the body; a refusal is an error."""

    async def call(method: str, path: str, headers: dict[str, str], body: Any) -> bytes:
        content = b"" if body is None else msgspec.json.encode(body)
        answer: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            answer.append(message)

        given = {"host": "bench", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
        }
        await cloud.app(scope, receive, send)
        if answer[0]["status"] >= 300:
            raise RuntimeError(f"{method} {path}: {answer[0]['status']} {answer[1]['body']!r}")
        return answer[1]["body"]

    return call
