"""What a host shall have, read from the rows.  Rule: whatever is sent to a host is built here, whole, and only here."""

import ipaddress
from collections.abc import Container, Iterable, Sequence
from functools import cached_property

from pileus.kernel.db import Tx
from pileus.services.network.model import DNS_DOMAIN, Address, Network, Port, Router, Subnet
from pileus.services.network.store import addresses, groups, networks, ports, routers, sharing, stamps, tunnels
from pileus.services.network.wanted import (
    AddressPair,
    DhcpHost,
    DhcpOption,
    DhcpSpec,
    ExternalNetworkSpec,
    FloatingIpSpec,
    NetworkSpec,
    PortSpec,
    RemoteMac,
    Route,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)


class CloudView:
    """What all hosts share, read once in a transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.groups: dict[frozenset[str], tuple[SecurityGroupSpec, ...]] = {}

    @cached_property
    def stamp(self) -> int:
        return stamps.current(self._tx)

    @cached_property
    def groups_by_host(self) -> dict[str, set[str]]:
        return groups.groups_by_host(self._tx)


class HostView:
    """What of the cloud concerns one host, read once for all specs built for it."""

    def __init__(self, tx: Tx, host: str, cloud: CloudView | None = None) -> None:
        self.tx, self.host = tx, host
        self._cloud = cloud or CloudView(tx)
        self._member: dict[str, list[str]] = {}
        self._known: set[str] = set()

    def stamp(self) -> int:
        """Return the stamp of what this transaction sees."""
        return self._cloud.stamp

    def groups_here(self) -> set[str]:
        """Return the groups of the guests that the host carries."""
        return self._cloud.groups_by_host.get(self.host, set())

    def member_of(self, port_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the groups of ports, read once for a host."""
        if not self._known.issuperset(port_ids):
            self._member.update(ports.groups_of_ports(self.tx, port_ids))
            self._known.update(port_ids)
        return self._member

    def networks(self, ids: Iterable[str]) -> tuple[tuple[NetworkSpec, ...], tuple[ExternalNetworkSpec, ...]]:
        """Return the switches of networks: plain ones, and external ones where this host carries their routers."""
        rows = networks.networks(self.tx, sorted(set(ids)))
        if not rows:
            return (), ()
        external = sharing.external_ids(self.tx) & rows.keys()
        gateways = networks.subnets_of(self.tx, sorted(external)) if external else {}
        plain = tuple(self._network(row) for id, row in rows.items() if id not in external)
        outer = tuple(self._external(rows[id], gateways.get(id, [])) for id in sorted(external))
        return plain, outer

    def _network(self, row: Network) -> NetworkSpec:
        spec = NetworkSpec(id=row.id, mtu=row.mtu, physical_network=row.physical_network)
        ends = tunnels.ends(self.tx) if row.network_type == "vxlan" else {}
        if self.host not in ends or len(ends) < 2:
            return spec
        peers: set[str] = set()
        macs: list[RemoteMac] = []
        for port in networks.ports_on(self.tx, row.id):
            tunnel_ip = ends.get(port.binding_host)
            if tunnel_ip is not None and port.binding_host != self.host:
                peers.add(tunnel_ip)
                macs.append(RemoteMac(mac=port.mac_address, tunnel_ip=tunnel_ip))
        return NetworkSpec(
            id=row.id,
            mtu=row.mtu,
            vni=row.segmentation_id,
            tunnel_peers=tuple(sorted(peers)),
            remote_macs=tuple(sorted(macs, key=lambda remote: remote.mac)),
        )

    def _external(self, row: Network, subnets: Sequence[Subnet]) -> ExternalNetworkSpec:
        own = row.physical_network is None
        return ExternalNetworkSpec(
            network=self._network(row),
            host_addresses=tuple(_interface(s, s.gateway_ip) for s in subnets if s.gateway_ip and own),
            masquerade=own,
        )

    def groups(self, ids: Iterable[str]) -> tuple[SecurityGroupSpec, ...]:
        """Return groups and those that their rules name, with rules and members."""
        wanted = frozenset(ids)
        if wanted not in self._cloud.groups:
            self._cloud.groups[wanted] = self._groups(wanted)
        return self._cloud.groups[wanted]

    def _groups(self, wanted: frozenset[str]) -> tuple[SecurityGroupSpec, ...]:
        rules = groups.rules_of(self.tx, wanted)
        named = {rule.remote_group_id for held in rules.values() for rule in held if rule.remote_group_id} - wanted
        if named:
            rules.update(groups.rules_of(self.tx, named))
        chosen = sorted(wanted | named)
        members = groups.member_ips(self.tx, chosen) if chosen else {}
        return tuple(
            SecurityGroupSpec(
                id=id,
                rules=tuple(
                    RuleSpec(
                        id=rule.id,
                        direction=rule.direction,
                        ethertype=rule.ethertype,
                        protocol=rule.protocol,
                        port_range_min=rule.port_range_min,
                        port_range_max=rule.port_range_max,
                        remote_ip_prefix=rule.remote_ip_prefix,
                        remote_group_id=rule.remote_group_id,
                    )
                    for rule in rules.get(id, [])
                ),
                member_ips=tuple(members.get(id, [])),
            )
            for id in chosen
        )

    def ports(self, rows: Sequence[Port]) -> tuple[PortSpec, ...]:
        """Return guests' ports."""
        ids = [row.id for row in rows]
        held, member = ports.addresses_of_ports(self.tx, ids), self.member_of(ids)
        return tuple(
            PortSpec(
                id=row.id,
                network_id=row.network_id,
                mac=row.mac_address,
                ips=tuple(address["ip_address"] for address in held.get(row.id, [])),
                port_security=row.port_security_enabled,
                allowed_address_pairs=tuple(
                    AddressPair(ip=pair["ip_address"], mac=pair["mac_address"]) for pair in row.allowed_address_pairs
                ),
                security_group_ids=tuple(member.get(row.id, [])),
                admin_up=row.admin_state_up,
            )
            for row in rows
        )

    def dhcp(self, network_ids: Iterable[str]) -> tuple[DhcpSpec, ...]:
        """Return the DHCP servers that this host shall run for its own guests."""
        found: list[DhcpSpec] = []
        for network_id in sorted(set(network_ids)):
            spec = self._dhcp(network_id)
            if spec is not None:
                found.append(spec)
        return tuple(found)

    def _dhcp(self, network_id: str) -> DhcpSpec | None:
        served = ports.served_by_dhcp(self.tx, self.host, network_id)
        server = ports.dhcp_port_of(self.tx, self.host, network_id) if served else None
        network = networks.get_network(self.tx, network_id)
        if server is None or network is None:
            return None
        subnets = {
            subnet.id: subnet
            for subnet in networks.subnets_of(self.tx, [network_id]).get(network_id, [])
            if subnet.enable_dhcp
        }
        own = [a for a in addresses.of_port(self.tx, server.id) if a.subnet_id in subnets]
        if not own:
            return None
        return DhcpSpec(
            network_id=network_id,
            port_id=server.id,
            mac=server.mac_address,
            addresses=tuple(_interface(subnets[a.subnet_id], a.ip) for a in own),
            subnets=tuple(_subnet(subnet) for subnet in subnets.values()),
            hosts=_dhcp_hosts(served, subnets.keys()),
            mtu=network.mtu,
            domain=(network.dns_domain or DNS_DOMAIN).rstrip("."),
        )

    def routers(self, rows: Sequence[Router]) -> tuple[RouterSpec, ...]:
        """Return routers with their legs and translations."""
        if not rows:
            return ()
        floating = routers.floating_ips_of_routers(self.tx, [row.id for row in rows])
        legs = ports.legs_of_routers(self.tx, [row.id for row in rows])
        held = addresses.of_ports(self.tx, [leg.id for leg in legs])
        nets = networks.networks(self.tx, sorted({leg.network_id for leg in legs}))
        subnets = networks.subnets(self.tx, sorted({a.subnet_id for each in held.values() for a in each}))
        found: list[RouterSpec] = []
        for row in rows:
            mine = {leg.id: leg for leg in legs if leg.holder_id == row.id}
            made = {id: _leg(leg, held.get(id, []), subnets, nets) for id, leg in mine.items()}
            gateway = made.pop(row.gateway_port_id or "", None)
            outer = [subnets[a.subnet_id] for a in held.get(row.gateway_port_id or "", [])]
            found.append(
                RouterSpec(
                    id=row.id,
                    interfaces=tuple(made[id] for id in sorted(made)),
                    gateway=gateway,
                    nexthops=tuple({s.ip_version: s.gateway_ip for s in outer if s.gateway_ip}.values()),
                    enable_snat=row.enable_snat,
                    floating_ips=tuple(
                        FloatingIpSpec(id=f.id, floating_ip=f.floating_ip_address, fixed_ip=f.fixed_ip_address)
                        for f in floating.get(row.id, [])
                        if f.fixed_ip_address is not None
                    ),
                    routes=tuple(Route(**route) for route in row.routes),
                    admin_up=row.admin_state_up,
                )
            )
        return tuple(found)


