"""The QEMU driver keeps the contract of all hypervisors, with real processes whose guests find nothing to boot."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from pileus.services.compute.drivers.base import GuestEvent, Hypervisor
from pileus.services.compute.drivers.contract import HypervisorContract, Image
from pileus.services.compute.drivers.qemu import QemuHypervisor

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
