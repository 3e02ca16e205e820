"""The tests that every network driver passes: what the control plane may rely on whichever driver a host runs.

A driver's own test file subclasses `NetworkDriverContract` and provides the `driver` fixture (started, empty).
"""

from uuid import uuid4

import msgspec
import pytest

from pileus.services.network.drivers.base import HostNetworkError, NetworkDriver, StillInUse
from pileus.services.network.wanted import (
    DhcpHost,
    DhcpSpec,
    ExternalNetworkSpec,
    FloatingIpSpec,
    Inventory,
    NetworkSpec,
    Plug,
    PortSpec,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)


def new_id() -> str:
    return str(uuid4())


def new_mac() -> str:
    return "fa:16:3e:" + ":".join(new_id()[i : i + 2] for i in (0, 2, 4))


def group(*rules: RuleSpec, members: tuple[str, ...] = ()) -> SecurityGroupSpec:
    return SecurityGroupSpec(id=new_id(), rules=rules, member_ips=members)


def guest(network: NetworkSpec, *ips: str, groups: tuple[SecurityGroupSpec, ...] = ()) -> PortSpec:
    return PortSpec(
        id=new_id(),
        network_id=network.id,
        mac=new_mac(),
        ips=ips,
        plug=Plug.VETH,
        security_group_ids=tuple(g.id for g in groups),
    )


def dhcp(network: NetworkSpec, *hosts: DhcpHost, cidr: str = "10.7.0.0/24", address: str = "10.7.0.2/24") -> DhcpSpec:
    subnet = SubnetSpec(id=new_id(), cidr=cidr, gateway_ip=cidr.replace("0/24", "1"))
    return DhcpSpec(
        network_id=network.id, port_id=new_id(), mac=new_mac(), addresses=(address,), subnets=(subnet,), hosts=hosts
    )


def leg(network: NetworkSpec, address: str) -> RouterLeg:
    return RouterLeg(port_id=new_id(), network_id=network.id, mac=new_mac(), addresses=(address,))


