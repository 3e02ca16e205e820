"""Addresses by DHCP, ways out by routers, floating IPs in both directions."""

import asyncio
import dataclasses
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.wanted import (
    DhcpOption,
    ExternalNetworkSpec,
    FloatingIpSpec,
    NetworkSpec,
    Route,
    RouterSpec,
    SecurityGroupSpec,
)
from tests.host.network.guests import Guest, Guests, allow, calls, dhcp_of, leg_of, open_group, pings, port_of, run

pytestmark = pytest.mark.host

HOST_ADDRESS = "198.51.100.1/24"


@pytest.fixture
async def network(driver: LinuxNetworkDriver) -> NetworkSpec:
    network = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(network)
    return network


@pytest.fixture
async def outside(driver: LinuxNetworkDriver) -> NetworkSpec:
    outside = NetworkSpec(id=new_id())
    await driver.ensure_external_network(
        ExternalNetworkSpec(network=outside, host_addresses=(HOST_ADDRESS,), masquerade=True)
    )
    return outside


@pytest.fixture
async def anyone(driver: LinuxNetworkDriver) -> SecurityGroupSpec:
    group = open_group(allow())
    await driver.ensure_security_group(group)
    return group


async def test_a_known_port_gets_its_address_and_what_it_needs_to_know(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests, tmp_path: Path
) -> None:
    nothing_allowed = SecurityGroupSpec(id=new_id())
    await driver.ensure_security_group(nothing_allowed)
    port = port_of(network, "10.7.0.5", nothing_allowed)
    stranger = port_of(network, "10.7.0.9", nothing_allowed)
    dhcp = dhcp_of(network, "10.7.0.0/24", port, server="10.7.0.2/24", gateway="10.7.0.1")
    route = Route(destination="10.9.0.0/16", nexthop="10.7.0.3")
    dhcp = msgspec.structs.replace(dhcp, subnets=(msgspec.structs.replace(dhcp.subnets[0], host_routes=(route,)),))
    await driver.ensure_dhcp(dhcp)
    guest, other = await guests.boot(port), await guests.boot(stranger)
    lease = guest.dhcp(tmp_path)
    assert lease["ip"] == "10.7.0.5"
    assert lease["mask"] == "24"
    assert lease["router"] == "10.7.0.1"
    assert lease["dns"] == "192.0.2.53"
    assert lease["mtu"] == "1450"
    assert lease["hostname"] == "host-10-7-0-5"
    assert lease["serverid"] == "10.7.0.2"
    routes = lease["staticroutes"].split()
    assert set(zip(routes[::2], routes[1::2], strict=True)) == {
        ("10.9.0.0/16", "10.7.0.3"),
        ("169.254.169.254/32", "10.7.0.2"),
        ("0.0.0.0/0", "10.7.0.1"),
    }
    assert "failed" in other.dhcp(tmp_path), "a port that DHCP does not know gets nothing"


async def test_a_change_of_ports_needs_no_new_server(
    driver: LinuxNetworkDriver, network: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests, tmp_path: Path
) -> None:
    first, second = port_of(network, "10.7.0.5", anyone), port_of(network, "10.7.0.5", anyone)
    dhcp = dhcp_of(network, "10.7.0.0/24", first, server="10.7.0.2/24")
    await driver.ensure_dhcp(dhcp)
    server = _dnsmasq_pids(network)
    (pid,) = server
    assert run("ps", "-o", "user=", "-p", pid).strip() == "nobody"
    one = await guests.boot(first)
    assert one.dhcp(tmp_path)["ip"] == "10.7.0.5"
    # The address moves to another port while its lease has not run out.
    reused = dhcp_of(network, "10.7.0.0/24", second, server="10.7.0.2/24").hosts
    reused = (msgspec.structs.replace(reused[0], hostname="named"),)
    await driver.ensure_dhcp(msgspec.structs.replace(dhcp, hosts=reused))
    await driver.ensure_port_gone(first.id)
    two = await guests.boot(second)
    lease = two.dhcp(tmp_path)
    assert lease.get("ip") == "10.7.0.5", lease
    assert lease["hostname"] == "named"
    assert lease["domain"] == "openstacklocal"
    assert _dnsmasq_pids(network) == server
    assert "10.7.0.5" in two.run("busybox", "nslookup", "named.openstacklocal", "10.7.0.2")
    option = DhcpOption(name="domain-name", value="named.example")
    reused = (msgspec.structs.replace(reused[0], options=(option,)),)
    await driver.ensure_dhcp(msgspec.structs.replace(dhcp, hosts=reused))
    assert two.dhcp(tmp_path)["domain"] == "named.example"


