"""What compute asks of the network.  Rule: the only file of this service that knows its ``public.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx, add_now
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.operations import Operation
from pileus.kernel.policy import ADMIN, Rule
from pileus.kernel.rest.references import referred
from pileus.services.compute.model import Nic, Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import WantedNic
from pileus.services.network import public
from pileus.services.network.public import EnsureNetworks

ATTACH_EXTERNAL = Rule(
    "network:attach_external_network", ADMIN, "Put a server on an external network not shared with it."
)

__all__ = ["EnsureNetworks", "network", "port"]

network, port = public.get_network, public.get_port
"""A network, and a port, that the caller may use; they raise NotFound."""


@dataclass(frozen=True)
class Request:
    """A card as a client asks for it: by network, or by port."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A port as its host has made it: the tap for the guest."""

    port_id: str
    tap: str
    mtu: int


class PortFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What interface views show of a port."""

    status: str
    fixed_ips: list[dict[str, str]]


def resolve(tx: Tx, ctx: Context, wanted: Sequence[Request] | str | None, *, count: int) -> tuple[WantedNic, ...]:
    """Return the cards asked for, by id; raise Invalid when a network or a port cannot be used.

    ``None`` and ``auto`` mean the one network there is; ``none`` means no card.
    """
    if wanted == "none":
        return ()
    if wanted is None or isinstance(wanted, str) or not wanted:
        found = _only_network(tx, ctx, required=wanted == "auto")
        public.ports_room(tx, ctx.project_id, len(found) * count)
        return found
    nics = tuple(_resolve_one(tx, ctx, request, count) for request in wanted)
    if len({nic.port_id for nic in nics if nic.port_id}) < sum(1 for nic in nics if nic.port_id):
        raise Invalid("A port was given twice: each card needs a port of its own.")
    public.ports_room(tx, ctx.project_id, sum(1 for nic in nics if nic.port_id is None) * count)
    return nics


def _only_network(tx: Tx, ctx: Context, *, required: bool) -> tuple[WantedNic, ...]:
    networks = [one for one in public.available_networks(tx, ctx, ctx.project_id) if one.has_subnets]
    if len(networks) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not networks and required:
        raise Invalid("There is no network with a subnet to put the server on: create one, or ask for none.")
    return tuple(WantedNic(network_id=network.id) for network in networks)


def _resolve_one(tx: Tx, ctx: Context, request: Request, count: int) -> WantedNic:
    if request.port_id is not None:
        return _resolve_port(tx, request, count)
    if request.network_id is None:
        raise Invalid("Bad networks format: a card needs the uuid of a network, or a port.")
    network: public.NetworkFacts = referred(tx, "network", request.network_id)
    if (
        network.external
        and not network.shared
        and network.project_id != ctx.project_id
        and not ctx.allows(ATTACH_EXTERNAL)
    ):
        raise Invalid(f"It is not allowed to create an interface on external network {network.id}: use a floating IP.")
    if not network.has_subnets:
        raise Invalid(f"Network {network.id} requires a subnet in order to boot instances on.")
    return WantedNic(network_id=network.id, fixed_ip=_checked_ip(request.fixed_ip, count), tag=request.tag)


def _checked_ip(text: str | None, count: int) -> str | None:
    if text is None:
        return None
    try:
        ip_address(text)
    except ValueError:
        raise Invalid(f"Invalid fixed IP address ({text}): it must be an IPv4 or IPv6 address.") from None
    if count > 1:
        raise Invalid("Invalid fixed_ip argument: an address can be given to one server only.")
    return text


def _resolve_port(tx: Tx, request: Request, count: int) -> WantedNic:
    if count > 1:
        raise Invalid("Unable to launch multiple instances with a single configured port ID: one port, one server.")
    port: public.ServerPort = referred(tx, "port", str(request.port_id))
    if port.in_use:
        raise Conflict(f"Port {port.id} is still in use.")
    if not port.fixed_ips:
        raise Invalid(f"Port {port.id} requires a FixedIP in order to be used.")
    return WantedNic(network_id=port.network_id, port_id=port.id, tag=request.tag)


def security_groups(tx: Tx, ctx: Context, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return ``(id, name)`` of security groups by name or id, the default one for none; raise Invalid."""
    if not names:
        return [(public.default_group(tx, ctx.project_id), "default")]
    try:
        ids = public.resolve_groups(tx, ctx, names, ctx.project_id)
    except (NotFound, Conflict) as error:
        raise Invalid(error.message) from error
    found = public.group_names(tx, ids)
    return [(id, found[id]) for id in ids]