class NetworkDriverContract:
    """Idempotence, refusals and the inventory; traffic is each driver's own matter."""

    @pytest.fixture
    def network(self) -> NetworkSpec:
        return NetworkSpec(id=new_id(), mtu=1450)

    async def test_a_fresh_driver_has_nothing(self, driver: NetworkDriver) -> None:
        assert await driver.inventory() == Inventory()

    async def test_ensuring_a_port_again_changes_nothing(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        await driver.ensure_network(network)
        await driver.ensure_network(network)
        members = group(members=("10.7.0.5",))
        await driver.ensure_security_group(members)
        port = guest(network, "10.7.0.5", groups=(members,))
        first = await driver.ensure_port(port)
        inventory = await driver.inventory()
        assert await driver.ensure_port(port) == first
        assert await driver.inventory() == inventory
        assert inventory.networks == (network.id,)
        assert inventory.ports == (port.id,)
        assert inventory.security_groups == (members.id,)

    async def test_wiring_names_the_port_and_fits_the_kernel(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        await driver.ensure_network(network)
        one, two = guest(network, "10.7.0.5"), guest(network, "10.7.0.6")
        tap = msgspec.structs.replace(guest(network, "10.7.0.7"), plug=Plug.TAP)
        wirings = [await driver.ensure_port(port) for port in (one, two, tap)]
        names = {w.interface for w in wirings} | {w.guest_interface for w in wirings}
        assert len(names) == 5, "a tap is its own guest end, a veth pair has two"
        assert all(len(name) <= 15 for name in names)
        assert [w.port_id for w in wirings] == [one.id, two.id, tap.id]
        assert {w.mtu for w in wirings} == {1450}

    async def test_a_port_needs_its_network_and_groups(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        unknown = group()
        port = guest(network, "10.7.0.5", groups=(unknown,))
        with pytest.raises(HostNetworkError, match=network.id):
            await driver.ensure_port(port)
        await driver.ensure_network(network)
        with pytest.raises(HostNetworkError, match=unknown.id):
            await driver.ensure_port(port)
        with pytest.raises(HostNetworkError, match=port.id):
            await driver.ensure_port_rules(port)
        assert (await driver.inventory()).ports == ()

    async def test_a_port_without_port_security_needs_no_group(
        self, driver: NetworkDriver, network: NetworkSpec
    ) -> None:
        await driver.ensure_network(network)
        port = msgspec.structs.replace(guest(network, groups=(group(),)), port_security=False)
        await driver.ensure_port(port)
        await driver.ensure_port_rules(port)
        assert (await driver.inventory()).ports == (port.id,)

    async def test_gone_is_gone_however_often(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        await driver.ensure_network(network)
        port = guest(network, "10.7.0.5")
        await driver.ensure_port(port)
        for _ in range(2):
            await driver.ensure_port_gone(port.id)
            await driver.ensure_dhcp_gone(network.id)
            await driver.ensure_router_gone(new_id())
            await driver.ensure_security_group_gone(new_id())
            await driver.ensure_network_gone(network.id)
        assert await driver.inventory() == Inventory()

    async def test_what_is_in_use_is_not_removed(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        await driver.ensure_network(network)
        used = group(RuleSpec(id=new_id(), direction="egress"))
        await driver.ensure_security_group(used)
        port = guest(network, "10.7.0.5", groups=(used,))
        await driver.ensure_port(port)
        with pytest.raises(StillInUse, match=network.id):
            await driver.ensure_network_gone(network.id)
        with pytest.raises(StillInUse, match=used.id):
            await driver.ensure_security_group_gone(used.id)
        await driver.ensure_port_rules(msgspec.structs.replace(port, security_group_ids=()))
        await driver.ensure_security_group_gone(used.id)
        inventory = await driver.inventory()
        assert inventory == Inventory(networks=(network.id,), ports=(port.id,))

    async def test_a_group_may_name_groups_that_are_not_here(self, driver: NetworkDriver) -> None:
        stranger = new_id()
        naming = group(RuleSpec(id=new_id(), direction="ingress", remote_group_id=stranger))
        await driver.ensure_security_group(naming)
        assert (await driver.inventory()).security_groups == (naming.id,)
        await driver.ensure_security_group(SecurityGroupSpec(id=stranger, member_ips=("10.7.0.9",)))
        await driver.ensure_security_group_gone(stranger)
        assert (await driver.inventory()).security_groups == (naming.id,)
        await driver.ensure_security_group_gone(naming.id)
        assert await driver.inventory() == Inventory()

    async def test_members_come_and_go_one_by_one(self, driver: NetworkDriver) -> None:
        with pytest.raises(HostNetworkError, match="ensure_security_group"):
            await driver.change_members(new_id(), ["10.7.0.5"], [])
        known = group(members=("10.7.0.5", "10.7.0.6", "2001:db8::5"))
        await driver.ensure_security_group(known)
        await driver.change_members(known.id, ["10.7.0.7", "10.9.0.0/16", "10.9.3.4"], ["10.7.0.6", "2001:db8::5"])
        await driver.change_members(known.id, ["2001:db8::/64"], ["10.9.0.0/16"])
        await driver.change_members(known.id, [], ["10.7.0.5", "10.7.0.7", "10.9.3.4", "2001:db8::/64"])
        await driver.change_members(known.id, ["10.7.0.5"], [])
        assert (await driver.inventory()).security_groups == (known.id,)

    async def test_dhcp_comes_changes_and_goes(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        with pytest.raises(HostNetworkError, match=network.id):
            await driver.ensure_dhcp(dhcp(network))
        await driver.ensure_network(network)
        served = dhcp(network)
        await driver.ensure_dhcp(served)
        host = DhcpHost(port_id=new_id(), mac=new_mac(), ips=("10.7.0.5",), hostname="host-10-7-0-5")
        await driver.ensure_dhcp(msgspec.structs.replace(served, hosts=(host,)))
        assert (await driver.inventory()).dhcp == (network.id,)
        with pytest.raises(StillInUse, match="DHCP"):
            await driver.ensure_network_gone(network.id)
        await driver.ensure_dhcp_gone(network.id)
        await driver.ensure_network_gone(network.id)
        assert await driver.inventory() == Inventory()

    async def test_a_router_comes_changes_and_goes(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        outside = NetworkSpec(id=new_id())
        inner = leg(network, "10.7.0.1/24")
        router = RouterSpec(id=new_id(), interfaces=(inner,))
        with pytest.raises(HostNetworkError, match=network.id):
            await driver.ensure_router(router)
        await driver.ensure_network(network)
        await driver.ensure_external_network(ExternalNetworkSpec(network=outside, host_addresses=("198.51.100.1/24",)))
        await driver.ensure_router(router)
        full = RouterSpec(
            id=router.id,
            interfaces=(inner,),
            gateway=leg(outside, "198.51.100.7/24"),
            nexthops=("198.51.100.1",),
            floating_ips=(FloatingIpSpec(id=new_id(), floating_ip="198.51.100.8", fixed_ip="10.7.0.5"),),
        )
        await driver.ensure_router(full)
        await driver.ensure_router(full)
        inventory = await driver.inventory()
        assert inventory.routers == (router.id,)
        assert inventory.ports == (), "router legs are the router's, not ports of their own"
        with pytest.raises(StillInUse, match=router.id):
            await driver.ensure_network_gone(network.id)
        await driver.ensure_router(RouterSpec(id=router.id))
        await driver.ensure_network_gone(network.id)
        await driver.ensure_router_gone(router.id)
        await driver.ensure_network_gone(outside.id)
        assert await driver.inventory() == Inventory()

    async def test_all_gone_leaves_nothing(self, driver: NetworkDriver, network: NetworkSpec) -> None:
        await driver.ensure_network(network)
        used = group()
        await driver.ensure_security_group(used)
        await driver.ensure_port(guest(network, "10.7.0.5", groups=(used,)))
        await driver.ensure_dhcp(dhcp(network))
        await driver.ensure_router(RouterSpec(id=new_id(), interfaces=(leg(network, "10.7.0.1/24"),)))
        await driver.ensure_all_gone()
        assert await driver.inventory() == Inventory()
        await driver.ensure_all_gone()
