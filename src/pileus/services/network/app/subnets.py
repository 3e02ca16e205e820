"""Subnets: where their addresses come from, and what a gateway, a pool or a route may be."""

import ipaddress
from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.rest.references import referred
from pileus.services.network.app import limits, pools, ports, telling
from pileus.services.network.app.networks import check_mtu
from pileus.services.network.app.ranges import (
    IpNetwork,
    check_gateway,
    check_pools,
    default_pools,
    network_of,
    valid_ip,
    valid_routes,
)
from pileus.services.network.app.refusals import invalid
from pileus.services.network.model import (
    AUTOMATIC_MODES,
    DHCP,
    Address,
    Network,
    Subnet,
)
from pileus.services.network.store import addresses
from pileus.services.network.store import networks as store
from pileus.services.network.store import ports as port_store
from pileus.services.network.store.roles import ROUTED

MAX_NAMESERVERS = 5
MAX_ROUTES = 20
UNSPECIFIED = "<unspecified>"
"""What a body holds for a gateway that was not given: then the first address of the subnet."""


def create_subnet(tx: Tx, ctx: Context, body: Any) -> Subnet:
    """Add a subnet to a network, its range given or cut from a subnet pool."""
    network: Network = referred(tx, "network", body.network_id)
    limits.claim(tx, body.project_id, "subnet")
    cidr, pool_id = _range(tx, body)
    _check_overlap(tx, network, cidr)
    check_mtu(network.id, network.mtu, cidr.version)
    _check_modes(body, cidr)
    gateway = _gateway(body.gateway_ip, cidr)
    if gateway is not None:
        check_gateway(gateway, cidr)
    chosen = check_pools(body.allocation_pools, cidr) if body.allocation_pools else default_pools(cidr, gateway)
    _gateway_outside(gateway, chosen)
    row = Subnet(
        project_id=body.project_id,
        name=body.name,
        description=body.description,
        network_id=network.id,
        ip_version=cidr.version,
        cidr=str(cidr),
        gateway_ip=gateway,
        enable_dhcp=body.enable_dhcp,
        allocation_pools=chosen,
        dns_nameservers=_nameservers(body.dns_nameservers),
        host_routes=_routes(body.host_routes),
        ipv6_ra_mode=body.ipv6_ra_mode,
        ipv6_address_mode=body.ipv6_address_mode,
        subnetpool_id=pool_id,
        service_types=body.service_types,
        dns_publish_fixed_ip=body.dns_publish_fixed_ip,
    )
    tx.add(row)
    tx.flush()
    store.revise(tx, network.id)
    _serve(tx, network.id)
    return row


def _serve(tx: Tx, network_id: str) -> None:
    """Have the DHCP servers of a network stand in each of its subnets, and their hosts told."""
    tx.flush()
    for server in port_store.dhcp_ports(tx, network_id):
        ports.ensure_dhcp_port(tx, server.binding_host, network_id)
    for host in port_store.hosts_with_guests(tx, network_id):
        ports.ensure_dhcp_port(tx, host, network_id)
    telling.network_changed(tx, network_id)


def _range(tx: Tx, body: Any) -> tuple[IpNetwork, str | None]:
    if body.subnetpool_id is not None and body.use_default_subnetpool:
        raise invalid("subnetpool_id and use_default_subnetpool cannot both be specified.")
    pool = pools.pool_for(tx, body)
    if pool is not None:
        cidr = pools.cut(tx, pool, body.project_id, body.cidr, body.prefixlen)
        if body.ip_version is not None and body.ip_version != cidr.version:
            raise invalid(f"ip_version {body.ip_version} is not that of subnet pool {pool.id}, {cidr.version}.")
        return cidr, pool.id
    if body.cidr is None:
        raise invalid("a subnetpool_id must be specified in the absence of a cidr.")
    if body.prefixlen is not None:
        raise invalid("prefixlen needs a subnet pool: give subnetpool_id, or only a cidr.")
    cidr = network_of(body.cidr)
    if body.ip_version not in (4, 6):
        raise invalid(f"ip_version must be 4 or 6, not {body.ip_version}.")
    if cidr.version != body.ip_version:
        raise invalid(f"cidr {body.cidr} is not of the ip_version {body.ip_version} requested.")
    return cidr, None


def _check_overlap(tx: Tx, network: Network, cidr: IpNetwork) -> None:
    for other in store.subnets_of(tx, [network.id]).get(network.id, []):
        there = ipaddress.ip_network(other.cidr)
        if there.version == cidr.version and there.overlaps(cidr):
            raise invalid(
                f"Requested subnet with cidr: {cidr} for network: {network.id} overlaps with another subnet"
                f" ({other.id}, {other.cidr})."
            )


