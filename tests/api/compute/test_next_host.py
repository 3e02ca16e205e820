"""A host that cannot build a server makes room for the next one; when all have failed, the fault names each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from pileus.kernel.errors import Conflict
from pileus.services.compute.agent import ComputePart
from pileus.services.compute.drivers.fake import FakeHypervisor
from tests.api.compute.cloud import Cloud, cloud_at


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with cloud_at(tmp_path, hosts=5) as found:
        yield found


def drivers(cloud: Cloud) -> Iterator[tuple[str, FakeHypervisor]]:
    assert cloud.runtime.local_hosts is not None
    for name, host in cloud.runtime.local_hosts.hosts.items():
        for part in host.parts:
            if isinstance(part, ComputePart) and isinstance(part.driver, FakeHypervisor):
                yield name, part.driver


def refuse_on(cloud: Cloud, number: int) -> list[str]:
    """Let the first ``number`` hosts that are asked for a guest fail; return the list in which they will stand."""
    refused: list[str] = []

    def fault_of(name: str) -> Callable[[str, str], None]:
        def fault(verb: str, guest_id: str) -> None:
            if verb == "ensure_guest" and (name in refused or len(refused) < number):
                refused[:] = dict.fromkeys([*refused, name])
                raise Conflict(f"the kernel module of {name} is missing")

        return fault

    for name, driver in drivers(cloud):
        driver.fault = fault_of(name)
    return refused


async def guests(cloud: Cloud) -> dict[str, list[str]]:
    found = {name: [guest.id for guest in await driver.guests()] for name, driver in drivers(cloud)}
    return {name: ids for name, ids in found.items() if ids}


async def allocated(cloud: Cloud, server: str) -> int:
    path = f"/placement/allocations/{server}"
    return len((await cloud.admin.get(path)).json()["allocations"])


async def test_the_next_host_builds_what_two_could_not(cloud: Cloud) -> None:
    refused = refuse_on(cloud, 2)
    server = await cloud.boot()
    assert len(refused) == 2
    shown = (await cloud.ask("GET", f"/servers/{server}", 200, who=cloud.admin))["server"]
    host = shown["OS-EXT-SRV-ATTR:host"]
    assert host not in refused
    assert await guests(cloud) == {host: [server]}
    assert await allocated(cloud, server) == 1
    (port,) = (await cloud.demo.get(f"/networking/v2.0/ports?device_id={server}")).json()["ports"]
    (told,) = (await cloud.admin.get(f"/networking/v2.0/ports?id={port['id']}")).json()["ports"]
    assert (told["binding:host_id"], told["status"]) == (host, "ACTIVE")
    assert "fault" not in shown


async def test_a_server_that_three_hosts_cannot_build_says_why_of_each(cloud: Cloud) -> None:
    refused = refuse_on(cloud, 5)
    server = await cloud.boot(want="ERROR")
    assert len(refused) == 3
    message = (await cloud.show(server))["fault"]["message"]
    assert message.startswith("No host could build it. ")
    assert all(f"{name}: the kernel module of {name} is missing" in message for name in refused)
    assert await guests(cloud) == {}
    assert await allocated(cloud, server) == 0


async def test_no_other_host_is_tried_when_one_was_asked_for(cloud: Cloud) -> None:
    refused = refuse_on(cloud, 1)
    body = {"name": "here", "imageRef": cloud.image_id, "flavorRef": "42", "networks": "none"}
    wanted = {"server": {**body, "availability_zone": "nova:fake-4"}}
    answer = await cloud.ask("POST", "/servers", 202, wanted, who=cloud.admin, version="2.37")
    server = answer["server"]["id"]
    shown: dict[str, Any] = {}
    for _ in range(500):
        shown = (await cloud.ask("GET", f"/servers/{server}", 200, who=cloud.admin))["server"]
        if shown["status"] != "BUILD":
            break
        await asyncio.sleep(0.02)
    assert (shown["status"], refused) == ("ERROR", ["fake-4"])
    assert "fake-4: the kernel module of fake-4 is missing" in shown["fault"]["message"]
