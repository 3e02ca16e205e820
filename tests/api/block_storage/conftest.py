"""A cloud of identity and block storage with one fake host, and clients of its API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.block_storage.agent import BlockStoragePart
from pileus.services.block_storage.drivers.fake import FakeVolumeDriver
from pileus.services.identity.testing import login

LATEST = "volume 3.71"


class Cloud:
    """What the tests of this API do over and over."""

    def __init__(self, runtime: Runtime, http: httpx.AsyncClient, admin: httpx.AsyncClient, other: httpx.AsyncClient):
        self.runtime, self.http, self.admin, self.other = runtime, http, admin, other

    @property
    def driver(self) -> FakeVolumeDriver:
        """The driver of the one host."""
        hosts = self.runtime.local_hosts
        assert hosts is not None
        part = next(part for part in hosts.hosts["fake-1"].parts if isinstance(part, BlockStoragePart))
        assert isinstance(part.driver, FakeVolumeDriver)
        return part.driver

    async def make(self, kind: str, http: httpx.AsyncClient | None = None, **body: Any) -> dict[str, Any]:
        """Create a volume or snapshot and wait until it is available."""
        http = http or self.http
        answer = await http.post(f"/volume/v3/{kind}s", json={kind: body})
        assert answer.status_code == 202, answer.text
        return await self.until(kind, answer.json()[kind]["id"], "available", http)

    async def volume(self, **body: Any) -> dict[str, Any]:
        return await self.make("volume", **{"size": 1, **body})

    async def snapshot(self, volume_id: str, **body: Any) -> dict[str, Any]:
        return await self.make("snapshot", volume_id=volume_id, **body)

    async def act(
        self, volume_id: str, action: str, body: Any = None, http: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        return await (http or self.http).post(f"/volume/v3/volumes/{volume_id}/action", json={action: body or {}})

    async def show(self, kind: str, id: str, http: httpx.AsyncClient | None = None) -> dict[str, Any]:
        answer = await (http or self.http).get(f"/volume/v3/{kind}s/{id}")
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]

    async def until(self, kind: str, id: str, status: str, http: httpx.AsyncClient | None = None) -> dict[str, Any]:
        """Wait until the thing has the status."""
        found = {}
        for _ in range(500):
            found = await self.show(kind, id, http)
            if found["status"] == status:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{kind} {id} is {found['status']}, not {status}")

    async def until_gone(self, kind: str, id: str) -> None:
        """Wait until the thing is deleted."""
        for _ in range(500):
            answer = await self.http.get(f"/volume/v3/{kind}s/{id}")
            if answer.status_code == 404:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{kind} {id} is still there")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    services = find_services(["identity", "object_store", "image", "block_storage"])
    async with running(tmp_path, services) as runtime:
        version = {"OpenStack-API-Version": LATEST}
        async with (
            client(runtime, await login(runtime, "demo"), **version) as http,
            client(runtime, await login(runtime, "admin"), **version) as admin,
            client(runtime, await login(runtime, "alt_demo"), **version) as other,
        ):
            yield Cloud(runtime, http, admin, other)
