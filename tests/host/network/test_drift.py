"""Somebody else's hand on the host: what was made and is gone is found, told, made again, and works again."""

import asyncio
import dataclasses
import fcntl
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.services.network.agent import NetworkPart
from pileus.services.network.commands import EnsureNetworks, FindNetworkDrift
from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux import names, ports
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.drivers.linux.metadata import MetadataUpstream
from pileus.services.network.wanted import ExternalNetworkSpec, GroupRules, Lost, NetworkSpec, RemoteMac
from tests.host.network import scenario
from tests.host.network.conftest import host_state
from tests.host.network.guests import Guests, run

pytestmark = pytest.mark.host

OUTSIDE = ExternalNetworkSpec(network=scenario.OUTSIDE, host_addresses=("198.51.100.1/24",), masquerade=True)
FAR = NetworkSpec(
    id=new_id(),
    mtu=1450,
    vni=4711,
    tunnel_peers=("192.0.2.9",),
    remote_macs=(RemoteMac(mac="fa:16:3e:00:00:99", tunnel_ip="192.0.2.9"),),
)
EVERYTHING = EnsureNetworks(
    stamp=1,
    networks=(scenario.NETWORK, FAR),
    externals=(OUTSIDE,),
    rules=(GroupRules(id=scenario.GROUP.id, rules=scenario.GROUP.rules),),
    ports=(scenario.PORT, scenario.TAP),
    dhcp=(scenario.DHCP,),
    routers=(scenario.ROUTER,),
    complete=True,
)
ASK = "import urllib.request as r;print(r.urlopen('http://169.254.169.254/',timeout=3).read().decode())"

NETWORK, DHCP = f"networks {scenario.NETWORK.id}", f"dhcp {scenario.NETWORK.id}"
PORT, TAP = f"ports {scenario.PORT.id}", f"ports {scenario.TAP.id}"
ROUTER, GROUP = f"routers {scenario.ROUTER.id}", f"security_groups {scenario.GROUP.id}"
EXTERNAL, TUNNEL = f"networks {scenario.OUTSIDE.id}", f"networks {FAR.id}"

HANDS: dict[str, tuple[str, list[str]]] = {
    "a router's namespace": ("ip netns delete {router}", [ROUTER]),
    "a router's rules": ("ip netns exec {router} nft flush ruleset", [ROUTER]),
    "a router's address": ("ip netns exec {router} ip address del 10.7.0.1/24 dev {qr}", [ROUTER]),
    "a router's floating IP": ("ip netns exec {router} ip address del 198.51.100.8/32 dev {qg}", [ROUTER]),
    "a router's way out": ("ip netns exec {router} ip route del default", [ROUTER]),
    "a router's leg": ("ip link del {leg}", [ROUTER]),
    "a DHCP server's namespace": ("ip netns delete {dhcp}", [DHCP]),
    "a DHCP server's leg": ("ip link del {dhcp_leg}", [DHCP]),
    "a DHCP server's files": ("rm {files}/conf {files}/hosts", [DHCP]),
    "a network's bridge": ("ip link del {bridge}", [NETWORK, PORT, DHCP, ROUTER]),
    "a guest's place in its bridge": ("ip link set {plug} nomaster", [PORT]),
    "a guest's interface (set down)": ("ip link set {plug} down", [PORT]),
    "a tap": ("ip link del {tap}", [TAP]),
    "the host's leg": ("ip link del {host_leg}", [EXTERNAL]),
    "the host's address": ("ip address del 198.51.100.1/24 dev {host_leg}", [EXTERNAL]),
    "what closes the host to guests": ("nft flush chain inet {table} through_leg", [EXTERNAL]),
    "what hides guests behind the host": ("nft flush chain inet {table} masquerade_{outer}", [EXTERNAL]),
    "a tunnel": ("ip link del {tunnel}", [TUNNEL]),
    "a tunnel's forwarding entry": ("bridge fdb del fa:16:3e:00:00:99 dev {tunnel} dst 192.0.2.9 self", [TUNNEL]),
    "a guest's filters": ("nft flush map bridge {table} guards", [PORT, TAP]),
    "all rules": ("nft flush table inet {table}", ["rules inet from_guest", "rules inet out_{tap}"]),
    "the table of frames": ("nft delete table bridge {table}", ["rules bridge prerouting", PORT]),
    "the table of packets": ("nft delete table inet {table}", [GROUP, NETWORK, PORT]),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, tunnel_ip="127.0.0.1", tunnel_port=14789)


@pytest.fixture
async def driver(settings: Settings, tmp_path: Path) -> AsyncIterator[LinuxNetworkDriver]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "api.sock")
    driver = LinuxNetworkDriver(settings, MetadataUpstream(f"unix://{tmp_path / 'api.sock'}:", b"secret"))
    await driver.start()
    yield driver
    await driver.ensure_all_gone()
    await driver.close()
    server.close()