def plug_all(tx: Tx, sight: Context, server: Server, nics: Sequence[WantedNic], group_ids: Sequence[str]) -> None:
    """Make or take the ports of a new server, on networks and of ports that ``sight`` may use by now."""
    if not nics:
        return
    port_ids = [_take(tx, sight, server, wanted, group_ids) for wanted in nics]
    ports = public.ports_by_id(tx, port_ids)
    cards = [
        _card_of(server, wanted, ports[port_id], position)
        for position, (wanted, port_id) in enumerate(zip(nics, port_ids, strict=True))
    ]
    add_now(tx, *cards)
    _show(tx, server, cards, ports)


def plug(tx: Tx, sight: Context, server: Server, wanted: WantedNic, group_ids: Sequence[str]) -> Nic:
    """Make or take one more port for a server."""
    position = max((nic.position for nic in store.list_nics(tx, server.id)), default=-1) + 1
    port_id = _take(tx, sight, server, wanted, group_ids)
    tx.flush()
    nic = _card_of(server, wanted, public.ports_by_id(tx, [port_id])[port_id], position)
    tx.add(nic)
    tx.flush()
    return nic


def _take(tx: Tx, sight: Context, server: Server, wanted: WantedNic, group_ids: Sequence[str]) -> str:
    """Make the port asked for, or take the one that is there; return its id."""
    zone = server.availability_zone or "nova"
    if wanted.port_id is not None:
        public.claim_port(tx, sight, wanted.port_id, server_id=server.id, zone=zone, dns_name=_dns_name(server))
        return wanted.port_id
    return public.create_port_for_server(
        tx,
        sight,
        network_id=wanted.network_id,
        server_id=server.id,
        project_id=server.project_id,
        fixed_ip=wanted.fixed_ip,
        security_group_ids=list(group_ids) or None,
        zone=zone,
        dns_name=_dns_name(server),
    )


def _card_of(server: Server, wanted: WantedNic, port: public.ServerPort, position: int) -> Nic:
    return Nic(
        port_id=port.id,
        server_id=server.id,
        network_id=port.network_id,
        mac=port.mac,
        position=position,
        tag=wanted.tag,
        owned=wanted.port_id is None,
    )


def _dns_name(server: Server) -> str:
    return server.hostname.partition(".")[0]


def unplug_all(tx: Tx, server: Server) -> None:
    """Give back every port of a server; those made for it are deleted, and their hosts told."""
    nics = store.list_nics(tx, server.id)
    if not nics:
        return
    public.delete_ports(tx, [nic.port_id for nic in nics if nic.owned])
    public.release_ports(tx, [nic.port_id for nic in nics if not nic.owned])
    store.delete_nics(tx, server.id)
    server.addresses = {}


def unplug(tx: Tx, server: Server, nic: Nic) -> None:
    """Give back one port of a server."""
    (public.delete_ports if nic.owned else public.release_ports)(tx, [nic.port_id])
    tx.delete(nic)
    tx.flush()
    refresh_addresses(tx, server)


def bind(tx: Tx, port_ids: Sequence[str], host: str) -> None:
    """Let a host carry ports; ``wire`` has it plug them."""
    if port_ids:
        public.bind_ports(tx, port_ids, host)


async def wire(op: Operation, host: str, port_ids: Sequence[str], *, step: str = "ports") -> list[Wire]:
    """Have a host plug the ports that it carries; return what it made of them.

    What it is told is read when it is told: the journal holds only what it answered.
    """
    if not port_ids:
        return []
    made = await op.command_read(step, host, EnsureNetworks, public.plug_command, list(port_ids), host)
    if made.lacks:
        await op.step(f"{step} lacking", _tell_lacking, op, host, made.lacks)
    return _wires(made)


async def wire_again(op: Operation, host: str, port_ids: Sequence[str]) -> list[Wire]:
    """Do the same without a step of its own: for an undo."""
    if not port_ids:
        return []
    made = await op.tell(host, await op.db.read(public.plug_command, list(port_ids), host))
    if made.lacks:
        await _tell_lacking(op, host, made.lacks)
    return _wires(made)


