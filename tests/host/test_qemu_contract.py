"""The QEMU driver keeps the contract of all hypervisors, with real processes whose guests find nothing to boot."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import uvloop

from pileus.kernel.errors import Failed
from pileus.services.compute.drivers.base import Blank, Disk, GuestEvent, GuestSpec, Hypervisor
from pileus.services.compute.drivers.contract import HypervisorContract, Image, new_spec
from pileus.services.compute.drivers.qemu import QemuHypervisor
from pileus.services.compute.drivers.qemu.disks import virtual_size

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
]


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop that the agent runs on."""
    return uvloop.EventLoopPolicy()


class TestQemuHypervisor(HypervisorContract):
    @pytest.fixture
    def events(self) -> list[GuestEvent]:
        return []

    @pytest.fixture
    async def driver(self, host_state: Path, events: list[GuestEvent]) -> AsyncIterator[QemuHypervisor]:
        driver = QemuHypervisor(host_state)
        await driver.start(events.append)
        yield driver
        await driver.close()
        last = QemuHypervisor(host_state)
        await last.start(events.append)
        await last.ensure_all_gone()
        await last.close()

    @pytest.fixture
    async def again(
        self, driver: QemuHypervisor, host_state: Path, events: list[GuestEvent]
    ) -> AsyncIterator[Callable[[], Awaitable[Hypervisor]]]:
        started: list[QemuHypervisor] = []

        async def start() -> Hypervisor:
            started.append(QemuHypervisor(host_state))
            await started[-1].start(events.append)
            return started[-1]

        yield start
        for later in started:
            await later.close()

    @pytest.fixture
    def image(self, host_state: Path) -> Image:
        path = host_state / "nothing-to-boot.img"
        path.write_bytes(bytes(1 << 20))
        return path, "raw"

    async def test_disks_grow_with_the_specification_and_never_shrink(
        self, driver: QemuHypervisor, image: Image, host_state: Path
    ) -> None:
        def sized(spec: GuestSpec, root_gib: int, scratch_mib: int) -> GuestSpec:
            root = msgspec.structs.replace(spec.disks[0].source, size_gib=root_gib)
            disks = (
                msgspec.structs.replace(spec.disks[0], source=root),
                Disk(id="scratch", source=Blank(size_mib=scratch_mib)),
            )
            return msgspec.structs.replace(spec, disks=disks)

        spec = new_spec(image)
        await driver.ensure_guest(sized(spec, 1, 8), running=False)
        folder = host_state / "guests" / spec.id
        made = await virtual_size(folder / "root.qcow2", "qcow2"), await virtual_size(folder / "scratch.raw", "raw")
        assert made == (1 << 30, 8 << 20)
        with open(folder / "scratch.raw", "r+b") as scratch:  # noqa: ASYNC230
            scratch.write(b"precious")
        for wanted in (sized(spec, 2, 16), sized(spec, 1, 8), sized(spec, 2, 16)):
            await driver.ensure_guest(wanted, running=False)
            grown = (
                await virtual_size(folder / "root.qcow2", "qcow2"),
                await virtual_size(folder / "scratch.raw", "raw"),
            )
            assert grown == (2 << 30, 16 << 20)
        with open(folder / "scratch.raw", "rb") as scratch:  # noqa: ASYNC230
            assert scratch.read(8) == b"precious"
        await driver.ensure_guest(spec, running=False)
        assert "scratch.raw" not in os.listdir(folder)

    async def test_what_a_killed_agent_was_writing_is_gone(
        self, driver: QemuHypervisor, again: Callable[[], Awaitable[Hypervisor]], image: Image, host_state: Path
    ) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec, running=False)
        folder = host_state / "guests" / spec.id
        for name in ("copy.0123456789ab.part", ".guest.json.42.part"):
            (folder / name).write_bytes(b"half")
        await driver.close()
        await again()
        assert set(os.listdir(folder)) == {"guest.json", "lock", "root.qcow2"}

    async def test_a_lost_disk_is_named_not_made_again(
        self, driver: QemuHypervisor, image: Image, host_state: Path
    ) -> None:
        spec = new_spec(image)
        await driver.ensure_guest(spec, running=False)
        os.unlink(host_state / "guests" / spec.id / "root.qcow2")
        with pytest.raises(Failed, match="is lost"):
            await driver.power_on(spec.id)
