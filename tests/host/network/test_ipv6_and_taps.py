"""IPv6 addresses by advertisement and by DHCPv6, and taps as a virtual machine would use them."""

import asyncio
import fcntl
import ipaddress
import os
import select
import socket
import struct
import subprocess
import sys

import msgspec
import pytest

from pileus.services.network.drivers.contract import new_id, new_mac
from pileus.services.network.drivers.linux import advertise
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.filters import link_local
from pileus.services.network.drivers.linux.ports import IFF_NO_PI, IFF_TAP, TUNSETIFF
from pileus.services.network.wanted import NetworkSpec, Plug, PortSpec, RouterLeg, RouterSpec
from tests.host.network.guests import Guest, Guests, allow, leg_of, open_group, port_of

pytestmark = pytest.mark.host

SIX = (allow(ethertype="IPv6"), allow("egress", ethertype="IPv6"))


def slaac(prefix: str, mac: str) -> str:
    """The address a guest makes itself from a prefix and its MAC."""
    interface_id = int(ipaddress.IPv6Address(link_local(mac))) & (2**64 - 1)
    return str(ipaddress.IPv6Network(prefix)[interface_id])


async def until(guest: Guest, what: str, command: tuple[str, ...]) -> None:
    for _ in range(40):
        if what in await asyncio.to_thread(guest.run, *command):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} not in {guest.run(*command)}")


async def test_guests_address_themselves_and_reach_each_other_over_a_router(
    driver: LinuxNetworkDriver, guests: Guests
) -> None:
    group = open_group(*SIX)
    await driver.ensure_security_group(group)
    legs, booted = [], []
    for prefix in ("fd00:7::/64", "fd00:8::/64"):
        network = NetworkSpec(id=new_id(), mtu=1450)
        await driver.ensure_network(network)
        mac = new_mac()
        port = msgspec.structs.replace(port_of(network, slaac(prefix, mac), group), mac=mac)
        booted.append(await guests.boot(port))
        address = prefix.replace("::/", "::1/")
        legs.append(msgspec.structs.replace(leg_of(network, address), ipv6_ra_mode="slaac", mtu=1450))
    router = RouterSpec(id=new_id(), interfaces=tuple(legs))
    await driver.ensure_router(router)
    for guest in booted:
        await until(guest, guest.port.ips[0], ("ip", "-6", "address", "show", "dev", "eth0", "-tentative"))
        assert "default via fe80::" in guest.run("ip", "-6", "route")
        assert guest.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1450"
    assert booted[0].pings(booted[1].port.ips[0], tries=5)
    await driver.ensure_router(msgspec.structs.replace(router, interfaces=tuple(legs[:1])))
    assert not booted[0].pings(booted[1].port.ips[0])
    await driver.ensure_router_gone(router.id)


async def test_a_guest_cannot_pretend_to_be_a_router(driver: LinuxNetworkDriver, guests: Guests) -> None:
    group = open_group(*SIX)
    network = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_security_group(group)
    await driver.ensure_network(network)
    liar, victim = [await guests.boot(port_of(network, f"10.7.0.{n}", group)) for n in (5, 6)]
    leg = RouterLeg(
        port_id=new_id(), network_id=network.id, mac=liar.port.mac, addresses=("fd66::1/64",), ipv6_ra_mode="slaac"
    )
    voice = advertise.Voice(liar.name, "eth0", advertise.advertisement(leg))
    speaker = await asyncio.to_thread(advertise.speaker, voice)
    await until(liar, "fe80::", ("ip", "-6", "address", "show", "dev", "eth0", "-tentative"))
    for _ in range(3):
        speaker.sendto(voice.packet, (advertise.ALL_NODES, 0))
        await asyncio.sleep(0.1)
    assert "fd66" not in victim.run("ip", "-6", "address")
    open_port = msgspec.structs.replace(liar.port, port_security=False)
    await driver.ensure_port_rules(open_port)
    speaker.sendto(voice.packet, (advertise.ALL_NODES, 0))
    await until(victim, "fd66", ("ip", "-6", "address"))
    speaker.close()


def frame(source_mac: str, source_ip: str, target_ip: str) -> bytes:
    """An ARP question as a guest's card would send it."""
    mac = bytes.fromhex(source_mac.replace(":", ""))
    question = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(source_ip)
    return b"\xff" * 6 + mac + b"\x08\x06" + question + b"\0" * 6 + socket.inet_aton(target_ip)


def asks(tap: int, question: bytes, answer_from: str) -> bool:
    """Send a frame into a tap and tell whether its answer comes back within a second."""
    os.write(tap, question)
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    for _ in range(20):
        if not poll.poll(500):
            return False
        got = os.read(tap, 2048)
        if got[12:14] == b"\x08\x06" and got[21] == 2 and got[28:32] == socket.inet_aton(answer_from):
            return True
    return False


async def test_a_tap_carries_a_virtual_machine(driver: LinuxNetworkDriver, guests: Guests) -> None:
    network, group = NetworkSpec(id=new_id(), mtu=1450), open_group(allow())
    await driver.ensure_network(network)
    await driver.ensure_security_group(group)
    await guests.boot(port_of(network, "10.7.0.6", group), "10.7.0.6/24")
    port = PortSpec(
        id=new_id(),
        network_id=network.id,
        mac=new_mac(),
        ips=("10.7.0.5",),
        plug=Plug.TAP,
        security_group_ids=(group.id,),
    )
    wiring = await driver.ensure_port(port)
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", wiring.interface.encode(), IFF_TAP | IFF_NO_PI))
    await driver.ensure_port(port)
    honest, forged = frame(port.mac, "10.7.0.5", "10.7.0.6"), frame(new_mac(), "10.7.0.5", "10.7.0.6")
    assert await asyncio.to_thread(asks, tap, honest, "10.7.0.6")
    assert not await asyncio.to_thread(asks, tap, forged, "10.7.0.6")
    await driver.ensure_port_gone(port.id)
    os.close(tap)


@pytest.mark.parametrize(("owner", "opens"), [(65534, True), (None, False)])
async def test_a_tap_opens_for_its_owner_alone(driver: LinuxNetworkDriver, owner: int | None, opens: bool) -> None:
    network = NetworkSpec(id=new_id())
    await driver.ensure_network(network)
    port = PortSpec(id=new_id(), network_id=network.id, mac=new_mac(), owner_uid=owner, port_security=False)
    wiring = await driver.ensure_port(port)
    program = (
        "import fcntl, os, struct\n"
        "fd = os.open('/dev/net/tun', os.O_RDWR)\n"
        "os.setresuid(65534, 65534, 65534)\n"
        f"fcntl.ioctl(fd, {TUNSETIFF}, struct.pack('16sH22x', b'{wiring.interface}', {IFF_TAP | IFF_NO_PI}))\n"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode == 0) is opens, done.stderr
