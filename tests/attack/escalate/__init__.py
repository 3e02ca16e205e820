"""Escalations: somebody with few rights tries for more.

Rule: each attack first does what is allowed, so that it fails when nothing is tried at all, and then what must not be.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from pileus.kernel.testing import client
from tests.attack.world import PASSWORD, V3, World

Attack = Callable[[World], Awaitable[None]]
ATTACKS: dict[str, dict[str, Attack]] = {}
"""Attacks by subject and by what is tried."""
REFUSALS = (400, 401, 403, 404, 405, 409, 422, 501)


def attack(subject: str, what: str) -> Callable[[Attack], Attack]:
    """Declare an attack; it raises AssertionError where it succeeds."""

    def add(function: Attack) -> Attack:
        ATTACKS.setdefault(subject, {})[what] = function
        return function

    return add


async def ok(http: httpx.AsyncClient, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Send what is allowed."""
    answer = await http.request(method, path, json=body, headers=headers)
    assert answer.is_success, f"{method} {path} should be allowed: {answer.status_code} {answer.text[:300]}"
    return answer


async def refused(http: httpx.AsyncClient, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Send what must be refused."""
    answer = await http.request(method, path, json=body, headers=headers)
    assert answer.status_code in REFUSALS, f"{method} {path} {body}: {answer.status_code} {answer.text[:300]}"
    return answer


async def log_in(world: World, identity: dict[str, Any], scope: Any = None, **headers: str) -> httpx.Response:
    """Ask for a token."""
    auth = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
    async with client(world.runtime) as http:
        return await http.post(f"{V3}/auth/tokens", json=auth, headers=headers)


def by_password(user_id: str, password: str = PASSWORD) -> dict[str, Any]:
    """Return how a user logs in."""
    return {"methods": ["password"], "password": {"user": {"id": user_id, "password": password}}}


def by_token(token: str) -> dict[str, Any]:
    """Return how a token is exchanged for another."""
    return {"methods": ["token"], "token": {"id": token}}


async def user(world: World, name: str, role: str = "", domain: str = "", project: str = "") -> str:
    """Make a user of the attackers' domain, with a role on a project; return its id."""
    tenant = world.attacker
    body = {"name": name, "password": PASSWORD, "domain_id": domain or tenant.domain}
    id = (await ok(world.admin, "POST", f"{V3}/users", {"user": body})).json()["user"]["id"]
    if role:
        path = f"{V3}/projects/{project or tenant.project}/users/{id}/roles/{await role_id(world, role)}"
        await ok(world.admin, "PUT", path)
    return id


async def role_id(world: World, name: str) -> str:
    """Return the id of a role of the cloud's."""
    return (await ok(world.admin, "GET", f"{V3}/roles?name={name}")).json()["roles"][0]["id"]


async def project_token(world: World, user_id: str, project: str = "") -> str:
    """Log a user in for a project, by default the attackers'."""
    scope = {"project": {"id": project or world.attacker.project}}
    answer = await log_in(world, by_password(user_id), scope)
    assert answer.status_code == 201, answer.text
    return answer.headers["x-subject-token"]


def load() -> dict[str, dict[str, Attack]]:
    """Return all attacks."""
    from tests.attack.escalate import delegation, known, privileges, standing, tokens  # noqa: F401  (they declare)

    return ATTACKS
