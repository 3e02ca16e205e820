"""Addresses, interfaces and security groups of a server."""

from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Body, View, WhenEnded, since
from pileus.services.compute import lifecycle, ports
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, require_unlocked
from pileus.services.compute.api.server_bodies import DeviceTag, NetworkId, PortId
from pileus.services.compute.app import interfaces, verbs
from pileus.services.compute.model import Nic, Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import NicInput

PATH = "/servers/{server}/os-interface"


def _plain(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"version": card["version"], "addr": card["addr"]} for card in cards]


@api.get("/servers/{server}/ips", rules.IPS_INDEX, wrap="addresses")
def list_addresses(server: Server) -> dict[str, Any]:
    return {label: _plain(cards) for label, cards in server.addresses.items()}


@api.get("/servers/{server}/ips/{label}", rules.IPS_SHOW)
def show_addresses(server: Server, label: str) -> dict[str, Any]:
    if label not in server.addresses:
        raise NotFound(f"Instance {server.id} is not a member of network {label}.")
    return {label: _plain(server.addresses[label])}


class FixedIp(Body, kw_only=True):
    ip_address: str


class InterfaceBody(Body, kw_only=True):
    net_id: NetworkId | None = None
    port_id: PortId | None = None
    fixed_ips: Annotated[list[FixedIp], msgspec.Meta(min_length=1, max_length=1)] | None = None
    tag: Annotated[DeviceTag | None, since("2.49")] = None


class InterfaceView(View, kw_only=True):
    net_id: str
    port_id: str
    mac_addr: str
    port_state: str
    fixed_ips: list[dict[str, str]]
    tag: Annotated[str | None, since("2.70")] = None


def _views(tx: Tx, nics: list[Nic]) -> list[InterfaceView]:
    facts = ports.facts(tx, [nic.port_id for nic in nics])
    return [
        InterfaceView(
            net_id=nic.network_id,
            port_id=nic.port_id,
            mac_addr=nic.mac,
            port_state=facts[nic.port_id].status,
            fixed_ips=facts[nic.port_id].fixed_ips,
            tag=nic.tag,
        )
        for nic in nics
        if nic.port_id in facts
    ]


def _find(tx: Tx, server: Server, port_id: str) -> Nic:
    nic = store.get_nic(tx, port_id)
    if nic is None or nic.server_id != server.id:
        raise NotFound(f"Instance {server.id} does not have a port with id {port_id}.")
    return nic


@api.get(PATH, rules.INTERFACES_LIST, wrap="interfaceAttachments")
def list_interfaces(tx: Tx, server: Server) -> list[InterfaceView]:
    return _views(tx, store.list_nics(tx, server.id))


@api.get(PATH + "/{port}", rules.INTERFACES_SHOW, wrap="interfaceAttachment")
def show_interface(tx: Tx, server: Server, port: str) -> InterfaceView:
    return _views(tx, [_find(tx, server, port)])[0]


@api.post(PATH, rules.INTERFACES_CREATE, wrap="interfaceAttachment", status=200)
def attach_interface(tx: Tx, ctx: Context, server: Server, body: InterfaceBody | None) -> WhenEnded[InterfaceView]:
    """Answer when the guest has the card, as upstream does: scripts go on inside the guest at once."""
    require_unlocked(ctx, server)
    wanted = body or InterfaceBody()
    if wanted.net_id and wanted.port_id:
        raise Invalid("Must not input both network_id and port_id.")
    if wanted.fixed_ips and not wanted.net_id:
        raise Invalid("Must input network_id when request IP address.")
    fixed_ip = wanted.fixed_ips[0].ip_address if wanted.fixed_ips else None
    request = ports.Request(wanted.net_id, wanted.port_id, fixed_ip, wanted.tag)
    nic, operation_id = interfaces.attach(tx, ctx, server, request)
    return WhenEnded(operation_id, _views(tx, [nic])[0], lambda tx: _views(tx, [_find(tx, server, nic.port_id)])[0])


@api.delete(PATH + "/{port}", rules.INTERFACES_DELETE, status=202)
def detach_interface(tx: Tx, ctx: Context, server: Server, port: str) -> None:
    require_unlocked(ctx, server)
    nic = _find(tx, server, port)
    given = NicInput(server_id=server.id, host=server.host, port_id=nic.port_id)
    verbs.run(tx, ctx, lifecycle.DETACH_INTERFACE, server, given)


@api.get("/servers/{server}/os-security-groups", rules.SECURITY_GROUPS_LIST, wrap="security_groups")
def list_security_groups(tx: Tx, ctx: Context, server: Server) -> list[dict[str, Any]]:
    return ports.security_group_views(tx, ctx, server)
