"""What security groups and anti-spoofing let through between guests on one host."""

import asyncio

import msgspec
import pytest

from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.wanted import AddressPair, NetworkSpec, SecurityGroupSpec
from tests.host.network.guests import Guest, Guests, allow, open_group, port_of, run

pytestmark = pytest.mark.host

ICMP = allow(protocol="icmp")


@pytest.fixture
async def network(driver: LinuxNetworkDriver) -> NetworkSpec:
    network = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(network)
    return network


async def test_only_what_a_rule_allows_gets_in(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests
) -> None:
    closed, ping, web = (
        open_group(),
        open_group(ICMP),
        open_group(allow(protocol="tcp", port_range_min=80, port_range_max=81)),
    )
    for group in (closed, ping, web):
        await driver.ensure_security_group(group)
    one = await guests.boot(port_of(network, "10.7.0.5", closed), "10.7.0.5/24")
    two = await guests.boot(port_of(network, "10.7.0.6", ping, web), "10.7.0.6/24")
    servers = [two.serve_tcp(81), two.serve_tcp(82)]
    assert one.pings("10.7.0.6")
    assert not two.pings("10.7.0.5")
    assert one.calls("10.7.0.6", 81) == f"{two.name} 10.7.0.5"
    assert one.calls("10.7.0.6", 82) == "TimeoutError"
    await driver.ensure_port_rules(msgspec.structs.replace(two.port, security_group_ids=(web.id,)))
    assert not one.pings("10.7.0.6")
    await driver.ensure_port_rules(msgspec.structs.replace(two.port, port_security=False))
    assert one.calls("10.7.0.6", 82) == f"{two.name} 10.7.0.5"
    for server in servers:
        server.kill()


async def test_egress_is_filtered_too(driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests) -> None:
    mute = SecurityGroupSpec(
        id=new_id(), rules=(allow("egress", protocol="tcp", port_range_min=80, port_range_max=80),)
    )
    anyone = open_group(allow())
    for group in (mute, anyone):
        await driver.ensure_security_group(group)
    one = await guests.boot(port_of(network, "10.7.0.5", mute), "10.7.0.5/24")
    two = await guests.boot(port_of(network, "10.7.0.6", anyone), "10.7.0.6/24")
    server = two.serve_tcp(80)
    assert not one.pings("10.7.0.6")
    assert one.calls("10.7.0.6", 80) == f"{two.name} 10.7.0.5"
    server.kill()


async def test_a_remote_group_means_its_members(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests
) -> None:
    friends = open_group(members=("10.7.0.5",))
    shy = open_group(allow(protocol="icmp", remote_group_id=friends.id))
    for group in (friends, shy):
        await driver.ensure_security_group(group)
    friend = await guests.boot(port_of(network, "10.7.0.5", friends), "10.7.0.5/24")
    other = await guests.boot(port_of(network, "10.7.0.6", friends), "10.7.0.6/24")
    guarded = await guests.boot(port_of(network, "10.7.0.7", shy), "10.7.0.7/24")
    assert friend.pings("10.7.0.7")
    assert not other.pings("10.7.0.7")
    await driver.ensure_security_group(msgspec.structs.replace(friends, member_ips=("10.7.0.5", "10.7.0.6")))
    assert other.pings("10.7.0.7")
    assert guarded.pings("10.7.0.5") is False, "friends allow nobody in"


async def test_taking_a_rule_away_cuts_open_connections(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests
) -> None:
    sending = open_group()
    pinging = open_group(ICMP)
    for group in (sending, pinging):
        await driver.ensure_security_group(group)
    one = await guests.boot(port_of(network, "10.7.0.5", sending), "10.7.0.5/24")
    await guests.boot(port_of(network, "10.7.0.6", pinging), "10.7.0.6/24")
    ping = one.keep_pinging("10.7.0.6")
    await driver.ensure_security_group(msgspec.structs.replace(pinging, rules=(allow("egress"),)))
    await asyncio.sleep(0.5)
    ping.send_signal(2)
    summary = ping.communicate(timeout=10)[0]
    sent, received = (int(word) for word in summary.split("---")[-1].split() if word.isdigit())
    assert received < sent - 1, summary


def announce(guest: Guest, ip: str) -> None:
    """Tell all neighbours that an address is this guest's: by a request for it, and by an answer nobody asked for."""
    for kind in ("-U", "-A"):
        guest.run("busybox", "arping", "-c", "2", "-w", "1", kind, "-I", "eth0", ip, check=False)