async def test_a_server_that_dies_is_started_again(
    driver: LinuxNetworkDriver, network: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests, tmp_path: Path
) -> None:
    port = port_of(network, "10.7.0.5", anyone)
    await driver.ensure_dhcp(dhcp_of(network, "10.7.0.0/24", port, server="10.7.0.2/24"))
    guest = await guests.boot(port)
    for _ in range(2):
        (dead,) = _dnsmasq_pids(network)
        os.kill(int(dead), signal.SIGSEGV)
        for _ in range(30):
            await asyncio.sleep(0.1)
            if _dnsmasq_pids(network) not in (set(), {dead}):
                break
        assert (await asyncio.to_thread(guest.dhcp, tmp_path)).get("ip") == "10.7.0.5"
    await driver.ensure_dhcp_gone(network.id)
    await asyncio.sleep(0.5)
    assert _dnsmasq_pids(network) == set()


async def test_a_router_joins_two_networks(
    driver: LinuxNetworkDriver, network: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    other = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(other)
    one = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    await guests.boot(port_of(other, "10.8.0.5", anyone), "10.8.0.5/24", "10.8.0.1")
    legs = (leg_of(network, "10.7.0.1/24"), leg_of(other, "10.8.0.1/24"))
    router = RouterSpec(id=new_id(), interfaces=legs)
    await driver.ensure_router(router)
    assert one.pings("10.8.0.5")
    await driver.ensure_router(msgspec.structs.replace(router, admin_up=False))
    assert not one.pings("10.8.0.5")
    await driver.ensure_router(router)
    assert one.pings("10.8.0.5")
    await driver.ensure_router(msgspec.structs.replace(router, interfaces=legs[:1]))
    assert not one.pings("10.8.0.5")
    await driver.ensure_router_gone(router.id)
    assert not one.pings("10.7.0.1")


async def test_extra_routes_come_and_go(
    driver: LinuxNetworkDriver, network: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    one = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    one.run("sysctl", "-w", "net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.eth0.accept_redirects=0")
    port = msgspec.structs.replace(port_of(network, "10.7.0.6"), port_security=False)
    two = await guests.boot(port, "10.7.0.6/24", "10.7.0.1")
    two.run("ip", "address", "add", "10.55.0.1/32", "dev", "lo")
    router = RouterSpec(id=new_id(), interfaces=(leg_of(network, "10.7.0.1/24"),))
    await driver.ensure_router(router)
    assert not one.pings("10.55.0.1")
    route = Route(destination="10.55.0.0/24", nexthop="10.7.0.6")
    await driver.ensure_router(msgspec.structs.replace(router, routes=(route,)))
    assert one.pings("10.55.0.1")
    await driver.ensure_router(router)
    assert not one.pings("10.55.0.1")


async def test_guests_go_out_by_the_routers_address(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    guest = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    far = await guests.boot(port_of(outside, "198.51.100.20", anyone), "198.51.100.20/24")
    server = far.serve_tcp(80)
    router = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.7/24"),
        nexthops=("198.51.100.1",),
    )
    await driver.ensure_router(router)
    assert guest.calls("198.51.100.20", 80) == f"{far.name} 198.51.100.7"
    assert guest.pings("198.51.100.1"), "the host itself"
    await driver.ensure_router(msgspec.structs.replace(router, enable_snat=False))
    assert guest.calls("198.51.100.20", 80) == "TimeoutError", "untranslated, its answers know no way back"
    server.kill()


async def test_floating_ips_work_in_both_directions_and_move(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    one = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    two = await guests.boot(port_of(network, "10.7.0.6", anyone), "10.7.0.6/24", "10.7.0.1")
    far = await guests.boot(port_of(outside, "198.51.100.20", anyone), "198.51.100.20/24")
    servers = [one.serve_tcp(80), two.serve_tcp(80), far.serve_tcp(80)]
    floating = FloatingIpSpec(id=new_id(), floating_ip="198.51.100.8", fixed_ip="10.7.0.5")
    router = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.7/24"),
        nexthops=("198.51.100.1",),
        floating_ips=(floating,),
    )
    await driver.ensure_router(router)
    assert pings("198.51.100.8"), "from the host"
    assert calls("198.51.100.8", 80) == f"{one.name} 198.51.100.1"
    assert far.calls("198.51.100.8", 80) == f"{one.name} 198.51.100.20"
    assert one.calls("198.51.100.20", 80) == f"{far.name} 198.51.100.8"
    assert two.calls("198.51.100.20", 80) == f"{far.name} 198.51.100.7"
    assert two.calls("198.51.100.8", 80) == f"{one.name} 198.51.100.7", "a neighbour by its floating IP"
    assert one.calls("198.51.100.8", 80) == f"{one.name} 198.51.100.7", "itself by its floating IP"
    moved = msgspec.structs.replace(floating, fixed_ip="10.7.0.6")
    await driver.ensure_router(msgspec.structs.replace(router, floating_ips=(moved,)))
    assert far.calls("198.51.100.8", 80) == f"{two.name} 198.51.100.20"
    # To another router: the host must learn the new owner's MAC at once.
    second = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.254/24"),),
        gateway=leg_of(outside, "198.51.100.9/24"),
        nexthops=("198.51.100.1",),
        floating_ips=(moved,),
    )
    two.address("10.7.0.6/24", "10.7.0.254")
    await driver.ensure_router(msgspec.structs.replace(router, floating_ips=()))
    await driver.ensure_router(second)
    assert calls("198.51.100.8", 80) == f"{two.name} 198.51.100.1"
    for server in servers:
        server.kill()


async def test_security_groups_hold_against_the_host_and_the_outside(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, guests: Guests
) -> None:
    ssh_only = open_group(allow(protocol="tcp", port_range_min=22, port_range_max=22))
    await driver.ensure_security_group(ssh_only)
    inner = await guests.boot(port_of(network, "10.7.0.5", ssh_only), "10.7.0.5/24", "10.7.0.1")
    direct = await guests.boot(port_of(outside, "198.51.100.20", ssh_only), "198.51.100.20/24")
    servers = [guest.serve_tcp(port) for guest in (inner, direct) for port in (22, 80)]
    floating = FloatingIpSpec(id=new_id(), floating_ip="198.51.100.8", fixed_ip="10.7.0.5")
    await driver.ensure_router(
        RouterSpec(
            id=new_id(),
            interfaces=(leg_of(network, "10.7.0.1/24"),),
            gateway=leg_of(outside, "198.51.100.7/24"),
            nexthops=("198.51.100.1",),
            floating_ips=(floating,),
        )
    )
    assert calls("198.51.100.8", 22) == f"{inner.name} 198.51.100.1"
    assert calls("198.51.100.8", 80) == "TimeoutError"
    assert calls("198.51.100.20", 22) == f"{direct.name} 198.51.100.1"
    assert calls("198.51.100.20", 80) == "TimeoutError"
    for server in servers:
        server.kill()


async def test_guests_reach_nothing_that_listens_on_the_host(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    guest = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    direct = await guests.boot(port_of(outside, "198.51.100.20", anyone), "198.51.100.20/24", "198.51.100.1")
    run("ip", "link", "add", "pnt-lan", "type", "veth", "peer", "name", "pnt-lan-far")
    guests.links.append("pnt-lan")
    run("ip", "address", "add", "203.0.113.9/32", "dev", "pnt-lan")
    router = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.7/24"),
        nexthops=("198.51.100.1",),
    )
    await driver.ensure_router(router)
    with socket.create_server(("0.0.0.0", 0)) as listener, socket.create_server(("0.0.0.0", 0)) as opened:
        port, answered = (one.getsockname()[1] for one in (listener, opened))
        for asking in (guest, direct):
            for ip in ("198.51.100.1", "203.0.113.9"):
                assert await asyncio.to_thread(asking.calls, ip, port) == "TimeoutError", "a port of the host"
            assert asking.pings("198.51.100.1")
        driver._settings = dataclasses.replace(driver._settings, guest_tcp_ports=(answered,))
        driver._host.settings = driver._settings  # type: ignore[union-attr]
        await driver.ensure_external_network(
            ExternalNetworkSpec(network=outside, host_addresses=(HOST_ADDRESS,), masquerade=True)
        )
        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(_answer_once, opened)
            assert await asyncio.to_thread(guest.calls, "198.51.100.1", answered) == "hello"
            answering.result()
        assert await asyncio.to_thread(guest.calls, "198.51.100.1", port) == "TimeoutError"


def _answer_once(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"hello")


async def test_private_guests_are_reached_by_floating_ips_alone(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    """Two tenants' routers on one external network: a route of one's own to the other's gateway leads nowhere."""
    theirs = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(theirs)
    attacker = await guests.boot(port_of(theirs, "10.8.0.5", anyone), "10.8.0.5/24", "10.8.0.1")
    victim = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    server = victim.serve_tcp(80)
    floating = FloatingIpSpec(id=new_id(), floating_ip="198.51.100.8", fixed_ip="10.7.0.5")
    router = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.7/24"),
        nexthops=("198.51.100.1",),
    )
    routed = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(theirs, "10.8.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.9/24"),
        nexthops=("198.51.100.1",),
        routes=(Route(destination="10.7.0.0/24", nexthop="198.51.100.7"),),
    )
    await driver.ensure_router(router)
    await driver.ensure_router(routed)
    assert not attacker.pings("10.7.0.5")
    assert attacker.calls("10.7.0.5", 80) == "TimeoutError"
    await driver.ensure_router(msgspec.structs.replace(router, floating_ips=(floating,)))
    assert attacker.calls("198.51.100.8", 80) == f"{victim.name} 198.51.100.9"
    assert attacker.calls("10.7.0.5", 80) == "TimeoutError"
    await driver.ensure_router(msgspec.structs.replace(router, enable_snat=False))
    assert attacker.calls("10.7.0.5", 80) == f"{victim.name} 198.51.100.9", "an operator's router without translation"
    server.kill()


