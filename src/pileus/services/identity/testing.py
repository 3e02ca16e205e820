"""Tokens for tests of any service."""

from typing import Any

import msgspec

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.identity.bootstrap import credentials_file


def auth_body(user: str, password: str, scope: object = None, domain: str = "default") -> dict[str, Any]:
    """Return the body of POST /auth/tokens."""
    proof = {"name": user, "password": password, "domain": {"id": domain}}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": proof}}}
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def password_of(runtime: Runtime, user: str) -> str:
    """Return the password of one of the users every cloud starts with."""
    return msgspec.json.decode(credentials_file(runtime.config.state).read_bytes())[user]["password"]


async def login(runtime: Runtime, user: str = "demo", project: str | None = None, *, scope: object = None) -> str:
    """Return a token of admin, demo or alt_demo, for its own project unless another is named."""
    chosen = scope or {"project": {"name": project or user, "domain": {"id": "default"}}}
    async with client(runtime) as http:
        answer = await http.post("/identity/v3/auth/tokens", json=auth_body(user, password_of(runtime, user), chosen))
    if answer.status_code != 201:
        raise AssertionError(f"{user} could not log in: {answer.text}")
    return answer.headers["x-subject-token"]
