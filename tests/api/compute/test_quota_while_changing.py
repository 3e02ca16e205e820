"""While a thing grows, or may still go back to the size it had, the quota counts the larger of both sizes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pileus.kernel.errors import Conflict
from pileus.services.block_storage.agent import BlockStoragePart
from tests.api.compute.cloud import VOLUME, Cloud, drivers, volume_of

SMALL, LARGE = "42", "two"


class Held:
    """A verb of drivers that waits until it is let go, and then fails if it is told to."""

    def __init__(self, found: list[Any], verb: str) -> None:
        self.begun, self._go = asyncio.Event(), asyncio.Event()
        self.fails = False
        for driver in found:
            setattr(driver, verb, self._held(getattr(driver, verb)))

    def let_go(self, *, fails: bool = False) -> None:
        self.fails = fails
        self._go.set()

    def _held(self, act: Callable[..., Any]) -> Callable[..., Any]:
        async def wait(*args: Any, **kwargs: Any) -> Any:
            self.begun.set()
            await self._go.wait()
            if self.fails:
                raise Conflict("It cannot be done.")
            return await act(*args, **kwargs)

        return wait


def storage_drivers(cloud: Cloud) -> list[Any]:
    assert cloud.runtime.local_hosts is not None
    parts = [part for host in cloud.runtime.local_hosts.hosts.values() for part in host.parts]
    return [part.driver for part in parts if isinstance(part, BlockStoragePart)]


async def limit(cloud: Cloud, path: str, **limits: int) -> None:
    project = (await cloud.demo.get("/identity/v3/auth/projects")).json()["projects"][0]["id"]
    answer = await cloud.admin.put(f"{path}/os-quota-sets/{project}", json={"quota_set": limits})
    assert answer.status_code == 200, answer.text


async def make_volume(cloud: Cloud) -> int:
    return (await cloud.demo.post(VOLUME, json={"volume": {"size": 1}})).status_code


@pytest.mark.parametrize(("fails", "status", "then"), [(False, "available", 413), (True, "error_extending", 202)])
async def test_a_volume_counts_with_the_size_it_grows_to(cloud: Cloud, fails: bool, status: str, then: int) -> None:
    volume = await volume_of(cloud)
    await limit(cloud, "/volume/v3", gigabytes=3)
    held = Held(storage_drivers(cloud), "extend")
    grow = await cloud.demo.post(f"{VOLUME}/{volume}/action", json={"os-extend": {"new_size": 3}})
    assert grow.status_code == 202

    await asyncio.wait_for(held.begun.wait(), 30)
    assert await make_volume(cloud) == 413

    held.let_go(fails=fails)
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == status)
    assert await make_volume(cloud) == then


async def sizes(cloud: Cloud) -> None:
    flavor = {"id": LARGE, "name": LARGE, "vcpus": 2, "ram": 64, "disk": 1}
    await cloud.ask("POST", "/flavors", 200, {"flavor": flavor}, who=cloud.admin)
    await limit(cloud, "/compute/v2.1", cores=2)


async def is_full(cloud: Cloud) -> None:
    wish = {"name": "more", "imageRef": cloud.image_id, "flavorRef": SMALL, "networks": "none"}
    assert "cores" in await cloud.refused("POST", "/servers", 403, {"server": wish}, version="2.37")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_server_counts_with_the_size_it_is_getting(cloud: Cloud, fails: bool) -> None:
    await sizes(cloud)
    id = await cloud.boot(flavorRef=SMALL)
    held = Held(drivers(cloud), "power_off")
    await cloud.ask("POST", f"/servers/{id}/action", 202, {"resize": {"flavorRef": LARGE}})

    await asyncio.wait_for(held.begun.wait(), 30)
    await is_full(cloud)

    held.let_go(fails=fails)
    found = await cloud.rest(id)
    if not fails:
        assert found["status"] == "VERIFY_RESIZE"
        await is_full(cloud)
        await cloud.act(id, revertResize=None)
    assert (await cloud.show(id))["status"] == "ACTIVE"
    await cloud.boot(flavorRef=SMALL)


async def test_a_server_counts_with_the_size_it_may_go_back_to(cloud: Cloud) -> None:
    await sizes(cloud)
    id = await cloud.boot(flavorRef=LARGE)
    await cloud.act(id, resize={"flavorRef": SMALL})
    await is_full(cloud)

    await cloud.ask("POST", f"/servers/{id}/action", 204, {"confirmResize": None})

    assert (await cloud.rest(id))["status"] == "ACTIVE"
    assert await cloud.boot(flavorRef=SMALL)  # there is room again
