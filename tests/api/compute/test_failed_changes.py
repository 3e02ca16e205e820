"""A change that fails half-way leaves guest and rows alike: as before, or as was asked for."""

import asyncio
from collections.abc import Callable
from typing import Any

from pileus.kernel.errors import Conflict
from pileus.kernel.operations import alarms
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


async def driver_of(cloud: Cloud, server: str) -> FakeHypervisor:
    """Return the driver of a server's host."""
    (found,) = [driver for driver in drivers(cloud) if any(g.id == server for g in await driver.guests())]
    return found


async def devices(cloud: Cloud, server: str) -> set[str]:
    """Return the volumes and ports that a server's guest has."""
    guest = await (await driver_of(cloud, server)).guest(server)
    return {*guest.disks, *guest.nics} - {"root"}


async def let_go(cloud: Cloud, server: str, device: str) -> None:
    """Have the guest give up a device, late: it was asked to before."""
    driver = await driver_of(cloud, server)
    await driver.ensure_nic_detached(server, device)
    await driver.ensure_disk_detached(server, device)


async def ended(cloud: Cloud) -> None:
    """Wait until nothing is under way."""
    for _ in range(1500):
        if not await cloud.runtime.db.read(alarms.list_operations):
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


async def test_a_card_whose_detachment_failed_stays_and_is_given_back_once_it_comes_out(cloud: Cloud) -> None:
    id = await cloud.boot()
    port = (await cloud.ask("GET", f"/servers/{id}/os-interface", 200))["interfaceAttachments"][0]["port_id"]
    fail_once_after(await driver_of(cloud, id), "ensure_nic_detached")

    await cloud.ask("DELETE", f"/servers/{id}/os-interface/{port}", 202)

    await ended(cloud)
    assert await devices(cloud, id) == {port}
    await let_go(cloud, id, port)
    async with asyncio.timeout(30):
        while (await cloud.ask("GET", f"/servers/{id}/os-interface", 200))["interfaceAttachments"]:
            await cloud.runtime.reconcilers.run_once("compute.guests")
            await asyncio.sleep(0.02)
    assert (await cloud.demo.get(f"/networking/v2.0/ports/{port}")).status_code == 404


async def test_a_volume_whose_detachment_failed_stays_and_is_free_once_it_comes_out(cloud: Cloud) -> None:
    id, volume = await cloud.boot(), await volume_of(cloud)
    path = f"/servers/{id}/os-volume_attachments"
    await cloud.ask("POST", path, 200, {"volumeAttachment": {"volumeId": volume}})
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    fail_once_after(await driver_of(cloud, id), "ensure_disk_detached")

    await cloud.ask("DELETE", f"{path}/{volume}", 202)

    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    assert volume in await devices(cloud, id)
    await let_go(cloud, id, volume)
    await cloud.runtime.reconcilers.run_once("compute.guests")
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "available")
    assert (await cloud.ask("GET", path, 200))["volumeAttachments"] == []


async def test_a_server_is_what_its_guest_is_after_a_suspension_or_a_resumption_that_failed(cloud: Cloud) -> None:
    id = await cloud.boot()
    for verb, status in (("suspend", "SUSPENDED"), ("resume", "ACTIVE")):
        fail_once_after(await driver_of(cloud, id), verb)

        await cloud.act(id, 202, **{verb: None})

        await ended(cloud)
        await cloud.until(f"/compute/v2.1/servers/{id}", lambda answer, s=status: answer["server"]["status"] == s)
