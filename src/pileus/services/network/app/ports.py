"""Ports: their MAC, their groups, who carries them, and when they may go."""

from collections.abc import Sequence
from typing import Any

from pileus.kernel import events, ids
from pileus.kernel.agent import hosts
from pileus.kernel.context import Context
from pileus.kernel.db import Tx, add_now, delete_with, keep
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.rest.references import referred
from pileus.services.network.app import addressing, groups, limits, telling
from pileus.services.network.app.port_values import (
    address_pairs,
    dhcp_options,
    merged_options,
    valid_dns_name,
    valid_mac,
)
from pileus.services.network.app.refusals import bad_request
from pileus.services.network.model import (
    ACTIVE,
    BUILD,
    DHCP,
    DOWN,
    FLOATING_IP,
    MAC_PREFIX,
    ROUTER_GATEWAY,
    ROUTER_INTERFACE,
    SERVER,
    FloatingIp,
    Network,
    Port,
    PortGroup,
)
from pileus.services.network.store import addresses, members, networks, roles, routers, stamps
from pileus.services.network.store import groups as group_store
from pileus.services.network.store import ports as store

OWNED = (ROUTER_INTERFACE, ROUTER_GATEWAY, FLOATING_IP)


def new_mac(tx: Tx, network_id: str) -> str:
    """Return a MAC that no port of the network has."""
    while True:
        tail = ids.random_bytes(3).hex()
        mac = f"{MAC_PREFIX}:{tail[:2]}:{tail[2:4]}:{tail[4:]}"
        if not store.mac_taken(tx, network_id, mac):
            return mac


def create_port(tx: Tx, ctx: Context, body: Any) -> Port:
    """Add a port as a user asked for it."""
    network: Network = referred(tx, "network", body.network_id)
    roles.check_words(tx, ctx, body.project_id, body.device_id, body.device_owner)
    fixed = addressing.wishes(body.fixed_ips) if body.fixed_ips is not None else None
    secure = network.port_security_enabled if body.port_security_enabled is None else body.port_security_enabled
    port = Port(
        id=ids.new_id(),
        project_id=body.project_id,
        name=body.name,
        description=body.description,
        network_id=network.id,
        mac_address=_mac(tx, network.id, body.mac_address),
        admin_state_up=body.admin_state_up,
        device_id=body.device_id,
        device_owner=body.device_owner,
        port_security_enabled=secure,
        allowed_address_pairs=address_pairs(body.allowed_address_pairs, secure),
        extra_dhcp_opts=dhcp_options(body.extra_dhcp_opts),
        dns_name=valid_dns_name(body.dns_name),
        dns_domain=body.dns_domain,
        vnic_type=body.vnic_type,
        binding_profile=body.binding_profile or {},
    )
    _complete_pairs(port)
    wanted = _groups(tx, ctx, port, body.security_groups)
    add_port(tx, port, fixed, wanted)
    if body.binding_host:
        rebind(tx, port, body.binding_host)
    return port


def add_port(
    tx: Tx, port: Port, fixed: list[addressing.Wish] | None = None, group_ids: Sequence[str] = (), *, claim: bool = True
) -> Port:
    """Add a port with its addresses and groups; the quota of its project pays for it."""
    if claim and port.project_id:
        limits.claim(tx, port.project_id, "port")
    add_now(tx, keep(tx, port))
    addressing.allocate(tx, port, fixed)
    add_now(tx, *(PortGroup(port_id=port.id, group_id=group_id) for group_id in group_ids))
    return port


def _mac(tx: Tx, network_id: str, given: str | None) -> str:
    if given is None:
        return new_mac(tx, network_id)
    mac = valid_mac(given)
    if store.mac_taken(tx, network_id, mac):
        raise Conflict(
            f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
            kind="MacAddressInUse",
        )
    return mac


def _groups(tx: Tx, ctx: Context, port: Port, given: list[str] | None) -> list[str]:
    """Return the groups a port shall have; the project's default group when none were named."""
    if given:
        if not port.port_security_enabled:
            raise Invalid(
                "Port security must be enabled and port must have an IP address in order to use security groups.",
                kind="PortSecurityAndIPRequiredForSecurityGroups",
            )
        return groups.usable_groups(tx, ctx, given)
    if given is not None or not port.port_security_enabled or not roles.is_guest(port):
        return []
    return [groups.default_group(tx, port.project_id)] if port.project_id else []


def _complete_pairs(port: Port) -> None:
    port.allowed_address_pairs = [
        {**pair, "mac_address": pair["mac_address"] or port.mac_address} for pair in port.allowed_address_pairs
    ]