def _interface(subnet: Subnet, ip: str | None) -> str:
    return f"{ip}/{ipaddress.ip_network(subnet.cidr).prefixlen}"


def _subnet(row: Subnet) -> SubnetSpec:
    return SubnetSpec(
        id=row.id,
        cidr=row.cidr,
        gateway_ip=row.gateway_ip,
        enable_dhcp=row.enable_dhcp,
        dns_nameservers=tuple(row.dns_nameservers),
        host_routes=tuple(Route(**route) for route in row.host_routes),
        ipv6_address_mode=row.ipv6_address_mode,
        ipv6_ra_mode=row.ipv6_ra_mode,
    )


def _dhcp_hosts(served: Iterable[ports.Served], subnet_ids: Container[str]) -> tuple[DhcpHost, ...]:
    """Return one entry for each port, with at most one address of each subnet."""
    found: dict[str, tuple[ports.Served, dict[str, str]]] = {}
    for row in served:
        _, ips = found.setdefault(row.port_id, (row, {}))
        if row.subnet_id in subnet_ids:
            ips.setdefault(row.subnet_id, row.ip)
    return tuple(
        DhcpHost(
            port_id=row.port_id,
            mac=row.mac,
            ips=tuple(ips.values()),
            hostname=row.dns_name or None,
            options=tuple(
                DhcpOption(name=option["opt_name"], value=option["opt_value"], ip_version=option["ip_version"])
                for option in row.options
            ),
        )
        for row, ips in found.values()
    )


def _leg(port: Port, held: Sequence[Address], subnets: dict[str, Subnet], nets: dict[str, Network]) -> RouterLeg:
    modes = [subnets[a.subnet_id].ipv6_ra_mode for a in held if subnets[a.subnet_id].ipv6_ra_mode]
    return RouterLeg(
        port_id=port.id,
        network_id=port.network_id,
        mac=port.mac_address,
        addresses=tuple(_interface(subnets[a.subnet_id], a.ip) for a in held),
        mtu=nets[port.network_id].mtu,
        ipv6_ra_mode=modes[0] if modes else None,
    )
