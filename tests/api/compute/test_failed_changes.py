"""A change that fails half-way leaves guest and rows alike: as before, or as was asked for."""

import asyncio
from collections.abc import Callable
from typing import Any

from pileus.kernel.errors import Conflict
from pileus.services.compute.agent import ComputePart
from pileus.services.compute.drivers.fake import FakeHypervisor
from tests.api.compute.cloud import Cloud

VOLUME = "/volume/v3/volumes"


async def volume_of(cloud: Cloud) -> str:
    """Make a volume and wait for it."""
    made = await cloud.demo.post(VOLUME, json={"volume": {"size": 1}})
    id = made.json()["volume"]["id"]
    await cloud.until(f"{VOLUME}/{id}", lambda answer: answer["volume"]["status"] == "available")
    return id


def drivers(cloud: Cloud) -> list[FakeHypervisor]:
    assert cloud.runtime.local_hosts is not None
    parts = [part for host in cloud.runtime.local_hosts.hosts.values() for part in host.parts]
    return [part.driver for part in parts if isinstance(part, ComputePart) and isinstance(part.driver, FakeHypervisor)]


def fail_once_after(driver: FakeHypervisor, verb: str) -> None:
    """Have a verb do its work and then fail, the next time it is called."""
    act: Callable[..., Any] = getattr(driver, verb)

    async def broken(*args: Any, **kwargs: Any) -> Any:
        delattr(driver, verb)
        await act(*args, **kwargs)
        raise Conflict("The hypervisor lost its tongue.")

    setattr(driver, verb, broken)


async def test_a_card_that_came_out_though_its_detachment_failed_is_given_back(cloud: Cloud) -> None:
    id = await cloud.boot()
    port = (await cloud.ask("GET", f"/servers/{id}/os-interface", 200))["interfaceAttachments"][0]["port_id"]
    for driver in drivers(cloud):
        fail_once_after(driver, "ensure_nic_detached")

    await cloud.ask("DELETE", f"/servers/{id}/os-interface/{port}", 202)

    async with asyncio.timeout(30):
        while (await cloud.ask("GET", f"/servers/{id}/os-interface", 200))["interfaceAttachments"]:
            await cloud.runtime.reconcilers.run_once("compute.guests")
            await asyncio.sleep(0.02)
    assert (await cloud.demo.get(f"/networking/v2.0/ports/{port}")).status_code == 404


async def test_a_volume_that_came_out_though_its_detachment_failed_is_free(cloud: Cloud) -> None:
    id, volume = await cloud.boot(), await volume_of(cloud)
    path = f"/servers/{id}/os-volume_attachments"
    await cloud.ask("POST", path, 200, {"volumeAttachment": {"volumeId": volume}})
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    for driver in drivers(cloud):
        fail_once_after(driver, "ensure_disk_detached")

    await cloud.ask("DELETE", f"{path}/{volume}", 202)
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    await cloud.runtime.reconcilers.run_once("compute.guests")

    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "available")
    assert (await cloud.ask("GET", path, 200))["volumeAttachments"] == []
