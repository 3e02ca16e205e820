"""A cloud of identity and network with one fake host, and clients of two projects and of the operator."""

import asyncio
from typing import Any

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

MISSING = "00000000-0000-4000-8000-000000000000"
"""The id of nothing."""
PLURALS = {"security_group": "security-groups", "security_group_rule": "security-group-rules"}


def collection(kind: str) -> str:
    """Return the path of a kind of resource."""
    return PLURALS.get(kind, {"rbac_policy": "rbac-policies", "address_scope": "address-scopes"}.get(kind, f"{kind}s"))


class Net:
    """One caller of the Networking API."""

    def __init__(self, runtime: Runtime, http: httpx.AsyncClient) -> None:
        self.runtime, self.http = runtime, http

    async def call(self, method: str, path: str, status: int, body: Any = None, **more: Any) -> Any:
        """Call, insist on the status, return the decoded answer."""
        answer = await self.http.request(method, f"/networking/v2.0/{path}", json=body, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def make(self, kind: str, /, **body: Any) -> dict[str, Any]:
        return (await self.call("POST", collection(kind), 201, {kind: body}))[kind]

    async def refuse(self, kind: str, code: int, type_: str, /, **body: Any) -> str:
        """Insist that a creation is refused so; return the sentence."""
        error = (await self.call("POST", collection(kind), code, {kind: body}))["NeutronError"]
        assert error["type"] == type_, error
        return error["message"]

    async def update(self, kind: str, id: str, /, **body: Any) -> dict[str, Any]:
        return (await self.call("PUT", f"{collection(kind)}/{id}", 200, {kind: body}))[kind]

    async def refuse_update(self, kind: str, id: str, code: int, type_: str, /, **body: Any) -> str:
        error = (await self.call("PUT", f"{collection(kind)}/{id}", code, {kind: body}))["NeutronError"]
        assert error["type"] == type_, error
        return error["message"]

    async def show(self, kind: str, id: str, status: int = 200) -> Any:
        answer = await self.call("GET", f"{collection(kind)}/{id}", status)
        return answer[kind] if status == 200 else answer["NeutronError"]

    async def list(self, kind: str, query: str = "") -> list[dict[str, Any]]:
        answer = await self.call("GET", f"{collection(kind)}?{query}", 200)
        return next(value for name, value in answer.items() if not name.endswith("_links"))

    async def drop(self, kind: str, id: str, status: int = 204) -> Any:
        answer = await self.call("DELETE", f"{collection(kind)}/{id}", status)
        return None if status == 204 else answer["NeutronError"]["type"]

    async def network(self, cidr: str = "10.7.0.0/24", **subnet: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Make a network with one subnet."""
        network = await self.make("network", name="n")
        version = 6 if ":" in cidr else 4
        return network, await self.make("subnet", network_id=network["id"], cidr=cidr, ip_version=version, **subnet)

    async def public(self) -> dict[str, Any]:
        return (await self.list("network", "name=public"))[0]

    async def until(self, kind: str, id: str, /, **wanted: Any) -> dict[str, Any]:
        """Wait until a resource has these values."""
        found: dict[str, Any] = {}
        for _ in range(500):
            found = await self.show(kind, id)
            if all(found[name] == value for name, value in wanted.items()):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{kind} {id} is {found}, not {wanted}")


@pytest.fixture
async def cloud(tmp_path):
    services = find_services(["identity", "network"])
    async with running(tmp_path, services, {"identity": {"password_hash_rounds": 4}}) as runtime:
        yield runtime


async def _net(runtime: Runtime, user: str):
    async with client(runtime, await login(runtime, user)) as http:
        yield Net(runtime, http)


@pytest.fixture
async def demo(cloud):
    async for net in _net(cloud, "demo"):
        yield net


@pytest.fixture
async def other(cloud):
    async for net in _net(cloud, "alt_demo"):
        yield net


@pytest.fixture
async def admin(cloud):
    async for net in _net(cloud, "admin"):
        yield net
