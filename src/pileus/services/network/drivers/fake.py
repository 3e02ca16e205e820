"""A network driver without a host: it obeys, remembers and refuses as the contract says, and fails where it is told to.

One rule: it must refuse what the Linux driver refuses, or tests over it prove nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pileus.services.network.drivers.base import HostNetworkError, StillInUse
from pileus.services.network.wanted import (
    DhcpSpec,
    ExternalNetworkSpec,
    Facts,
    Inventory,
    Lost,
    NetworkSpec,
    Plug,
    PortSpec,
    PortWiring,
    RouterSpec,
    SecurityGroupSpec,
)

Fault = Callable[[str, str], None]
"""Called with (verb, id) before each verb acts; raises to make it fail."""


class FakeNetworkDriver:
    """Desired state held in dictionaries; `calls` counts each verb, `fault` injects failures."""

    def __init__(self, *, fault: Fault | None = None) -> None:
        self.fault = fault
        self.calls: Counter[str] = Counter()
        self.networks: dict[str, NetworkSpec] = {}
        self.externals: dict[str, ExternalNetworkSpec] = {}
        self.security_groups: dict[str, SecurityGroupSpec] = {}
        """As they were last ensured; who is a member now is in ``members``."""
        self.members: dict[str, set[str]] = {}
        self.ports: dict[str, PortSpec] = {}
        self.dhcp: dict[str, DhcpSpec] = {}
        self.routers: dict[str, RouterSpec] = {}
        self.unheld: set[str] = set()
        """Ports whose tap no guest holds."""

    async def start(self) -> None:
        self._called("start", "")

    async def close(self) -> None:
        self._called("close", "")

    async def stop_servers(self) -> None:
        self._called("stop_servers", "")

    async def facts(self) -> Facts:
        return Facts(driver="fake")

    async def inventory(self) -> Inventory:
        self._called("inventory", "")
        return Inventory(
            networks=tuple(sorted(self.networks)),
            ports=tuple(sorted(self.ports)),
            security_groups=tuple(sorted(self.security_groups)),
            dhcp=tuple(sorted(self.dhcp)),
            routers=tuple(sorted(self.routers)),
        )

    async def damage(self) -> list[Lost]:
        self._called("damage", "")
        return [Lost(kind="plugs", id=id, what="no guest holds its tap") for id in sorted(self.unheld)]

    async def ensure_network(self, network: NetworkSpec) -> None:
        self._called("ensure_network", network.id)
        self.networks[network.id] = network

    async def ensure_network_gone(self, network_id: str) -> None:
        self._called("ensure_network_gone", network_id)
        users = [f"port {port.id}" for port in self.ports.values() if port.network_id == network_id]
        users += ["DHCP"] if network_id in self.dhcp else []
        users += [f"router {router.id}" for router in self.routers.values() if network_id in _networks_of(router)]
        if users:
            raise StillInUse(f"Network {network_id} still carries {', '.join(users)}: remove these first.")
        self.networks.pop(network_id, None)
        self.externals.pop(network_id, None)

    async def ensure_external_network(self, external: ExternalNetworkSpec) -> None:
        self._called("ensure_external_network", external.network.id)
        self.networks[external.network.id] = external.network
        self.externals[external.network.id] = external

    async def ensure_security_group(self, group: SecurityGroupSpec) -> None:
        self._called("ensure_security_group", group.id)
        self.security_groups[group.id] = group
        self.members[group.id] = set(group.member_ips)

    async def change_members(self, group_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
        self._called("change_members", group_id)
        if group_id not in self.security_groups:
            raise HostNetworkError(f"Security group {group_id} is not on this host: call ensure_security_group first.")
        members = self.members[group_id]
        if not members.issuperset(removed) or not members.isdisjoint(added):
            raise HostNetworkError(f"Security group {group_id} has not the members it is thought to have.")
        members.difference_update(removed)
        members.update(added)

    async def ensure_security_group_gone(self, group_id: str) -> None:
        self._called("ensure_security_group_gone", group_id)
        users = [port.id for port in self.ports.values() if group_id in port.security_group_ids]
        if users:
            raise StillInUse(f"Security group {group_id} is still used by port {users[0]}: remove it there first.")
        self.security_groups.pop(group_id, None)
        self.members.pop(group_id, None)

    async def ensure_port(self, port: PortSpec) -> PortWiring:
        self._called("ensure_port", port.id)
        network = self._network(port.network_id, f"port {port.id}")
        self._check_groups(port)
        self.ports[port.id] = port
        interface = "t" + hashlib.blake2s(port.id.encode(), digest_size=7).hexdigest()
        guest_interface = interface if port.plug is Plug.TAP else "g" + interface[1:]
        return PortWiring(
            port_id=port.id, interface=interface, guest_interface=guest_interface, mac=port.mac, mtu=network.mtu
        )

    async def doubt(self) -> None:
        self._called("doubt", "")

    async def ensure_port_rules(self, port: PortSpec) -> None:
        self._called("ensure_port_rules", port.id)
        if port.id not in self.ports:
            raise HostNetworkError(f"Port {port.id} is not plugged on this host: call ensure_port first.")
        self._check_groups(port)
        self.ports[port.id] = port

    async def ensure_port_gone(self, port_id: str) -> None:
        self._called("ensure_port_gone", port_id)
        self.ports.pop(port_id, None)

    async def ensure_dhcp(self, dhcp: DhcpSpec) -> None:
        self._called("ensure_dhcp", dhcp.network_id)
        self._network(dhcp.network_id, "its DHCP server")
        self.dhcp[dhcp.network_id] = dhcp

    async def ensure_dhcp_gone(self, network_id: str) -> None:
        self._called("ensure_dhcp_gone", network_id)
        self.dhcp.pop(network_id, None)

    async def ensure_router(self, router: RouterSpec) -> None:
        self._called("ensure_router", router.id)
        for network_id in _networks_of(router):
            self._network(network_id, f"router {router.id}")
        self.routers[router.id] = router

    async def ensure_router_gone(self, router_id: str) -> None:
        self._called("ensure_router_gone", router_id)
        self.routers.pop(router_id, None)

    async def ensure_all_gone(self) -> None:
        self._called("ensure_all_gone", "")
        for things in (self.routers, self.dhcp, self.ports, self.security_groups, self.externals, self.networks):
            things.clear()
        self.members.clear()

    def _called(self, verb: str, id: str) -> None:
        self.calls[verb] += 1
        if self.fault is not None:
            self.fault(verb, id)

    def _network(self, network_id: str, user: str) -> NetworkSpec:
        if network_id not in self.networks:
            raise HostNetworkError(f"Network {network_id} is not on this host: call ensure_network before {user}.")
        return self.networks[network_id]

    def _check_groups(self, port: PortSpec) -> None:
        missing = [group for group in port.security_group_ids if group not in self.security_groups]
        if missing and port.port_security:
            raise HostNetworkError(
                f"Security group {missing[0]} of port {port.id} is not on this host: call ensure_security_group first."
            )


def _networks_of(router: RouterSpec) -> Iterable[str]:
    legs = router.interfaces if router.gateway is None else (*router.interfaces, router.gateway)
    return (leg.network_id for leg in legs)
