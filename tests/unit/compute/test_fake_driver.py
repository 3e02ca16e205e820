"""The fake hypervisor keeps the contract, remembers over restarts and fails where it is told to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pileus.kernel.errors import Unavailable
from pileus.services.compute.drivers.base import GuestEvent, Hypervisor, Power
from pileus.services.compute.drivers.contract import HypervisorContract, Image, new_spec
from pileus.services.compute.drivers.fake import FakeHypervisor


@pytest.fixture
def events() -> list[GuestEvent]:
    return []


@pytest.fixture
async def driver(tmp_path: Path, events: list[GuestEvent]) -> AsyncIterator[FakeHypervisor]:
    driver = FakeHypervisor(tmp_path / "guests.json")
    await driver.start(events.append)
    yield driver
    await driver.close()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    path = tmp_path / "image"
    path.write_bytes(b"QFI\xfb, as far as the fake cares")
    return path, "qcow2"


class TestFakeHypervisor(HypervisorContract):
    @pytest.fixture
    def again(self, tmp_path: Path, events: list[GuestEvent]) -> Callable[[], Awaitable[Hypervisor]]:
        async def start() -> Hypervisor:
            driver = FakeHypervisor(tmp_path / "guests.json")
            await driver.start(events.append)
            return driver

        return start


async def test_a_fault_stops_the_verb_before_it_acts(image: Image) -> None:
    def refuse(verb: str, guest_id: str) -> None:
        if verb == "ensure_guest":
            raise Unavailable(f"Guest {guest_id} cannot start: the host's memory is full.")

    driver = FakeHypervisor(fault=refuse)
    with pytest.raises(Unavailable, match="memory is full"):
        await driver.ensure_guest(new_spec(image))
    assert await driver.guests() == []
    assert driver.calls["ensure_guest"] == 1


async def test_a_guest_that_stops_by_itself_is_told(
    driver: FakeHypervisor, events: list[GuestEvent], image: Image
) -> None:
    spec = new_spec(image)
    await driver.ensure_guest(spec)
    driver.stop_by_itself(spec.id, Power.CRASHED, "its kernel panicked")
    assert events == [GuestEvent(guest_id=spec.id, power=Power.CRASHED, reason="its kernel panicked")]
    assert (await driver.guest(spec.id)).power is Power.CRASHED
    assert (await driver.ensure_guest(spec)).power is Power.RUNNING


async def test_the_log_is_cut_to_the_lines_asked_for(driver: FakeHypervisor, image: Image) -> None:
    spec = new_spec(image)
    await driver.ensure_guest(spec)
    assert len((await driver.console_log(spec.id)).splitlines()) == 10
    assert len((await driver.console_log(spec.id, lines=3)).splitlines()) == 3
    assert await driver.console_log(spec.id, lines=0) == ""
