"""Two hosts on one machine: each a namespace with an agent of its own, joined by a cable."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import msgspec
import pytest

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.wanted import NetworkSpec, RemoteMac
from tests.host.network.conftest import new_cloud_id
from tests.host.network.guests import Guest, allow, dhcp_of, open_group, port_of, run

pytestmark = pytest.mark.host


class Machine:
    """A simulated host: a namespace, an underlay address, an agent's driver."""

    def __init__(self, number: int, cloud_id: str, folder: Path) -> None:
        self.name, self.tunnel_ip = f"pnt-host{number}-{token_hex(2)}", f"192.0.2.{number}"
        run("ip", "netns", "add", self.name)
        self.guests: list[Guest] = []
        self.driver = LinuxNetworkDriver(
            Settings(
                folder=folder / self.name,
                cloud_id=cloud_id,
                host_tag=f"{number:02x}",
                tunnel_ip=self.tunnel_ip,
                host_netns=self.name,
            )
        )

    def cable(self, other: "Machine") -> None:
        run("ip", "-n", self.name, "link", "add", "under0", "type", "veth", "peer", "under0", "netns", other.name)
        for machine in (self, other):
            run("ip", "-n", machine.name, "address", "add", f"{machine.tunnel_ip}/24", "dev", "under0")
            run("ip", "-n", machine.name, "link", "set", "under0", "mtu", "1600", "up")

    async def boot(self, guest: Guest) -> Guest:
        wiring = await self.driver.ensure_port(guest.port)
        self.guests.append(guest)
        run("ip", "netns", "add", guest.name)
        run("ip", "-n", self.name, "link", "set", wiring.guest_interface, "netns", guest.name, "name", "eth0")
        guest.run("ip", "link", "set", "eth0", "up")
        return guest

    async def remove(self) -> None:
        for guest in self.guests:
            guest.remove()
        await self.driver.ensure_all_gone()
        await self.driver.close()
        run("ip", "netns", "delete", self.name)


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    cloud_id = new_cloud_id()
    pair = (Machine(1, cloud_id, tmp_path), Machine(2, cloud_id, tmp_path))
    pair[0].cable(pair[1])
    yield pair
    for machine in pair:
        await machine.remove()


async def test_guests_on_two_hosts_share_a_network(machines: tuple[Machine, Machine], tmp_path: Path) -> None:
    one, two = machines
    group = open_group(allow(protocol="icmp", remote_ip_prefix="10.7.0.0/28"))
    network = NetworkSpec(id=new_id(), mtu=1450, vni=4242)
    here, there = Guest(port_of(network, "10.7.0.5", group)), Guest(port_of(network, "10.7.0.6", group))
    far = Guest(port_of(network, "10.7.0.77", group))
    carried = {
        one: msgspec.structs.replace(
            network,
            tunnel_peers=(one.tunnel_ip, two.tunnel_ip),
            remote_macs=tuple(RemoteMac(mac=g.port.mac, tunnel_ip=two.tunnel_ip) for g in (there, far)),
        ),
        two: msgspec.structs.replace(
            network,
            tunnel_peers=(one.tunnel_ip, two.tunnel_ip),
            remote_macs=(RemoteMac(mac=here.port.mac, tunnel_ip=one.tunnel_ip),),
        ),
    }
    for machine, spec in carried.items():
        await machine.driver.ensure_network(spec)
        await machine.driver.ensure_security_group(group)
    await one.driver.ensure_dhcp(dhcp_of(network, "10.7.0.0/24", here.port, there.port, far.port, server="10.7.0.2/24"))
    for machine, guest in ((one, here), (two, there), (two, far)):
        await machine.boot(guest)
        lease = await asyncio.to_thread(guest.dhcp, tmp_path)
        assert lease.get("ip") == guest.port.ips[0], lease
    assert here.pings("10.7.0.6")
    assert there.pings("10.7.0.5")
    assert not far.pings("10.7.0.5"), "the receiver's host filters what comes through the tunnel"
    here.run("ping", "-q", "-c", "1", "-W", "1", "-M", "do", "-s", str(1450 - 28), "10.7.0.6")
    # A port that moved away is no longer sent there, nor are broadcasts once no peer is left.
    await one.driver.ensure_network(msgspec.structs.replace(carried[one], tunnel_peers=(), remote_macs=()))
    assert not here.pings("10.7.0.6")
    await one.driver.ensure_network(carried[one])
    assert here.pings("10.7.0.6", tries=5)
    await one.driver.ensure_network(NetworkSpec(id=network.id, mtu=1450))
    assert "vxlan" not in run("ip", "-n", one.name, "-d", "link")


async def test_other_networks_in_the_tunnel_stay_apart(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    group = open_group(allow())
    peers = (one.tunnel_ip, two.tunnel_ip)
    first = NetworkSpec(id=new_id(), mtu=1450, vni=1, tunnel_peers=peers)
    second = NetworkSpec(id=new_id(), mtu=1450, vni=2, tunnel_peers=peers)
    guests = []
    for machine, network, ip in ((one, first, "10.7.0.5"), (two, first, "10.7.0.6"), (two, second, "10.7.0.7")):
        await machine.driver.ensure_network(network)
        await machine.driver.ensure_security_group(group)
        guests.append(await machine.boot(Guest(port_of(network, ip, group))))
        guests[-1].address(f"{ip}/24")
    assert guests[0].pings("10.7.0.6", tries=5)
    assert not guests[0].pings("10.7.0.7")


async def test_a_host_without_a_tunnel_address_refuses_peers(tmp_path: Path) -> None:
    driver = LinuxNetworkDriver(Settings(folder=tmp_path, cloud_id=new_cloud_id()))
    network = NetworkSpec(id=new_id(), vni=7, tunnel_peers=("192.0.2.9",))
    with pytest.raises(HostNetworkError, match="tunnel_ip"):
        await driver.ensure_network(network)
    await driver.ensure_all_gone()
    await driver.close()
