"""What a host shall have, read from the rows.  Rule: whatever is sent to a host is built here, whole, and only here."""

import ipaddress
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property

from pileus.kernel.db import Tx
from pileus.services.network.model import DNS_DOMAIN, Address, Network, Port, Router, SecurityGroupRule, Subnet
from pileus.services.network.store import addresses, groups, members, networks, routers, sharing, stamps, tunnels
from pileus.services.network.store import ports as port_store
from pileus.services.network.wanted import (
    AddressPair,
    DhcpHost,
    DhcpOption,
    DhcpSpec,
    ExternalNetworkSpec,
    FloatingIpSpec,
    GroupMembers,
    GroupRules,
    NetworkSpec,
    PortSpec,
    RemoteMac,
    Route,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SubnetSpec,
)


class CloudView:
    """What all hosts share, read once in a transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._members: dict[tuple[str, int], GroupMembers] = {}
        self._rules: dict[str, GroupRules] = {}

    @cached_property
    def stamp(self) -> int:
        return stamps.current(self._tx)

    def rules(self, ids: Iterable[str]) -> tuple[GroupRules, ...]:
        """Return the rules of groups."""
        wanted = sorted(set(ids))
        new = [id for id in wanted if id not in self._rules]
        found = groups.rules_of(self._tx, new) if new else {}
        self._rules.update({id: GroupRules(id=id, rules=tuple(map(_rule, found.get(id, ())))) for id in new})
        return tuple(self._rules[id] for id in wanted)

    def members(self, group_id: str, since: int) -> GroupMembers:
        """Return the members of a group, or those that changed after ``since``."""
        if (group_id, since) not in self._members:
            self._members[group_id, since] = members.order(self._tx, group_id, since)
        return self._members[group_id, since]


class HostView:
    """What of the cloud concerns one host, read once for all specs built for it."""

    def __init__(self, tx: Tx, host: str, cloud: CloudView | None = None) -> None:
        self.tx, self.host = tx, host
        self._cloud = cloud or CloudView(tx)
        self._member: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._subnets: dict[str, dict[str, Subnet]] = {}

    def stamp(self) -> int:
        """Return the stamp of what this transaction sees."""
        return self._cloud.stamp

    def member_of(self, port_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the groups of ports, read once for a host."""
        if not self._known.issuperset(port_ids):
            self._member.update(port_store.groups_of_ports(self.tx, port_ids))
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

    def rules(self, ids: Iterable[str]) -> tuple[GroupRules, ...]:
        """Return the rules of groups."""
        return self._cloud.rules(ids)

    def members(self, rules: Iterable[GroupRules], *, all: bool = False) -> tuple[GroupMembers, ...]:
        """Return the members of the groups that rules name, from where the host has been told, or all of them.

        Only of those that it follows: it says itself which it lacks besides, and follows them from then on.
        """
        named = {rule.remote_group_id for group in rules for rule in group.rules if rule.remote_group_id}
        known = members.positions(self.tx, self.host, named)
        return tuple(self.changed_members({id: 0 if all else number for id, number in sorted(known.items())}))

    def changed_members(self, since: Mapping[str, int]) -> Iterable[GroupMembers]:
        """Return, of groups that the host follows, the members that changed after a number; all for 0."""
        return (self._cloud.members(id, number) for id, number in since.items())

    def ports(self, rows: Sequence[Port]) -> tuple[PortSpec, ...]:
        """Return guests' ports."""
        ids = [row.id for row in rows]
        held, member = port_store.addresses_of_ports(self.tx, ids), self.member_of(ids)
        answered = self._dhcp_hosts(rows)
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
                dhcp=answered.get(row.id),
            )
            for row in rows
        )

    def _dhcp_hosts(self, rows: Sequence[Port]) -> dict[str, DhcpHost]:
        """Return what DHCP answers ports of this host."""
        served = port_store.served_among(self.tx, [row.id for row in rows])
        offered = self._offered({row.network_id for row in rows})
        return {host.port_id: host for host in _dhcp_hosts(served, {id for ids in offered.values() for id in ids})}

    def _offered(self, network_ids: Iterable[str]) -> dict[str, dict[str, Subnet]]:
        """Return, by network, the subnets with DHCP, by id; read once for a host."""
        new = sorted({*network_ids} - self._subnets.keys())
        if new:
            found = networks.subnets_of(self.tx, new)
            self._subnets.update({id: {s.id: s for s in found.get(id, ()) if s.enable_dhcp} for id in new})
        return self._subnets

    def dhcp(self, network_ids: Iterable[str], *, ports: bool = True) -> tuple[DhcpSpec, ...]:
        """Return the DHCP servers that this host shall run for its own guests, with or without those guests' ports."""
        made = (self._dhcp(network_id, ports=ports) for network_id in sorted(set(network_ids)))
        return tuple(spec for spec in made if spec is not None)

    def _dhcp(self, network_id: str, *, ports: bool) -> DhcpSpec | None:
        served = port_store.served_by_dhcp(self.tx, self.host, network_id) if ports else []
        there = bool(served) if ports else port_store.has_guests(self.tx, self.host, network_id)
        server = port_store.dhcp_port_of(self.tx, self.host, network_id) if there else None
        network = networks.get_network(self.tx, network_id)
        if server is None or network is None:
            return None
        subnets = self._offered([network_id])[network_id]
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
        legs = port_store.legs_of_routers(self.tx, [row.id for row in rows])
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


def _rule(row: SecurityGroupRule) -> RuleSpec:
    return RuleSpec(
        id=row.id,
        direction=row.direction,
        ethertype=row.ethertype,
        protocol=row.protocol,
        port_range_min=row.port_range_min,
        port_range_max=row.port_range_max,
        remote_ip_prefix=row.remote_ip_prefix,
        remote_group_id=row.remote_group_id,
    )


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


def _dhcp_hosts(served: Iterable[port_store.Served], subnet_ids: Container[str]) -> tuple[DhcpHost, ...]:
    """Return one entry for each port, with at most one address of each subnet."""
    found: dict[str, tuple[port_store.Served, dict[str, str]]] = {}
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
