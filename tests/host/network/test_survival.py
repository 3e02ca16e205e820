"""kill -9 at any moment, a new agent, clouds side by side: nothing is lost, nothing is left, nothing is shared."""

import asyncio
import subprocess
import sys
from pathlib import Path
from secrets import token_hex

import msgspec
import pytest

from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.wanted import ExternalNetworkSpec, Inventory, NetworkSpec
from tests.host.network import scenario
from tests.host.network.conftest import host_state, new_cloud_id
from tests.host.network.guests import Guest, pings, run

pytestmark = pytest.mark.host

EVERYTHING = Inventory(
    networks=(scenario.NETWORK.id, scenario.OUTSIDE.id),
    ports=(scenario.PORT.id, scenario.TAP.id),
    security_groups=(scenario.GROUP.id,),
    dhcp=(scenario.NETWORK.id,),
    routers=(scenario.ROUTER.id,),
)


def play(settings: Settings, limit: int, which: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.host.network.scenario", str(settings.folder), settings.cloud_id]
    done = subprocess.run([*command, str(limit), which], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


async def killed_and_resumed(settings: Settings, limit: int, which: str) -> None:
    status, out = await asyncio.to_thread(play, settings, limit, which)
    assert status == -9, out
    driver = LinuxNetworkDriver(settings)
    guest = Guest(scenario.PORT)
    try:
        await driver.start()
        await scenario.up(driver)
        assert await driver.inventory() == EVERYTHING
        wiring = await driver.ensure_port(scenario.PORT)
        guest.make(wiring.guest_interface)
        guest.address("10.7.0.6/24", "10.7.0.1")
        assert pings("198.51.100.8", tries=5), f"{which} killed before touch {limit}"
        await scenario.down(driver)
        assert await driver.inventory() == Inventory()
    finally:
        guest.remove()
        await driver.ensure_all_gone()
        await driver.close()


@pytest.mark.parametrize("which", ["up", "down"])
async def test_killed_here_and_there(settings: Settings, which: str) -> None:
    before = host_state()
    status, out = await asyncio.to_thread(play, settings, -1, which)
    assert status == 0, out
    touches = int(out)
    for limit in range(1, touches, 11):
        await killed_and_resumed(settings, limit, which)
        assert host_state() == before, f"{which} killed before touch {limit}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["up", "down"])
async def test_killed_everywhere_and_purged(settings: Settings, which: str) -> None:
    """After a kill before any touch of the kernel, a purge alone finds everything."""
    before = host_state()
    status, out = await asyncio.to_thread(play, settings, -1, which)
    assert status == 0, out
    for limit in range(1, int(out) + 1):
        status, out = await asyncio.to_thread(play, settings, limit, which)
        assert status == -9, out
        driver = LinuxNetworkDriver(settings)
        await driver.ensure_all_gone()
        await driver.close()
        assert host_state() == before, f"{which} killed before touch {limit}"


async def test_everything_again_changes_nothing(driver: LinuxNetworkDriver, settings: Settings) -> None:
    await scenario.up(driver)
    once = host_state()
    await scenario.up(driver)
    assert host_state() == once
    other = LinuxNetworkDriver(settings)
    await other.start()
    await scenario.up(other)
    await other.close()
    assert host_state() == once
    assert await driver.inventory() == EVERYTHING
    await scenario.down(driver)
    assert await driver.inventory() == Inventory()


async def test_the_last_cloud_gives_the_hosts_settings_back(tmp_path: Path) -> None:
    """On a host of their own (a namespace), where nobody else changes settings meanwhile."""
    host = f"pnt-{token_hex(4)}"
    run("ip", "netns", "add", host)

    def forwards() -> str:
        return run("ip", "netns", "exec", host, "sysctl", "-n", "net.ipv4.ip_forward").strip()

    drivers = [
        LinuxNetworkDriver(Settings(folder=tmp_path / name, cloud_id=new_cloud_id(), host_netns=host)) for name in "ab"
    ]
    outside = [
        ExternalNetworkSpec(network=NetworkSpec(id=new_id()), host_addresses=(address,), masquerade=True)
        for address in ("203.0.113.1/28", "203.0.113.17/28")
    ]
    try:
        run("ip", "netns", "exec", host, "sysctl", "-w", "net.ipv4.ip_forward=0")
        for driver, external in zip(drivers, outside, strict=True):
            await driver.ensure_external_network(external)
            assert forwards() == "1"
        await drivers[0].ensure_all_gone()
        assert forwards() == "1", "the second cloud still forwards"
        await drivers[1].ensure_all_gone()
        assert forwards() == "0"
    finally:
        for driver in drivers:
            await driver.ensure_all_gone()
            await driver.close()
        run("ip", "netns", "delete", host)


async def test_clouds_side_by_side_do_not_touch_each_other(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    """The same ids in another cloud (and on another agent of this cloud) are other things."""
    await scenario.up(driver)
    before = host_state()
    elsewhere = Settings(folder=tmp_path / "other", cloud_id=new_cloud_id())
    other = LinuxNetworkDriver(elsewhere)
    await other.ensure_network(scenario.NETWORK)
    outside = ExternalNetworkSpec(network=scenario.OUTSIDE, host_addresses=("203.0.113.1/24",))
    await other.ensure_external_network(outside)
    await other.ensure_security_group(scenario.GROUP)
    port = msgspec.structs.replace(scenario.PORT, mac="fa:16:3e:00:00:99")
    await other.ensure_port(port)
    await other.ensure_dhcp(scenario.DHCP)
    inventory = await other.inventory()
    assert inventory.ports == (port.id,)
    assert await driver.inventory() == EVERYTHING
    await other.ensure_all_gone()
    await other.close()
    assert host_state() == before
