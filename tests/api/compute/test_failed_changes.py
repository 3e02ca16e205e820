"""A change that fails half-way leaves guest and rows alike: as before, or as was asked for."""

import asyncio
from collections.abc import Callable
from typing import Any

from pileus.kernel.errors import Conflict
from pileus.kernel.operations import alarms
from pileus.services.compute.drivers.fake import FakeHypervisor
from tests.api.compute.cloud import VOLUME, Cloud, drivers, volume_of


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


async def cards_left(cloud: Cloud, server: str) -> set[str]:
    """Wait until a guest has no cards, for thirty seconds; return those that it kept."""
    driver = await driver_of(cloud, server)
    for _ in range(1500):
        if not (await driver.guest(server)).nics:
            break
        await asyncio.sleep(0.02)
    return set((await driver.guest(server)).nics)


async def test_a_guest_lets_go_of_the_card_of_a_port_that_is_deleted(cloud: Cloud) -> None:
    id = await cloud.boot()
    (port,) = await devices(cloud, id)

    assert (await cloud.demo.delete(f"/networking/v2.0/ports/{port}")).status_code == 204

    assert await cards_left(cloud, id) == set()
    await ended(cloud)
    shown = (await cloud.ask("GET", f"/servers/{id}", 200))["server"]
    assert (shown["status"], shown["addresses"]) == ("ACTIVE", {})


async def test_a_suspended_guest_lets_go_of_a_deleted_ports_card_when_it_is_resumed(cloud: Cloud) -> None:
    id = await cloud.boot()
    (port,) = await devices(cloud, id)
    await cloud.act(id, 202, suspend=None)
    await cloud.until(f"/compute/v2.1/servers/{id}", lambda answer: answer["server"]["status"] == "SUSPENDED")

    assert (await cloud.demo.delete(f"/networking/v2.0/ports/{port}")).status_code == 204
    await cloud.runtime.reconcilers.run_once("compute.guests")
    await ended(cloud)
    assert await devices(cloud, id) == {port}
    await cloud.act(id, 202, resume=None)
    await cloud.until(f"/compute/v2.1/servers/{id}", lambda answer: answer["server"]["status"] == "ACTIVE")

    await cloud.runtime.reconcilers.run_once("compute.guests")
    assert await cards_left(cloud, id) == set()


async def test_a_guest_that_holds_on_to_a_card_is_asked_again_only_after_a_while(cloud: Cloud) -> None:
    id = await cloud.boot()
    (port,) = await devices(cloud, id)
    driver = await driver_of(cloud, id)
    asked: list[Any] = []
    first = asyncio.Event()

    async def refuse(*arguments: Any, **_kwargs: Any) -> None:
        asked.append(arguments)
        first.set()
        raise Conflict("The guest does not let go.")

    driver.ensure_nic_detached = refuse
    assert (await cloud.demo.delete(f"/networking/v2.0/ports/{port}")).status_code == 204
    await asyncio.wait_for(first.wait(), 30)
    await ended(cloud)
    for _ in range(3):
        await cloud.runtime.reconcilers.run_once("compute.guests")
        await ended(cloud)

    assert len(asked) == 1
    assert (await cloud.ask("GET", f"/servers/{id}", 200))["server"]["status"] == "ACTIVE"


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
