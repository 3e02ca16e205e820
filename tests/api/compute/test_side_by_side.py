"""Several changes of one server at once: each is taken, those of one device and those of the whole guest in turn."""

import asyncio

from pileus.kernel.errors import Conflict
from pileus.services.compute.drivers.fake import FakeHypervisor
from tests.api.compute.cloud import VOLUME, Cloud, drivers, volume_of

NAMED = ("ensure_disk_attached", "ensure_disk_detached", "ensure_nic_attached", "ensure_guest", "power_off")


class Held:
    """Holds what hosts are asked to do to guests, by verb, and keeps the order in which it was asked and done."""

    def __init__(self, cloud: Cloud, *verbs: str) -> None:
        self.gates = {verb: asyncio.Event() for verb in verbs}
        self.asked: list[str] = []
        self.done: list[str] = []
        self._changed = asyncio.Condition()
        for driver in drivers(cloud):
            for verb in NAMED:
                setattr(driver, verb, self._slow(driver, verb))

    def _slow(self, driver: FakeHypervisor, verb: str):
        act = getattr(driver, verb)

        async def slow(*args, **options):
            self.asked.append(verb)
            async with self._changed:
                self._changed.notify_all()
            if verb in self.gates:
                await self.gates[verb].wait()
            result = await act(*args, **options)
            self.done.append(verb)
            return result

        return slow

    async def until(self, verb: str, count: int = 1) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.asked.count(verb) >= count)

    def let_go(self) -> None:
        for gate in self.gates.values():
            gate.set()


def attachments(server: str) -> str:
    return f"/servers/{server}/os-volume_attachments"


async def attach(cloud: Cloud, server: str, volume: str) -> None:
    await cloud.ask("POST", attachments(server), 200, {"volumeAttachment": {"volumeId": volume}})


async def settled(cloud: Cloud, volume: str, status: str) -> None:
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == status)


async def test_volumes_are_attached_and_detached_at_once(cloud: Cloud) -> None:
    server, volumes = await cloud.boot(), [await volume_of(cloud) for _ in range(3)]
    held = Held(cloud, "ensure_disk_attached", "ensure_disk_detached")
    for volume in volumes:
        await attach(cloud, server, volume)
    await held.until("ensure_disk_attached", 3)  # side by side: none waits for another
    shown = (await cloud.ask("GET", attachments(server), 200))["volumeAttachments"]
    assert [one["device"] for one in shown] == ["/dev/vdb", "/dev/vdc", "/dev/vdd"]
    held.gates["ensure_disk_attached"].set()
    for volume in volumes:
        await settled(cloud, volume, "in-use")
    for volume in volumes:
        await cloud.ask("DELETE", f"{attachments(server)}/{volume}", 202)
    await held.until("ensure_disk_detached", 3)
    held.let_go()
    for volume in volumes:
        await settled(cloud, volume, "available")


async def test_ports_and_volumes_are_attached_at_once(cloud: Cloud) -> None:
    server, volume = await cloud.boot(), await volume_of(cloud)
    body = {"interfaceAttachment": {"net_id": cloud.network_id}}
    path = f"/servers/{server}/os-interface"
    made, _, _ = await asyncio.gather(
        cloud.ask("POST", path, 200, body), cloud.ask("POST", path, 200, body), attach(cloud, server, volume)
    )
    assert made["interfaceAttachment"]["port_state"] == "ACTIVE", "the answer comes when the guest has the card"
    await settled(cloud, volume, "in-use")
    assert len((await cloud.show(server))["addresses"]["net"]) == 3


async def test_a_reboot_waits_for_the_attachment_and_whoever_looks_sees_it(cloud: Cloud) -> None:
    server, volume = await cloud.boot(), await volume_of(cloud)
    held = Held(cloud, "ensure_disk_attached")
    await attach(cloud, server, volume)
    await held.until("ensure_disk_attached")
    await cloud.ask("POST", f"/servers/{server}/action", 202, {"reboot": {"type": "HARD"}})
    assert (await cloud.show(server))["OS-EXT-STS:task_state"] == "rebooting_hard"
    message = await cloud.refused("DELETE", f"{attachments(server)}/{volume}", 400)  # by the volume's state
    assert "attaching" in message or "in-use" in message
    other = await volume_of(cloud)
    body = {"volumeAttachment": {"volumeId": other}}
    assert "rebooting_hard" in await cloud.refused("POST", attachments(server), 409, body)
    held.let_go()
    await cloud.rest(server)
    await settled(cloud, volume, "in-use")
    assert held.done == ["ensure_disk_attached", "power_off", "ensure_guest"]
    (guest,) = [guest for driver in drivers(cloud) for guest in await driver.guests()]
    assert volume in guest.disks


async def test_a_hard_reboot_may_follow_a_soft_one(cloud: Cloud) -> None:
    """As upstream: whoever finds that a guest does not react to the soft one need not wait for its end."""
    server = await cloud.boot()
    gate = asyncio.Event()
    for driver in drivers(cloud):
        reboot = driver.reboot

        async def slow(*args, reboot=reboot, **options):
            await gate.wait()
            return await reboot(*args, **options)

        driver.reboot = slow
    action = f"/servers/{server}/action"
    await cloud.ask("POST", action, 202, {"reboot": {"type": "SOFT"}})
    await cloud.refused("POST", action, 409, {"reboot": {"type": "SOFT"}})
    await cloud.refused("POST", action, 409, {"os-stop": None})
    await cloud.ask("POST", action, 202, {"reboot": {"type": "HARD"}})
    gate.set()
    assert (await cloud.rest(server))["status"] == "ACTIVE"


async def test_an_interface_that_cannot_be_attached_is_answered_with_the_reason(cloud: Cloud) -> None:
    server = await cloud.boot()

    def refuse(verb: str, guest_id: str) -> None:
        if verb == "ensure_nic_attached":
            raise Conflict("no slot is left for a card")

    for driver in drivers(cloud):
        driver.fault = refuse
    path = f"/servers/{server}/os-interface"
    body = {"interfaceAttachment": {"net_id": cloud.network_id}}
    assert "no slot is left" in await cloud.refused("POST", path, 500, body)
    assert len((await cloud.ask("GET", path, 200))["interfaceAttachments"]) == 1
    ports = (await cloud.demo.get("/networking/v2.0/ports", params={"device_id": server})).json()["ports"]
    assert len(ports) == 1, "the port that was made for it is gone"


async def test_a_deletion_overtakes_what_is_at_work(cloud: Cloud) -> None:
    server, volumes = await cloud.boot(), [await volume_of(cloud) for _ in range(2)]
    held = Held(cloud, "ensure_disk_attached")
    for volume in volumes:
        await attach(cloud, server, volume)
    await held.until("ensure_disk_attached", 2)
    await cloud.ask("POST", f"/servers/{server}/action", 202, {"reboot": {"type": "HARD"}})
    await cloud.ask("DELETE", f"/servers/{server}", 204)
    held.let_go()
    await cloud.gone(server)
    for volume in volumes:
        await settled(cloud, volume, "available")
    assert "ensure_guest" not in held.asked, "the reboot that waited never began"
