"""A small cloud for the tests: who asks, an image, a network, and the way to wait for a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.compute.agent import ComputePart
from pileus.services.compute.drivers.fake import FakeHypervisor
from pileus.services.identity.testing import login

COMPUTE = "/compute/v2.1"
VOLUME = "/volume/v3/volumes"
PATIENCE_S = 30.0


@dataclass
class Cloud:
    """A running cloud, seen by three people: a member, a stranger, and the operator."""

    runtime: Runtime
    demo: httpx.AsyncClient
    alt: httpx.AsyncClient
    admin: httpx.AsyncClient
    image_id: str = ""
    network_id: str = ""

    async def ask(
        self,
        method: str,
        path: str,
        want: int,
        body: Any = None,
        *,
        who: httpx.AsyncClient | None = None,
        version: str | None = None,
    ) -> Any:
        """Send a request, insist on a status, and return the decoded answer (None for none)."""
        headers = {"OpenStack-API-Version": f"compute {version}"} if version else {}
        url = path if path.startswith("/compute") or not path.startswith("/") else COMPUTE + path
        answer = await (who or self.demo).request(method, url, json=body, headers=headers)
        assert answer.status_code == want, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, want: int, body: Any = None, **more: Any) -> str:
        """Send a request that must be refused, and return the sentence."""
        answer = await self.ask(method, path, want, body, **more)
        (refusal,) = answer.values()
        assert refusal["code"] == want
        return refusal["message"]

    async def show(self, server_id: str, version: str | None = None) -> dict[str, Any]:
        return (await self.ask("GET", f"/servers/{server_id}", 200, version=version))["server"]

    async def boot(self, name: str = "web", want: str = "ACTIVE", version: str | None = None, **more: Any) -> str:
        """Create a server, wait for its end, insist on its status, and return its id."""
        server = {"name": name, "imageRef": self.image_id, "flavorRef": "42", "networks": [{"uuid": self.network_id}]}
        answer = await self.ask("POST", "/servers", 202, {"server": {**server, **more}}, version=version)
        found = await self.rest(answer["server"]["id"])
        assert found["status"] == want, found
        return found["id"]

    async def rest(self, server_id: str) -> dict[str, Any]:
        """Wait until nothing is at work on a server, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.show(server_id)
                if found["OS-EXT-STS:task_state"] is None:
                    return found
                await asyncio.sleep(0.01)

    async def act(self, server_id: str, want: int = 202, **action: Any) -> dict[str, Any]:
        """Ask for an action and return the server once it is at rest."""
        await self.ask(
            "POST", f"/servers/{server_id}/action", want, {k.replace("_", "-"): v for k, v in action.items()}
        )
        return await self.rest(server_id)

    async def gone(self, server_id: str) -> None:
        """Wait until a server is no more."""
        await self.until(f"{COMPUTE}/servers/{server_id}", lambda answer: "itemNotFound" in answer)

    async def until(self, path: str, test: Any) -> Any:
        """Ask again and again until ``test(answer)`` holds; return the answer."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = (await self.demo.get(path)).json()
                if test(answer):
                    return answer
                await asyncio.sleep(0.02)


async def volume_of(cloud: Cloud) -> str:
    """Make a volume and wait for it."""
    made = await cloud.demo.post(VOLUME, json={"volume": {"size": 1}})
    id = made.json()["volume"]["id"]
    await cloud.until(f"{VOLUME}/{id}", lambda answer: answer["volume"]["status"] == "available")
    return id


async def attach_volume(cloud: Cloud, server: str, volume: str) -> dict[str, Any]:
    """Attach a volume and wait for it; return the attachment as it was answered."""
    path = f"/servers/{server}/os-volume_attachments"
    made = await cloud.ask("POST", path, 200, {"volumeAttachment": {"volumeId": volume}})
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    return made["volumeAttachment"]


def drivers(cloud: Cloud) -> list[FakeHypervisor]:
    """Return the drivers of all hosts."""
    assert cloud.runtime.local_hosts is not None
    parts = [part for host in cloud.runtime.local_hosts.hosts.values() for part in host.parts]
    return [part.driver for part in parts if isinstance(part, ComputePart) and isinstance(part.driver, FakeHypervisor)]


@asynccontextmanager
async def cloud_at(state: Path, hosts: int = 2) -> AsyncIterator[Cloud]:
    """Start a cloud with an image of a few bytes and a network, and yield it."""
    async with running(state, fake_hosts=hosts) as runtime:
        people = [client(runtime, await login(runtime, name)) for name in ("demo", "alt_demo", "admin")]
        async with people[0] as demo, people[1] as alt, people[2] as admin:
            cloud = Cloud(runtime, demo, alt, admin)
            image = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
            cloud.image_id = (await demo.post("/image/v2/images", json=image)).json()["id"]
            await demo.put(
                f"/image/v2/images/{cloud.image_id}/file",
                content=b"0" * 4096,
                headers={"Content-Type": "application/octet-stream"},
            )
            answer = await demo.post("/networking/v2.0/networks", json={"network": {"name": "net"}})
            cloud.network_id = answer.json()["network"]["id"]
            subnet = {"network_id": cloud.network_id, "ip_version": 4, "cidr": "10.77.0.0/24"}
            await demo.post("/networking/v2.0/subnets", json={"subnet": subnet})
            yield cloud