async def test_the_world_sees_the_hosts_address(
    driver: LinuxNetworkDriver, network: NetworkSpec, outside: NetworkSpec, anyone: SecurityGroupSpec, guests: Guests
) -> None:
    far = Guest(port_of(outside, "203.0.113.2"))
    guests.made.append(far)
    run("ip", "link", "add", "pnt-world", "type", "veth", "peer", "name", "pnt-far")
    far.make("pnt-far")
    run("ip", "address", "add", "203.0.113.1/30", "dev", "pnt-world")
    run("ip", "link", "set", "pnt-world", "up")
    far.address("203.0.113.2/30")
    guests.links.append("pnt-world")
    server = far.serve_tcp(80)
    guest = await guests.boot(port_of(network, "10.7.0.5", anyone), "10.7.0.5/24", "10.7.0.1")
    floating = FloatingIpSpec(id=new_id(), floating_ip="198.51.100.8", fixed_ip="10.7.0.5")
    router = RouterSpec(
        id=new_id(),
        interfaces=(leg_of(network, "10.7.0.1/24"),),
        gateway=leg_of(outside, "198.51.100.7/24"),
        nexthops=("198.51.100.1",),
    )
    for floating_ips in ((), (floating,)):
        await driver.ensure_router(msgspec.structs.replace(router, floating_ips=floating_ips))
        assert guest.calls("203.0.113.2", 80) == f"{far.name} 203.0.113.1"
        assert guest.pings("198.51.100.1"), "the host itself sees whom it is"
    await driver.ensure_dhcp(dhcp_of(network, "10.7.0.0/24", guest.port, server="10.7.0.2/24", gateway="10.7.0.1"))
    far.run("dnsmasq", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
            "--address=/www.example/192.0.2.80")  # fmt: skip
    answer = guest.run("busybox", "nslookup", "www.example", "10.7.0.2", check=False)
    assert "192.0.2.80" in answer, "the network's DNS asks the host's resolver"
    assert "10.7.0.5" in guest.run("busybox", "nslookup", "host-10-7-0-5.openstacklocal", "10.7.0.2")
    external = ExternalNetworkSpec(network=outside, host_addresses=(HOST_ADDRESS,))
    await driver.ensure_external_network(external)
    assert guest.calls("203.0.113.2", 80) == "TimeoutError", "unhidden, its answers know no way back"
    server.kill()


async def test_an_external_range_that_the_host_uses_is_refused(
    driver: LinuxNetworkDriver, outside: NetworkSpec
) -> None:
    clash = ExternalNetworkSpec(network=NetworkSpec(id=new_id()), host_addresses=("198.51.100.129/25",))
    with pytest.raises(Exception, match=r"198\.51\.100\.1/24 there already"):
        await driver.ensure_external_network(clash)


def _dnsmasq_pids(network: NetworkSpec) -> set[str]:
    return {
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and network.id.encode() in _command(entry) and b"dnsmasq" in _command(entry)
    }


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
