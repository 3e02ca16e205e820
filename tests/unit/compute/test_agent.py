"""The host side of compute: what a command says is what the driver does, and what stops by itself is told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.services.compute import commands
from pileus.services.compute.agent import GUEST_CHANGED, ComputePart
from pileus.services.compute.commands import Disk, FromImage, GuestSpec, Nic, Power
from pileus.services.compute.drivers.fake import FakeHypervisor


class Lent:
    """What a host lends to its parts, kept for the test to see."""

    name = "host-1"

    def __init__(self) -> None:
        self.published: list[tuple[str, Any]] = []

    def publish(self, topic: str, message: Any = None) -> None:
        self.published.append((topic, message))

    def report(self) -> None: ...


@pytest.fixture
def spec() -> GuestSpec:
    source = FromImage(image_id="i", path="/images/i", format="qcow2", size_gib=1)
    return GuestSpec(
        id="g1", name="one", vcpus=1, memory_mib=128, disks=(Disk(id="root", source=source, boot_index=0),)
    )


async def test_every_command_of_the_service_is_obeyed() -> None:
    declared = {
        item
        for item in vars(commands).values()
        if isinstance(item, type) and issubclass(item, commands.Command) and item is not commands.Command
    }
    assert set(ComputePart(FakeHypervisor()).handles) == declared


async def test_a_guest_through_its_commands(spec: GuestSpec) -> None:
    part, host = ComputePart(FakeHypervisor()), Lent()
    await part.start(host)

    async def obey(command: commands.Command[Any]) -> Any:
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=type(command))
        return await part.handles[type(command)](sent)

    assert (await obey(commands.EnsureGuest(spec=spec))).power is Power.RUNNING
    await obey(commands.EnsureNicAttached(guest_id="g1", nic=Nic(port_id="p1", mac="fa:16:3e:00:00:01", tap="t1")))
    assert (await obey(commands.ListGuests()))[0].nics == ("p1",)
    assert (await obey(commands.RebootGuest(guest_id="g1", hard=True))).power is Power.RUNNING
    assert "Fake guest one" in await obey(commands.ReadConsoleLog(guest_id="g1"))
    assert (await obey(commands.PowerGuestOff(guest_id="g1"))).power is Power.OFF
    await obey(commands.EnsureGuestGone(guest_id="g1"))
    assert await obey(commands.ListGuests()) == []


async def test_what_stops_by_itself_is_told(spec: GuestSpec) -> None:
    driver, host = FakeHypervisor(), Lent()
    part = ComputePart(driver)
    await part.start(host)
    await driver.ensure_guest(spec)
    driver.stop_by_itself("g1")
    told = {"host": "host-1", "guest_id": "g1", "power": "off", "reason": None}
    assert host.published == [(GUEST_CHANGED, told)]


async def test_clearing_a_host_stops_its_guests_and_purging_removes_them(spec: GuestSpec, tmp_path: Path) -> None:
    state = tmp_path / "guests.json"
    first = ComputePart(FakeHypervisor(state))
    await first.driver.ensure_guest(spec)
    await ComputePart(FakeHypervisor(state)).clear(purge=False)
    after = FakeHypervisor(state)
    await after.start(lambda event: None)
    assert [guest.power for guest in await after.guests()] == [Power.OFF]
    await ComputePart(FakeHypervisor(state)).clear(purge=True)
    await after.start(lambda event: None)
    assert await after.guests() == []


async def test_facts_are_plain(spec: GuestSpec) -> None:
    facts = await ComputePart(FakeHypervisor()).facts()
    assert facts["hypervisor_type"] == "fake"
    assert msgspec.json.decode(msgspec.json.encode(facts)) == facts
