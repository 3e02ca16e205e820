"""A router's interfaces: how it is plugged into subnets and unplugged from them."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.rest.references import referred
from pileus.services.network.app import addressing, ports, telling
from pileus.services.network.app.refusals import bad_request, port_not_found, subnet_not_found
from pileus.services.network.model import ROUTER_INTERFACE, Address, Port, Router, Subnet
from pileus.services.network.store import addresses, networks, roles, sharing
from pileus.services.network.store import ports as port_store
from pileus.services.network.store import routers as store


def interface_view(row: Router, port: Port, subnet_ids: list[str]) -> dict[str, Any]:
    """Return what the addition or the removal of an interface answers."""
    return {
        "id": row.id,
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "port_id": port.id,
        "network_id": port.network_id,
        "subnet_id": subnet_ids[0] if subnet_ids else None,
        "subnet_ids": subnet_ids,
        "tags": [],
    }


def add_interface(
    tx: Tx, ctx: Context, row: Router, subnet_id: str | None, port_id: str | None
) -> tuple[Port, list[str]]:
    """Plug a router into a subnet, by its gateway address or by a port made for it."""
    if (subnet_id is None) == (port_id is None):
        raise bad_request("router", "Either subnet_id or port_id must be specified, and not both")
    if port_id is not None:
        port = _adopt(tx, ctx, row, port_id)
    else:
        assert subnet_id is not None
        port = _plug(tx, ctx, row, subnet_id)
    port.binding_host = row.host
    tx.flush()
    telling.router_changed(tx, row)
    telling.network_changed(tx, port.network_id)
    return port, [address.subnet_id for address in addresses.of_port(tx, port.id)]


def _adopt(tx: Tx, ctx: Context, row: Router, port_id: str) -> Port:
    port: Port = referred(tx, "port", port_id)
    if not (sharing.sees_all(ctx) or port.project_id == ctx.project_id):
        raise port_not_found(port_id)
    if port.role or not roles.is_free(port, row.id):
        raise Conflict(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an"
            f" attached device {port.device_id}.",
            kind="PortInUse",
        )
    held = addresses.of_port(tx, port.id)
    if not held:
        raise bad_request("router", f"Port {port.id} must have at least one fixed IP")
    found = networks.subnets(tx, [address.subnet_id for address in held])
    if sum(subnet.ip_version == 4 for subnet in found.values()) > 1:
        raise bad_request("router", "Cannot have multiple IPv4 subnets on router port")
    check_no_overlap(tx, row, found.values())
    before = port_store.groups_of_ports(tx, [port.id]).get(port.id, [])
    port_store.leave_groups(tx, [port.id])
    roles.hold(port, ROUTER_INTERFACE, row.id)
    port.port_security_enabled = False
    if port.binding_host:
        telling.members_changed(tx, {port.id: before})
    return port


def _plug(tx: Tx, ctx: Context, row: Router, subnet_id: str) -> Port:
    subnet: Subnet = referred(tx, "subnet", subnet_id)
    if not (
        subnet.project_id == ctx.project_id
        or sharing.may_use(tx, ctx, "network", networks.networks(tx, [subnet.network_id])[subnet.network_id], "*")
    ):
        raise subnet_not_found(subnet_id)
    if subnet.gateway_ip is None:
        raise bad_request("router", "Subnet for router interface must have a gateway IP")
    check_no_overlap(tx, row, [subnet])
    wish = addressing.Wish(subnet.id, subnet.gateway_ip)
    shared = _ipv6_leg(tx, row, subnet)
    if shared is not None:
        held = [addressing.Wish(a.subnet_id, a.ip) for a in addresses.of_port(tx, shared.id)]
        addressing.reallocate(tx, shared, [*held, wish])
        return shared
    port = Port(
        id=ids.new_id(),
        project_id=row.project_id,
        network_id=subnet.network_id,
        mac_address=ports.new_mac(tx, subnet.network_id),
        port_security_enabled=False,
        **roles.held(ROUTER_INTERFACE, row.id),
    )
    return ports.add_port(tx, port, [wish])


def _ipv6_leg(tx: Tx, row: Router, subnet: Subnet) -> Port | None:
    """Return the leg that already carries IPv6 on this network: one leg advertises all of its prefixes."""
    if subnet.ip_version == 4:
        return None
    for port in port_store.router_interfaces(tx, row.id):
        if port.network_id == subnet.network_id and all(":" in a.ip for a in addresses.of_port(tx, port.id)):
            return port
    return None


def legs(tx: Tx, row: Router) -> list[tuple[Port, Address]]:
    """Return a router's interfaces with their addresses."""
    legs = port_store.router_interfaces(tx, row.id)
    held = addresses.of_ports(tx, [port.id for port in legs])
    return [(port, address) for port in legs for address in held.get(port.id, [])]


