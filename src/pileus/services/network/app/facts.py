"""Ports, networks and subnets as other services see them.  Rule: many rows cost as many queries as one."""

from collections.abc import Iterable, Sequence

import msgspec

from pileus.kernel.db import Tx
from pileus.services.network.model import SHARED, Address, FloatingIp, Network, Port, Subnet
from pileus.services.network.store import addresses, networks, ports, roles, routers, sharing


class FixedIp(msgspec.Struct, frozen=True):
    """One address of a port, with the floating IP before it if there is one."""

    ip: str
    version: int
    subnet_id: str
    floating_ip: str | None = None


class ServerPort(msgspec.Struct, frozen=True):
    """A port as other services see it."""

    id: str
    name: str
    network_id: str
    network_name: str
    mac: str
    project_id: str
    in_use: bool
    """A server or a router has it, or it bears the id of a device that may not be ours."""
    status: str
    host: str
    mtu: int
    admin_state_up: bool = True
    fixed_ips: tuple[FixedIp, ...] = ()
    security_group_ids: tuple[str, ...] = ()


class SubnetFacts(msgspec.Struct, frozen=True):
    """What a guest may be told of a subnet."""

    id: str
    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: tuple[str, ...]
    host_routes: tuple[tuple[str, str], ...]


class NetworkFacts(msgspec.Struct, frozen=True):
    """A network as other services see it."""

    id: str
    name: str
    project_id: str
    mtu: int
    external: bool
    shared: bool
    has_subnets: bool


def network_facts(tx: Tx, rows: Sequence[Network], project_id: str) -> list[NetworkFacts]:
    """Return networks with what everybody or this project may do with them."""
    ids_ = [row.id for row in rows]
    actions = sharing.share_actions(tx, "network", ids_, project_id) if ids_ else {}
    external = sharing.external_ids(tx)
    subnets = networks.subnet_ids_of(tx, ids_) if ids_ else {}
    return [
        NetworkFacts(
            row.id,
            row.name,
            row.project_id,
            row.mtu,
            row.id in external,
            SHARED in actions.get(row.id, ()),
            row.id in subnets,
        )
        for row in rows
    ]


def subnet_facts(row: Subnet) -> SubnetFacts:
    """Return what a guest may be told of a subnet."""
    return SubnetFacts(
        row.id,
        row.network_id,
        row.cidr,
        row.ip_version,
        row.gateway_ip,
        row.enable_dhcp,
        tuple(row.dns_nameservers),
        tuple((route["destination"], route["nexthop"]) for route in row.host_routes),
    )


def port_views(tx: Tx, rows: Sequence[Port]) -> list[ServerPort]:
    """Return ports with their addresses, groups and floating IPs: four queries whatever the number."""
    ids_ = [row.id for row in rows]
    held = addresses.of_ports(tx, ids_)
    member = ports.groups_of_ports(tx, ids_)
    floating = routers.floating_ips_of_ports(tx, ids_)
    nets = networks.networks(tx, sorted({row.network_id for row in rows}))
    return [
        ServerPort(
            id=row.id,
            name=row.name,
            network_id=row.network_id,
            network_name=nets[row.network_id].name,
            mac=row.mac_address,
            project_id=row.project_id,
            in_use=not roles.is_free(row, ""),
            status=row.status,
            host=row.binding_host,
            mtu=nets[row.network_id].mtu,
            admin_state_up=row.admin_state_up,
            fixed_ips=tuple(_fixed(address, floating.get(row.id, ())) for address in held.get(row.id, [])),
            security_group_ids=tuple(member.get(row.id, [])),
        )
        for row in rows
    ]


def _fixed(address: Address, floating: Iterable[FloatingIp]) -> FixedIp:
    outer = next((one.floating_ip_address for one in floating if one.fixed_ip_address == address.ip), None)
    return FixedIp(address.ip, 6 if ":" in address.ip else 4, address.subnet_id, outer)