def _check_modes(body: Any, cidr: IpNetwork) -> None:
    ra, mode = body.ipv6_ra_mode, body.ipv6_address_mode
    if cidr.version == 4:
        if ra is not None or mode is not None:
            raise invalid("ipv6_ra_mode and ipv6_address_mode cannot be set on a subnet of ip_version 4.")
        if body.enable_dhcp and cidr.prefixlen > 30:
            raise invalid(f"Invalid CIDR {cidr}: a subnet with DHCP needs a prefix of 30 bits or less.")
        return
    if (ra is not None or mode is not None) and not body.enable_dhcp:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.")
    if ra is not None and mode is not None and ra != mode:
        raise invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{mode}' is not valid: make them equal."
        )
    if (ra in AUTOMATIC_MODES or mode in AUTOMATIC_MODES) and cidr.prefixlen != 64:
        raise invalid(f"Invalid CIDR {cidr} for an IPv6 address mode of self-configuration: the prefix must be /64.")


def _gateway(given: str | None, cidr: IpNetwork) -> str | None:
    if given == UNSPECIFIED:
        return str(cidr[1]) if cidr.num_addresses > 1 else str(cidr[0])
    return None if given is None else valid_ip(given, "gateway_ip", cidr.version)


def _gateway_outside(gateway: str | None, chosen: list[dict[str, Any]]) -> None:
    if gateway is None:
        return
    address = ipaddress.ip_address(gateway)
    for pool in chosen:
        if ipaddress.ip_address(pool["start"]) <= address <= ipaddress.ip_address(pool["end"]):  # type: ignore[operator]
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {pool['start']}-{pool['end']}.",
                kind="GatewayConflictWithAllocationPools",
            )


def _nameservers(given: list[str]) -> list[str]:
    if len(given) > MAX_NAMESERVERS:
        raise invalid(f"the number of DNS nameservers exceeds the limit {MAX_NAMESERVERS}.")
    if len(set(given)) != len(given):
        raise invalid("dns_nameservers holds the same address twice.")
    return [valid_ip(address, "dns_nameservers") for address in given]


def _routes(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(given) > MAX_ROUTES:
        raise invalid(f"the number of host routes exceeds the limit {MAX_ROUTES}.")
    return valid_routes(given, "host_routes")


def update_subnet(tx: Tx, ctx: Context, row: Subnet, changes: dict[str, Any]) -> None:
    """Apply changes; a gateway in use and pools are checked as a whole."""
    cidr = ipaddress.ip_network(row.cidr)
    if "gateway_ip" in changes and changes["gateway_ip"] != row.gateway_ip:
        changes["gateway_ip"] = _new_gateway(tx, row, changes["gateway_ip"], cidr)
    if "allocation_pools" in changes:
        changes["allocation_pools"] = check_pools(changes["allocation_pools"], cidr)
    gateway = changes.get("gateway_ip", row.gateway_ip)
    if {"gateway_ip", "allocation_pools"} & changes.keys():
        _gateway_outside(gateway, changes.get("allocation_pools", row.allocation_pools))
    if "dns_nameservers" in changes:
        changes["dns_nameservers"] = _nameservers(changes["dns_nameservers"])
    if "host_routes" in changes:
        changes["host_routes"] = _routes(changes["host_routes"])
    if not changes.get("enable_dhcp", True) and (row.ipv6_ra_mode or row.ipv6_address_mode):
        raise invalid("DHCP cannot be disabled on an IPv6 subnet with ipv6_ra_mode or ipv6_address_mode.")
    for name, value in changes.items():
        setattr(row, name, value)
    store.revise(tx, row.network_id)
    if changes.keys() - {"name", "description"}:
        _serve(tx, row.network_id)


def _new_gateway(tx: Tx, row: Subnet, given: str | None, cidr: IpNetwork) -> str | None:
    if row.gateway_ip is not None:
        holder = addresses.taken(tx, row.network_id, row.gateway_ip)
        if holder is not None:
            raise Conflict(
                f"Current gateway ip {row.gateway_ip} already in use by port {holder.port_id}. Unable to update.",
                kind="GatewayIpInUse",
            )
    if given is None:
        return None
    gateway = valid_ip(given, "gateway_ip", cidr.version)
    check_gateway(gateway, cidr)
    return gateway


def delete_subnet(tx: Tx, ctx: Context, row: Subnet) -> None:
    """Remove a subnet unless ports hold its addresses; those that DHCP or self-configuration made go with it."""
    automatic = row.ipv6_address_mode in AUTOMATIC_MODES
    kept: list[Address] = []
    for address, port in addresses.of_subnet(tx, row.id):
        if port.role == DHCP or (automatic and port.role not in ROUTED):
            tx.delete(address)
        else:
            kept.append(address)
    if kept:
        raise Conflict(
            f"Unable to complete operation on subnet {row.id}: One or more ports have an IP allocation from this"
            f" subnet: {', '.join(sorted({address.port_id for address in kept})[:5])}. Delete them first.",
            kind="SubnetInUse",
        )
    tx.delete(row)
    store.revise(tx, row.network_id)
    telling.network_changed(tx, row.network_id)