def filled(settings: Settings, text: str) -> str:
    of = names.Names(settings.cloud_id)
    inside, outside = scenario.ROUTER.interfaces[0].port_id, scenario.ROUTER.gateway.port_id  # type: ignore[union-attr]
    return text.format(
        table=of.table,
        router=of.router_namespace(scenario.ROUTER.id),
        dhcp=of.dhcp_namespace(scenario.NETWORK.id),
        files=settings.folder / "dhcp" / scenario.NETWORK.id,
        qr=names.inner("qr", inside),
        qg=names.inner("qg", outside),
        leg=of.interface(names.PLUG, inside),
        dhcp_leg=of.interface(names.PLUG, scenario.DHCP.port_id),
        bridge=of.interface(names.BRIDGE, scenario.NETWORK.id),
        outer=of.interface(names.BRIDGE, scenario.OUTSIDE.id),
        host_leg=of.interface(names.HOST_LEG, scenario.OUTSIDE.id),
        plug=of.interface(names.PLUG, scenario.PORT.id),
        tap=of.interface(names.TAP, scenario.TAP.id),
        tunnel=of.interface(names.VXLAN, FAR.id),
    )


def named(lost: tuple[Lost, ...]) -> set[str]:
    return {f"{one.kind} {one.id}" for one in lost if one.kind != "plugs"}


@pytest.mark.parametrize("what", HANDS)
async def test_what_was_taken_away_is_missed_and_made_again(
    driver: LinuxNetworkDriver, settings: Settings, guests: Guests, what: str
) -> None:
    part = NetworkPart(driver)
    await part.ensure_networks(EVERYTHING)
    guest = await guests.boot(scenario.PORT, "10.7.0.6/24", "10.7.0.1")
    assert named((await part.find_drift(FindNetworkDrift())).lost) == set()
    whole = picture(settings)
    command, missed = HANDS[what]
    await asyncio.to_thread(run, *filled(settings, command).split())
    drift = await part.find_drift(FindNetworkDrift())
    assert {filled(settings, one) for one in missed} <= named(drift.lost), drift
    await part.ensure_networks(EVERYTHING)
    assert named((await part.find_drift(FindNetworkDrift())).lost) == set()
    assert picture(settings) == whole
    assert await asyncio.to_thread(guest.pings, "198.51.100.1"), "the guest goes out by its router"
    assert await asyncio.to_thread(guest.pings, "10.7.0.2"), "the guest reaches its DHCP server"
    for gateway in ("10.7.0.1", "10.7.0.2"):
        guest.run("ip", "route", "replace", "169.254.169.254", "via", gateway)
        said = await asyncio.to_thread(guest.run, "python3", "-c", ASK)
        assert said.strip() == "hello", f"metadata by {gateway}"
    assert "10.7.0.6" in guest.run("busybox", "nslookup", "host-10-7-0-6.openstacklocal", "10.7.0.2")


async def test_a_tap_that_was_made_again_is_said_to_be_cut_off_until_a_guest_holds_it(
    driver: LinuxNetworkDriver, settings: Settings
) -> None:
    part, tap = NetworkPart(driver), filled(settings, "{tap}")
    await part.ensure_networks(EVERYTHING)
    assert (await part.find_drift(FindNetworkDrift())).lost == (), "a tap of a guest that is off is no loss"
    run("ip", "link", "del", tap)
    assert TAP in named((await part.find_drift(FindNetworkDrift())).lost)
    await part.ensure_networks(EVERYTHING)
    for _ in range(2):
        drift = await part.find_drift(FindNetworkDrift())
        assert [(one.kind, one.id) for one in drift.lost] == [("plugs", scenario.TAP.id)]
        assert drift.healed == ()
    holder = os.open("/dev/net/tun", os.O_RDWR)
    try:
        _hold(holder, tap)
        drift = await part.find_drift(FindNetworkDrift())
        assert (drift.lost, drift.healed) == ((), (scenario.TAP.id,))
    finally:
        os.close(holder)


def _hold(fd: int, tap: str) -> None:
    """Open a tap as QEMU does."""
    flags = ports.IFF_TAP | ports.IFF_NO_PI | ports.IFF_VNET_HDR
    fcntl.ioctl(fd, ports.TUNSETIFF, struct.pack("16sH22x", tap.encode(), flags))


async def test_a_server_that_was_killed_is_missed_only_until_it_is_back(
    driver: LinuxNetworkDriver, settings: Settings
) -> None:
    part = NetworkPart(driver)
    await part.ensure_networks(EVERYTHING)
    pid = int((settings.folder / "dhcp" / scenario.NETWORK.id / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    for _ in range(100):
        if (await part.find_drift(FindNetworkDrift())).lost == ():
            break
        await asyncio.sleep(0.05)
    assert (await part.find_drift(FindNetworkDrift())).lost == ()
    assert int((settings.folder / "dhcp" / scenario.NETWORK.id / "pid").read_text()) != pid


def picture(settings: Settings) -> tuple[object, ...]:
    """Return what the host has of this cloud: tables, interfaces, namespaces, and the number of rules."""
    table = names.Names(settings.cloud_id).table
    rules = sum(len(run("nft", "list", "table", family, table).splitlines()) for family in ("inet", "bridge"))
    state = host_state()
    links = [link.partition("@")[0] for link in state["links"]]  # what a pair's other end is numbered may change
    return links, state["namespaces"], rules
