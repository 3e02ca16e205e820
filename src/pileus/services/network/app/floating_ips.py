"""Floating IPs: an address of an external network that a router translates to a port's."""

import ipaddress
from typing import Any

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.rest.references import referred
from pileus.services.network.app import addressing, limits, ports, telling
from pileus.services.network.app.refusals import bad_request, subnet_not_found
from pileus.services.network.model import DOWN, FLOATING_IP, Address, FloatingIp, Network, Port
from pileus.services.network.store import addresses, networks, roles, routers, sharing
from pileus.services.network.store import ports as port_store


def create_floating_ip(tx: Tx, ctx: Context, body: Any) -> FloatingIp:
    """Take an address of an external network, and put it before a port if one is named."""
    limits.claim(tx, body.project_id, "floatingip")
    network = _external(tx, body.floating_network_id)
    row = FloatingIp(
        id=ids.new_id(),
        project_id=body.project_id,
        description=body.description,
        floating_network_id=network.id,
        dns_name=body.dns_name,
        dns_domain=body.dns_domain,
        status=DOWN,
    )
    port = Port(
        id=ids.new_id(),
        project_id="",
        network_id=network.id,
        mac_address=ports.new_mac(tx, network.id),
        port_security_enabled=False,
        status="N/A",
        **roles.held(FLOATING_IP, row.id),
    )
    ports.add_port(tx, port, [_wish(tx, network, body)])
    row.floating_ip_address = addresses.of_port(tx, port.id)[0].ip
    row.floating_port_id = port.id
    tx.add(row)
    if body.port_id is not None:
        _associate(tx, ctx, row, referred(tx, "port", body.port_id), body.fixed_ip_address)
    elif body.fixed_ip_address is not None:
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    return row


def _external(tx: Tx, id: str) -> Network:
    if not sharing.is_external(tx, id):
        raise bad_request("floatingip", f"Network {id} is not a valid external network")
    return referred(tx, "network", id)


def _wish(tx: Tx, network: Network, body: Any) -> addressing.Wish:
    """Return what address is wanted: a given one, one of a subnet, or any of the IPv4 subnets that has one left."""
    if body.floating_ip_address is not None:
        return addressing.wishes(
            [{"ip_address": body.floating_ip_address, **({"subnet_id": body.subnet_id} if body.subnet_id else {})}]
        )[0]
    subnets = networks.subnets_of(tx, [network.id]).get(network.id, [])
    if body.subnet_id is not None:
        if all(subnet.id != body.subnet_id for subnet in subnets):
            raise subnet_not_found(body.subnet_id)
        return addressing.Wish(body.subnet_id)
    for subnet in subnets:
        if subnet.ip_version == 4 and _has_room(tx, subnet):
            return addressing.Wish(subnet.id)
    if any(subnet.ip_version == 4 for subnet in subnets):
        raise addressing.exhausted(network.id)
    raise bad_request("floatingip", f"Network {network.id} does not contain any IPv4 subnet")


def _has_room(tx: Tx, subnet: Any) -> bool:
    cidr = ipaddress.ip_network(subnet.cidr)
    spans = (addressing.offsets_of(cidr, pool) for pool in subnet.allocation_pools)
    return any(addresses.next_free(tx, subnet.id, first, last) is not None for first, last in spans)


def update_floating_ip(tx: Tx, ctx: Context, row: FloatingIp, changes: dict[str, Any]) -> None:
    """Apply changes; a port moves the address, null (or no attribute at all, as clients say it) frees it."""
    if not changes:
        ports.disassociate(tx, row)
        return
    moved = "port_id" in changes or "fixed_ip_address" in changes
    fixed = changes.pop("fixed_ip_address", None)
    if fixed is not None and changes.get("port_id") is None:
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    port = _port(tx, row, changes)
    for name, value in changes.items():
        setattr(row, name, value)
    if moved and port is None:
        ports.disassociate(tx, row)
    elif moved and port is not None:
        _associate(tx, ctx, row, port, fixed)


def _port(tx: Tx, row: FloatingIp, changes: dict[str, Any]) -> Port | None:
    """Return the port that a floating IP shall stand before, or stands before."""
    if "port_id" not in changes:
        return port_store.get_port(tx, row.port_id) if row.port_id is not None else None
    given = changes.pop("port_id")
    return referred(tx, "port", given) if given is not None else None


def _associate(tx: Tx, ctx: Context, row: FloatingIp, port: Port, fixed_ip: str | None) -> None:
    if port.project_id != row.project_id and not sharing.sees_all(ctx):
        raise bad_request("floatingip", f"Port {port.id} is associated with a different tenant and cannot be used")
    address = _inner(tx, port, fixed_ip)
    router_id = routers.way_out(tx, address.subnet_id, row.floating_network_id)
    if router_id is None:
        raise NotFound(
            f"External network {row.floating_network_id} is not reachable from subnet {address.subnet_id}. Therefore,"
            f" cannot associate Port {port.id} with a Floating IP: give the subnet's router a gateway there.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )
    for other in routers.floating_ips_of_ports(tx, [port.id]).get(port.id, []):
        same = other.fixed_ip_address == address.ip and other.floating_network_id == row.floating_network_id
        if other.id != row.id and same:
            raise Conflict(
                f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port {port.id} using fixed IP"
                f" {address.ip}, as that fixed IP already has a floating IP on external network"
                f" {row.floating_network_id}.",
                kind="FloatingIPPortAlreadyAssociated",
            )
    before = row.port_id
    if row.router_id and row.router_id != router_id:
        ports.disassociate(tx, row)
    ports.tell_moved(tx, row, port_id=port.id, old_port_id=before if before != port.id else None)
    row.port_id, row.fixed_ip_address, row.router_id = port.id, address.ip, router_id
    router = routers.get_router(tx, router_id)
    assert router is not None
    telling.router_changed(tx, router)


def _inner(tx: Tx, port: Port, fixed_ip: str | None) -> Address:
    held = [address for address in addresses.of_port(tx, port.id) if ":" not in address.ip]
    if fixed_ip is not None:
        for address in held:
            if address.ip == fixed_ip:
                return address
        raise bad_request("floatingip", f"Port {port.id} does not have fixed ip {fixed_ip}")
    if not held:
        raise bad_request("floatingip", f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(held) > 1:
        raise bad_request(
            "floatingip",
            f"Port {port.id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a"
            " floating IP",
        )
    return held[0]


def delete_floating_ip(tx: Tx, ctx: Context, row: FloatingIp) -> None:
    """Give the address back."""
    ports.disassociate(tx, row)
    port = port_store.get_port(tx, row.floating_port_id)
    tx.delete(row)
    if port is not None:
        ports.delete_ports(tx, [port])