async def test_a_guest_cannot_pretend_to_be_another(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests
) -> None:
    anyone = open_group(allow(), allow(ethertype="IPv6"), allow("egress", ethertype="IPv6"))
    await driver.ensure_security_group(anyone)
    liar = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24")
    victim = await guests.boot(port_of(network, "10.7.0.6", anyone), "10.7.0.6/24")
    assert liar.pings("10.7.0.6")
    liar.address("10.7.0.66/24")
    assert not liar.pings("10.7.0.6", source="10.7.0.66"), "a foreign IP"
    victim.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_accept=1")  # it believes whoever announces an address
    victim.run("ip", "neighbor", "flush", "all")
    announce(liar, "10.7.0.66")
    assert "10.7.0.66" not in victim.run("ip", "neighbor"), "a foreign IP in ARP"
    pair = AddressPair(ip="10.7.0.64/30", mac=liar.port.mac)
    await driver.ensure_port_rules(msgspec.structs.replace(liar.port, allowed_address_pairs=(pair,)))
    announce(liar, "10.7.0.66")
    assert "10.7.0.66" in victim.run("ip", "neighbor"), "an allowed pair in ARP"
    assert liar.pings("10.7.0.6", source="10.7.0.66"), "an allowed pair"
    liar.run("ip", "link", "set", "eth0", "address", "fa:16:3e:99:99:99")
    assert not liar.pings("10.7.0.6"), "a foreign MAC"
    liar.run("ip", "link", "set", "eth0", "address", liar.port.mac)
    assert liar.pings("10.7.0.6")


async def test_ipv6_works_between_neighbours(driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests) -> None:
    six = open_group(allow("egress", ethertype="IPv6"), allow(ethertype="IPv6", protocol="ipv6-icmp"))
    await driver.ensure_security_group(six)
    ports = [
        msgspec.structs.replace(port_of(network, f"10.7.0.{n}", six), ips=(f"10.7.0.{n}", f"fd00:7::{n}"))
        for n in (5, 6)
    ]
    one, two = [await guests.boot(port, f"{port.ips[1]}/64") for port in ports]
    assert one.pings("fd00:7::6", tries=10)
    one.address("fd00:7::66/64")
    two.run("ip", "-6", "neighbor", "flush", "all")
    assert not one.pings("fd00:7::6", source="fd00:7::66")
    closed = open_group()
    await driver.ensure_security_group(closed)
    await driver.ensure_port_rules(msgspec.structs.replace(two.port, security_group_ids=(closed.id,)))
    assert not one.pings("fd00:7::6")


async def test_overlapping_ranges_do_not_meet(driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests) -> None:
    other = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(other)
    anyone = open_group(allow())
    await driver.ensure_security_group(anyone)
    here = [await guests.boot(port_of(network, ip, anyone), f"{ip}/24") for ip in ("10.7.0.5", "10.7.0.6")]
    there = [await guests.boot(port_of(other, ip, anyone), f"{ip}/24") for ip in ("10.7.0.5", "10.7.0.6")]
    servers = [here[1].serve_tcp(80), there[1].serve_tcp(80)]
    assert here[0].calls("10.7.0.6", 80) == f"{here[1].name} 10.7.0.5"
    assert there[0].calls("10.7.0.6", 80) == f"{there[1].name} 10.7.0.5"
    for server in servers:
        server.kill()


async def test_a_port_that_is_down_is_cut_off(driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests) -> None:
    anyone = open_group(allow())
    await driver.ensure_security_group(anyone)
    one, two = [await guests.boot(port_of(network, ip, anyone), f"{ip}/24") for ip in ("10.7.0.5", "10.7.0.6")]
    await driver.ensure_port(msgspec.structs.replace(two.port, admin_up=False))
    assert not one.pings("10.7.0.6")
    await driver.ensure_port(two.port)
    assert one.pings("10.7.0.6", tries=10)


async def test_the_host_is_not_to_be_reached_through_a_network(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests
) -> None:
    """Not even by a guest that claims an address beside the host's and knows the bridge's MAC."""
    run("ip", "link", "add", "pnt-nic", "type", "veth", "peer", "name", "pnt-nicpeer")
    run("ip", "address", "add", "203.0.113.1/30", "dev", "pnt-nic")
    run("ip", "link", "set", "pnt-nic", "up")
    run("ip", "link", "set", "pnt-nicpeer", "up")
    port = msgspec.structs.replace(port_of(network, "203.0.113.2"), port_security=False)
    guest = await guests.boot(port, "203.0.113.2/30")
    bridge = run("ip", "-o", "link", "show", "type", "bridge").split(network.id)[0].rsplit("\n", 1)[-1]
    mac = bridge.split("link/ether ")[1].split()[0]
    try:
        assert not guest.pings("203.0.113.1")
        assert "REACHABLE" not in guest.run("ip", "neighbor")
        guest.run("ip", "neighbor", "replace", "203.0.113.1", "lladdr", mac, "dev", "eth0")
        run("ip", "route", "replace", "203.0.113.2/32", "dev", "pnt-nic")
        received = _icmp_echos_received()
        assert not guest.pings("203.0.113.1")
        assert _icmp_echos_received() == received
    finally:
        run("ip", "link", "delete", "pnt-nic")


def _icmp_echos_received() -> int:
    """Count the pings the host has taken in."""
    names, values = [line.split() for line in run("cat", "/proc/net/snmp").splitlines() if line.startswith("Icmp:")]
    return int(values[names.index("InEchos")])