def update_port(tx: Tx, ctx: Context, row: Port, changes: dict[str, Any]) -> None:
    """Apply changes, and tell the host that carries the port and those that filter by it."""
    _check_device(tx, ctx, row, changes)
    before = set(store.groups_of_ports(tx, [row.id]).get(row.id, []))
    host, carried = changes.pop("binding_host", None), bool(row.binding_host)
    if changes.get("mac_address", row.mac_address) != row.mac_address:
        changes["mac_address"] = _new_mac(tx, row, changes["mac_address"])
    secure = changes.get("port_security_enabled", row.port_security_enabled)
    wanted_groups = changes.pop("security_groups", None)
    asked = wanted_groups is not None
    _check_security(row, secure, wanted_groups if asked else before, changes, asked=asked)
    if "allowed_address_pairs" in changes:
        changes["allowed_address_pairs"] = address_pairs(changes["allowed_address_pairs"], secure)
    if "extra_dhcp_opts" in changes:
        changes["extra_dhcp_opts"] = merged_options(row.extra_dhcp_opts, changes["extra_dhcp_opts"])
    if "dns_name" in changes:
        changes["dns_name"] = valid_dns_name(changes["dns_name"])
    fixed = changes.pop("fixed_ips", None)
    for name, value in changes.items():
        setattr(row, name, value)
    _complete_pairs(row)
    if fixed is not None:
        _set_addresses(tx, row, addressing.wishes(fixed))
    after = _set_groups(tx, ctx, row, wanted_groups, before)
    if host is not None and (host != row.binding_host or row.binding_failed_host):
        rebind(tx, row, host)
    if (carried or row.binding_host) and (fixed is not None or "allowed_address_pairs" in changes or before != after):
        telling.members_changed(tx, {row.id: before | after})
    telling.port_changed(tx, row)


def _check_device(tx: Tx, ctx: Context, row: Port, changes: dict[str, Any]) -> None:
    """Refuse words that belie what the port is, or that make it look like what it is not."""
    id = changes.get("device_id", row.device_id)
    owner = changes.get("device_owner", row.device_owner)
    roles.check_held(row, id, owner)
    if not row.role and (id, owner) != (row.device_id, row.device_owner):
        roles.check_words(tx, ctx, row.project_id, id, owner)


def _check_security(row: Port, secure: bool, group_ids: Any, changes: dict[str, Any], *, asked: bool) -> None:
    """Raise while a port without security would have groups, whether ``asked`` for now or there before."""
    if secure:
        return
    if group_ids and asked:
        raise Invalid(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            kind="PortSecurityAndIPRequiredForSecurityGroups",
        )
    if group_ids:
        raise Conflict(
            "Port has security group associated. Cannot disable port security or IP address until security group is"
            " removed.",
            kind="PortSecurityPortHasSecurityGroup",
        )
    if row.port_security_enabled and row.allowed_address_pairs and "allowed_address_pairs" not in changes:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            kind="AddressPairAndPortSecurityRequired",
        )


def _new_mac(tx: Tx, row: Port, given: str | None) -> str:
    if row.binding_host and row.role == SERVER:
        raise Conflict(
            f"Unable to complete operation on port {row.id}, port is already bound, port type: bridge, old_mac"
            f" {row.mac_address}, new_mac {given}.",
            kind="PortBound",
        )
    return _mac(tx, row.network_id, given)


def _set_addresses(tx: Tx, row: Port, wanted: list[addressing.Wish]) -> None:
    before = {address.ip for address in addresses.of_port(tx, row.id)}
    after = {address.ip for address in addressing.reallocate(tx, row, wanted)}
    lost = before - after
    if lost and row.role == ROUTER_INTERFACE:
        raise Conflict(
            f"Port {row.id} is an interface of router {row.holder_id}: remove the interface instead of its addresses.",
            kind="ServicePortInUse",
        )
    for floating in _floating_ips(tx, row.id):
        if floating.fixed_ip_address in lost:
            raise bad_request(
                "port",
                f"Cannot update the fixed_ips of the port {row.id}, because its original fixed_ip"
                f" {floating.fixed_ip_address} has been associated to floating ip {floating.id}: disassociate that"
                " first",
            )


def _set_groups(tx: Tx, ctx: Context, row: Port, wanted: list[str] | None, before: set[str]) -> set[str]:
    if wanted is None:
        return before
    after = groups.usable_groups(tx, ctx, wanted)
    store.leave_groups(tx, [row.id])
    tx.add_all(PortGroup(port_id=row.id, group_id=group_id) for group_id in after)
    return set(after)


def delete_port_by_user(tx: Tx, ctx: Context, row: Port) -> None:
    """Remove a port, unless it belongs to a router or a floating IP."""
    if row.role in OWNED:
        raise Conflict(
            f"Port {row.id} cannot be deleted directly via the port API: has device owner {row.role}.",
            kind="ServicePortInUse",
        )
    delete_ports(tx, [row])