async def _tell_lacking(op: Operation, host: str, lacks: public.Lacks) -> None:
    """Bring a host what it lacks to serve its ports: it was started again, or never heard of their groups."""
    await op.db.write(public.follow, host, lacks)
    command = await op.db.read(public.lacking_command, host, lacks)
    await op.tell(host, command)
    await op.db.write(public.followed, host, command)


def _wires(made: public.Wired) -> list[Wire]:
    return [Wire(port_id=one.port_id, tap=one.interface, mtu=one.mtu) for one in made.ports]


def carry(tx: Tx, port_ids: Sequence[str], host: str) -> None:
    """Let a host carry ports that another may have carried; both are told without waiting for them."""
    if port_ids:
        public.move_ports(tx, port_ids, host)


def mark_wired(tx: Tx, port_ids: Sequence[str], host: str) -> None:
    """Record that a host has plugged ports."""
    if port_ids:
        public.mark_wired(tx, port_ids, host)


def refresh_addresses(tx: Tx, server: Server) -> None:
    """Renew what the API shows as the server's addresses."""
    nics = store.list_nics(tx, server.id)
    _show(tx, server, nics, public.ports_by_id(tx, [nic.port_id for nic in nics]))


def _show(tx: Tx, server: Server, nics: Sequence[Nic], ports: dict[str, public.ServerPort]) -> None:
    shown: dict[str, list[dict[str, Any]]] = {}
    for nic in nics:
        port = ports.get(nic.port_id)
        if port is None:
            continue
        cards = shown.setdefault(port.network_name, [])
        for fixed in port.fixed_ips:
            cards.append(_card(fixed.ip, fixed.version, "fixed", port.mac))
            if fixed.floating_ip:
                cards.append(_card(fixed.floating_ip, 4, "floating", port.mac))
    server.addresses = shown
    held = [id for nic in nics if nic.port_id in ports for id in ports[nic.port_id].security_group_ids]
    names = public.group_names(tx, held) if held else {}
    server.security_groups = [names[id] for id in dict.fromkeys(held) if id in names]


def _card(address: str, version: int, kind: str, mac: str) -> dict[str, Any]:
    return {"version": version, "addr": address, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}


def facts(tx: Tx, port_ids: Sequence[str]) -> dict[str, PortFacts]:
    """Return what interface views show of ports, by id."""
    return {
        port.id: PortFacts(
            status=port.status,
            fixed_ips=[{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip} for fixed in port.fixed_ips],
        )
        for port in public.ports_by_id(tx, port_ids).values()
    }


def add_security_group(tx: Tx, ctx: Context, server: Server, name: str) -> None:
    """Put every port of a server into a security group; raise NotFound for an unknown one."""
    (wanted,) = public.resolve_groups(tx, ctx, [name], server.project_id)
    for port in _ports(tx, server):
        if wanted not in port.security_group_ids:
            public.update_port_groups(tx, ctx, port.id, [*port.security_group_ids, wanted])
    tx.flush()
    refresh_addresses(tx, server)


def remove_security_group(tx: Tx, ctx: Context, server: Server, name: str) -> None:
    """Take every port of a server out of a security group; raise NotFound when none is in it."""
    (wanted,) = public.resolve_groups(tx, ctx, [name], server.project_id)
    holders = [port for port in _ports(tx, server) if wanted in port.security_group_ids]
    if not holders:
        raise NotFound(f"Security group {name} not associated with the instance {server.id}.")
    for port in holders:
        rest = [id for id in port.security_group_ids if id != wanted]
        public.update_port_groups(tx, ctx, port.id, rest)
    tx.flush()
    refresh_addresses(tx, server)


def security_group_views(tx: Tx, ctx: Context, server: Server) -> list[dict[str, Any]]:
    """Return the security groups of a server as the old API shows them; their rules are the network API's."""
    held = list(dict.fromkeys(id for port in _ports(tx, server) for id in port.security_group_ids))
    names = public.group_names(tx, held) if held else {}
    return [
        {"id": id, "name": names[id], "tenant_id": server.project_id, "description": "", "rules": []}
        for id in held
        if id in names
    ]


def _ports(tx: Tx, server: Server) -> list[public.ServerPort]:
    return list(public.ports_by_id(tx, [nic.port_id for nic in store.list_nics(tx, server.id)]).values())