def check_no_overlap(tx: Tx, row: Router, wanted: Iterable[Subnet]) -> None:
    """Refuse subnets that a router reaches already or could not tell from those it reaches."""
    there = networks.subnets(tx, [address.subnet_id for _, address in legs(tx, row)])
    for subnet in wanted:
        if subnet.id in there:
            raise bad_request("router", f"Router already has a port on subnet {subnet.id}")
        for other in there.values():
            if other.ip_version == subnet.ip_version and ipaddress.ip_network(subnet.cidr).overlaps(
                ipaddress.ip_network(other.cidr)
            ):
                raise bad_request(
                    "router",
                    f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}",
                )


def remove_interface(
    tx: Tx, ctx: Context, row: Router, subnet_id: str | None, port_id: str | None
) -> tuple[Port, list[str]]:
    """Unplug a router from a subnet, unless floating IPs or routes need it."""
    if subnet_id is None and port_id is None:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    chosen = [
        (port, address)
        for port, address in legs(tx, row)
        if port_id in (None, port.id) and subnet_id in (None, address.subnet_id)
    ]
    if not chosen:
        raise _no_such_leg(tx, row, subnet_id, port_id)
    port = chosen[0][0]
    removed = [address.subnet_id for _, address in chosen]
    _check_unneeded(tx, row, removed)
    left = [a for a in addresses.of_port(tx, port.id) if a.subnet_id not in removed]
    if left:
        addressing.reallocate(tx, port, [addressing.Wish(a.subnet_id, a.ip) for a in left])
    else:
        ports.delete_ports(tx, [port])
    telling.router_changed(tx, row)
    telling.network_changed(tx, port.network_id)
    return port, removed


def _no_such_leg(tx: Tx, row: Router, subnet_id: str | None, port_id: str | None) -> NotFound | Conflict:
    if port_id is not None and subnet_id is not None and any(port.id == port_id for port, _ in legs(tx, row)):
        return Conflict(
            f"Subnet on port {port_id} does not match the requested subnet {subnet_id}.", kind="SubnetMismatchForPort"
        )
    if port_id is not None:
        return NotFound(f"Router {row.id} does not have an interface with id {port_id}", kind="RouterInterfaceNotFound")
    return NotFound(f"Router {row.id} has no interface on subnet {subnet_id}", kind="RouterInterfaceNotFoundForSubnet")


def _check_unneeded(tx: Tx, row: Router, subnet_ids: list[str]) -> None:
    floating = store.floating_ips_of_routers(tx, [row.id]).get(row.id, [])
    behind = addresses.of_ports(tx, [str(one.port_id) for one in floating])
    for one in floating:
        for address in behind.get(str(one.port_id), []):
            if address.ip == one.fixed_ip_address and address.subnet_id in subnet_ids:
                raise Conflict(
                    f"Router interface for subnet {address.subnet_id} on router {row.id} cannot be deleted, as it is"
                    f" required by one or more floating IPs: {one.floating_ip_address}.",
                    kind="RouterInterfaceInUseByFloatingIP",
                )
    for subnet in networks.subnets(tx, subnet_ids).values():
        cidr = ipaddress.ip_network(subnet.cidr)
        if any(ipaddress.ip_address(route["nexthop"]) in cidr for route in row.routes):
            raise Conflict(
                f"Router interface for subnet {subnet.id} on router {row.id} cannot be deleted, as it is required by"
                " one or more routes.",
                kind="RouterInterfaceInUseByRoute",
            )