def delete_ports(tx: Tx, rows: Sequence[Port]) -> None:
    """Remove ports: their floating IPs are set free, their addresses given back, their hosts told."""
    gone = [row.id for row in rows]
    if not gone:
        return
    member = store.groups_of_ports(tx, gone)
    for row in rows:
        for floating in _floating_ips(tx, row.id):
            disassociate(tx, floating)
    for row in rows:
        telling.port_changed(tx, row)
    telling.members_changed(tx, {row.id: member.get(row.id, ()) for row in rows if row.binding_host})
    addresses.release(tx, gone)
    store.leave_groups(tx, gone)
    delete_with(tx, Port.id, gone)


def _floating_ips(tx: Tx, port_id: str) -> list[FloatingIp]:
    return routers.floating_ips_of_ports(tx, [port_id]).get(port_id, [])


def tell_moved(tx: Tx, floating: FloatingIp, *, port_id: str | None = None, old_port_id: str | None = None) -> None:
    """Say upwards which ports a floating IP has come to and gone from: servers show it among their addresses."""
    events.emit(
        tx,
        "network.floatingip.updated",
        floating.id,
        project_id=floating.project_id,
        port_id=port_id,
        old_port_id=old_port_id,
    )


def disassociate(tx: Tx, floating: FloatingIp) -> None:
    """Take a floating IP from its port; its router is told."""
    router = routers.get_router(tx, floating.router_id) if floating.router_id else None
    if floating.port_id is not None:
        tell_moved(tx, floating, old_port_id=floating.port_id)
    floating.port_id = floating.fixed_ip_address = floating.router_id = None
    floating.status = DOWN
    if router is not None:
        telling.router_changed(tx, router)


def bind(tx: Tx, rows: Sequence[Port], host: str) -> None:
    """Let a host carry ports; it serves DHCP on their networks from now on.  What it needs is told by the caller.

    Hosts that let members of their groups in hear of them.
    """
    for row in rows:
        row.binding_host, row.binding_failed_host = host, ""
        row.status = BUILD
    stamps.advance(tx)
    tx.flush()
    for network_id in sorted({row.network_id for row in rows}):
        ensure_dhcp_port(tx, host, network_id)
        telling.peers_changed(tx, network_id, host)
    member = store.groups_of_ports(tx, [row.id for row in rows])
    members.follow(tx, host, group_store.named_by(tx, sorted({id for held in member.values() for id in held})))
    telling.members_changed(tx, member)


def rebind(tx: Tx, row: Port, host: str) -> None:
    """Move a port to another host (or to none) on an operator's word; both hosts are told.

    A host that is none carries nothing: the port says so (``binding_failed``) until it is bound again.
    """
    if row.binding_host:
        unbind(tx, [row])
    there = any(one.name == host and "network" in one.services for one in hosts.every(tx))
    row.binding_failed_host = "" if there else host
    if there:
        bind(tx, [row], host)
        telling.port_changed(tx, row)


def unbind(tx: Tx, rows: Sequence[Port]) -> None:
    """Take ports from the hosts that carry them; the hosts are told."""
    telling.members_changed(tx, store.groups_of_ports(tx, [row.id for row in rows if row.binding_host]))
    for row in rows:
        telling.port_changed(tx, row)
        row.binding_host = row.binding_failed_host = ""
        row.status = DOWN


def dhcp_device(host: str, network_id: str) -> str:
    """Return the device that a host's DHCP server on a network is."""
    return f"dhcp-{host}-{network_id}"[:255]


def ensure_dhcp_port(tx: Tx, host: str, network_id: str) -> Port | None:
    """Return the port of a host's DHCP server on a network, None when no subnet wants DHCP.

    Every host that carries ports of a network answers its own guests, so that a boot is one command to one host.
    """
    served = [subnet for subnet in networks.subnets_of(tx, [network_id]).get(network_id, []) if subnet.enable_dhcp]
    if not served:
        return None
    port = store.dhcp_port_of(tx, host, network_id)
    if port is None:
        network = networks.get_network(tx, network_id)
        assert isinstance(network, Network)
        port = Port(
            id=ids.new_id(),
            project_id=network.project_id,
            network_id=network_id,
            mac_address=new_mac(tx, network_id),
            port_security_enabled=False,
            binding_host=host,
            status=ACTIVE,
            **roles.held(DHCP, dhcp_device(host, network_id)),
        )
        wanted = [addressing.Wish(subnet.id) for subnet in served]
        return add_port(tx, port, wanted, claim=False)
    have = {address.subnet_id for address in addresses.of_port(tx, port.id)}
    if have != {subnet.id for subnet in served}:
        addressing.reallocate(tx, port, [addressing.Wish(subnet.id) for subnet in served])
    return port
