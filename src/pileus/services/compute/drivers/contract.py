"""The tests that every hypervisor driver passes: what the control plane may rely on whichever driver a host runs.

A driver's own test file subclasses `HypervisorContract` and provides the fixtures `driver` (started, empty),
`again` (returns a new, started driver on the same host, as after a restart), `image` (a bootable disk image file and
its format) and `events` (the list to which the driver's listener appends).
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.compute.drivers.base import (
    Blank,
    Disk,
    FromImage,
    GuestEvent,
    GuestSpec,
    Hypervisor,
    Power,
)

Image = tuple[Path, str]


def new_spec(image: Image, *further: Disk, memory_mib: int = 128) -> GuestSpec:
    path, disk_format = image
    root = FromImage(image_id="image-" + path.stem, path=str(path), format=disk_format, size_gib=1)
    return GuestSpec(
        id=str(uuid4()),
        name="guest-of-the-contract",
        vcpus=1,
        memory_mib=memory_mib,
        disks=(Disk(id="root", source=root, boot_index=0), *further),
    )


def blank(name: str = "ephemeral0") -> Disk:
    return Disk(id=name, source=Blank(size_mib=64))


class HypervisorContract:
    """Power states, idempotence and refusals; what needs an operating system in the guest is tested elsewhere."""

    async def test_facts_say_what_the_host_has(self, driver: Hypervisor) -> None:
        facts = await driver.facts()
        assert facts.vcpus > 0
        assert facts.memory_mib > 0
        assert facts.disk_gib >= facts.disk_free_gib > 0
        assert facts.hypervisor_type
        assert facts.hypervisor_version > 0
        assert facts.cpu_info["arch"]

    async def test_a_guest_comes_and_goes(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        facts = await driver.ensure_guest(spec)
        assert (facts.id, facts.power, facts.disks) == (spec.id, Power.RUNNING, ("root",))
        assert list(await driver.guests()) == [facts]
        await driver.ensure_guest_gone(spec.id)
        assert list(await driver.guests()) == []
        with pytest.raises(NotFound, match=spec.id):
            await driver.guest(spec.id)

    async def test_the_same_again_changes_nothing(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        assert await driver.ensure_guest(spec) == await driver.ensure_guest(spec)
        await driver.ensure_guest_gone(spec.id)
        await driver.ensure_guest_gone(spec.id)

    async def test_a_guest_may_be_made_without_starting(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        assert (await driver.ensure_guest(spec, running=False)).power is Power.OFF
        assert (await driver.power_on(spec.id)).power is Power.RUNNING
        assert (await driver.power_on(spec.id)).power is Power.RUNNING
        assert (await driver.ensure_guest(spec, running=False)).power is Power.RUNNING

    async def test_power(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec)
        assert (await driver.pause(spec.id)).power is Power.PAUSED
        assert (await driver.pause(spec.id)).power is Power.PAUSED
        assert (await driver.resume(spec.id)).power is Power.RUNNING
        assert (await driver.reboot(spec.id, hard=True)).power is Power.RUNNING
        assert (await driver.power_off(spec.id)).power is Power.OFF
        assert (await driver.power_off(spec.id)).power is Power.OFF
        with pytest.raises(Conflict, match=spec.id):
            await driver.pause(spec.id)
        with pytest.raises(Conflict, match=spec.id):
            await driver.reboot(spec.id)
        assert (await driver.reboot(spec.id, hard=True)).power is Power.RUNNING

    async def test_suspended_memory_comes_back(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec)
        assert (await driver.suspend(spec.id)).power is Power.SUSPENDED
        assert (await driver.suspend(spec.id)).power is Power.SUSPENDED
        with pytest.raises(Conflict, match="resume it first"):
            await driver.ensure_disk_attached(spec.id, blank())
        await driver.ensure_disk_attached(spec.id, spec.disks[0])
        await driver.ensure_disk_detached(spec.id, "ephemeral0")
        await driver.ensure_nic_detached(spec.id, str(uuid4()))
        assert (await driver.resume(spec.id)).power is Power.RUNNING
        await driver.suspend(spec.id)
        assert (await driver.power_on(spec.id)).power is Power.RUNNING

    async def test_a_running_guest_keeps_its_size(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        larger = msgspec.structs.replace(spec, memory_mib=192)
        await driver.ensure_guest(spec)
        with pytest.raises(Conflict, match="power it off"):
            await driver.ensure_guest(larger)
        await driver.power_off(spec.id)
        assert (await driver.ensure_guest(larger)).power is Power.RUNNING

    async def test_disks_of_a_guest_that_is_off(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec, running=False)
        for _ in range(2):
            await driver.ensure_disk_attached(spec.id, blank())
        assert (await driver.guest(spec.id)).disks == ("root", "ephemeral0")
        for _ in range(2):
            await driver.ensure_disk_detached(spec.id, "ephemeral0")
        assert (await driver.guest(spec.id)).disks == ("root",)

    async def test_a_disk_grows_and_never_shrinks(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image, blank())
        await driver.ensure_guest(spec, running=False)
        await driver.resize_disk(spec.id, "ephemeral0", 128 << 20)
        await driver.resize_disk(spec.id, "ephemeral0", 128 << 20)
        with pytest.raises(Invalid, match="ephemeral0"):
            await driver.resize_disk(spec.id, "ephemeral0", 96 << 20)

    async def test_a_disk_is_copied_running_or_not(self, driver: Hypervisor, image: Image, tmp_path: Path) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec)
        os.mkdir(tmp_path / "copies")
        for name in ("running", "off"):
            copy = tmp_path / f"copies/{name}.qcow2"
            assert await driver.snapshot_disk(spec.id, "root", str(copy)) == copy.stat().st_size
            assert copy.read_bytes()[:4] == b"QFI\xfb"
            await driver.power_off(spec.id)
        with pytest.raises(NotFound, match="no disk nothing"):
            await driver.snapshot_disk(spec.id, "nothing", str(tmp_path / "copies/nothing"))
        assert sorted(os.listdir(tmp_path / "copies")) == ["off.qcow2", "running.qcow2"]

    async def test_console(self, driver: Hypervisor, image: Image) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec)
        assert (await driver.console_address(spec.id)).kind == "vnc"
        assert (await driver.screenshot(spec.id)).startswith(b"\x89PNG")
        assert isinstance(await driver.console_log(spec.id, lines=5), str)
        await driver.power_off(spec.id)
        assert isinstance(await driver.console_log(spec.id), str)
        with pytest.raises(Conflict, match="start it"):
            await driver.screenshot(spec.id)
        with pytest.raises(Conflict, match="start it"):
            await driver.console_address(spec.id)

    async def test_nothing_is_done_to_strangers(self, driver: Hypervisor) -> None:
        stranger = str(uuid4())
        for verb in (driver.power_on, driver.power_off, driver.pause, driver.resume, driver.console_log):
            with pytest.raises(NotFound, match=stranger):
                await verb(stranger)
        await driver.ensure_disk_detached(stranger, "root")
        await driver.ensure_nic_detached(stranger, str(uuid4()))

    async def test_a_new_process_finds_the_guests(
        self, driver: Hypervisor, again: Callable[[], Awaitable[Hypervisor]], image: Image
    ) -> None:
        running, off = new_spec(image), new_spec(image)
        await driver.ensure_guest(running)
        await driver.ensure_guest(off, running=False)
        await driver.close()
        after = await again()
        found = {facts.id: facts.power for facts in await after.guests()}
        assert found == {running.id: Power.RUNNING, off.id: Power.OFF}
        assert (await after.power_off(running.id)).power is Power.OFF

    async def test_what_was_told_to_stop_makes_no_event(
        self, driver: Hypervisor, events: list[GuestEvent], image: Image
    ) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec)
        await driver.power_off(spec.id)
        await driver.ensure_guest_gone(spec.id)
        assert events == []

    async def test_all_gone(self, driver: Hypervisor, image: Image) -> None:
        await driver.ensure_guest(new_spec(image))
        await driver.ensure_guest(new_spec(image), running=False)
        await driver.ensure_all_gone()
        assert list(await driver.guests()) == []
