"""All that other services may ask of the network, as functions of their own transaction.

The way of a server's port: ``create_port_for_server`` (or ``claim_port`` for one that the user made), then in the
step that knows the host ``bind_ports``; ``plug_command`` is the one that plugs them all, and when it has been obeyed
``mark_wired``.  ``unbind_ports`` gives the command that unplugs, ``delete_ports`` or ``release_ports`` ends it.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from pileus.kernel import events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.services.network import metadata_signature
from pileus.services.network.app import addressing, groups, limits, ports
from pileus.services.network.app.facts import (
    FixedIp,
    NetworkFacts,
    ServerPort,
    SubnetFacts,
    network_facts,
    port_views,
    subnet_facts,
)
from pileus.services.network.app.limits import LIMITS
from pileus.services.network.app.refusals import group_not_found, network_not_found, port_not_found
from pileus.services.network.commands import EnsureNetworks, Gone, Lacks, Wired
from pileus.services.network.model import (
    EXTERNAL,
    SERVER,
    SHARED,
    Network,
    Port,
    SecurityGroup,
)
from pileus.services.network.store import addresses as address_store
from pileus.services.network.store import groups as group_store
from pileus.services.network.store import members, plans, roles, sharing, stamps, wiring
from pileus.services.network.store import networks as network_store
from pileus.services.network.store import ports as port_store
from pileus.services.network.wanted import PortWiring

__all__ = [
    "LIMITS",
    "EnsureNetworks",
    "FixedIp",
    "Lacks",
    "NetworkFacts",
    "PortWiring",
    "ServerPort",
    "SubnetFacts",
    "Wired",
    "metadata_signature",
]


def available_networks(tx: Tx, ctx: Context, project_id: str) -> list[NetworkFacts]:
    """Return the networks a project's servers may be put on: its own, or else those shared with it."""
    own = list(tx.scalars(select(Network).where(Network.project_id == project_id).order_by(Network.created_at)))
    shared = sharing.shared_ids("network", project_id, [SHARED])
    rest = list(tx.scalars(select(Network).where(Network.id.in_(shared)).order_by(Network.created_at)))
    return network_facts(tx, [*own, *(row for row in rest if row.project_id != project_id)], project_id)


def get_network(tx: Tx, ctx: Context, network_id: str) -> NetworkFacts:
    """Return a network that the caller may use; raise NotFound otherwise."""
    row = network_store.get_network(tx, network_id)
    if row is None or not sharing.may_use(tx, ctx, "network", row, SHARED, EXTERNAL):
        raise network_not_found(network_id)
    return network_facts(tx, [row], ctx.project_id)[0]


def default_group(tx: Tx, project_id: str) -> str:
    """Return the id of a project's default security group, made if it is not there yet."""
    return groups.default_group(tx, project_id)


def resolve_groups(tx: Tx, ctx: Context, names_or_ids: Iterable[str], project_id: str) -> list[str]:
    """Return the ids of security groups given by name or id; raise NotFound or Conflict (an ambiguous name)."""
    found: list[str] = []
    for wanted in names_or_ids:
        if wanted == groups.DEFAULT:
            groups.default_group(tx, project_id)
        rows = tx.scalars(
            select(SecurityGroup.id).where(
                (SecurityGroup.id == wanted) | (SecurityGroup.name == wanted), SecurityGroup.project_id == project_id
            )
        ).all()
        if len(rows) > 1:
            raise Conflict(f"Multiple security groups found matching '{wanted}'. Use an ID to be more specific.")
        found += rows if rows else _shared_group(tx, ctx, wanted)
    return list(dict.fromkeys(found))


def _shared_group(tx: Tx, ctx: Context, wanted: str) -> list[str]:
    if ids.is_uuid(wanted):
        return groups.usable_groups(tx, ctx, [wanted])
    raise group_not_found(wanted)


def group_names(tx: Tx, group_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of security groups by id."""
    return {id: row.name for id, row in group_store.groups(tx, sorted(set(group_ids))).items()}


def create_port_for_server(
    tx: Tx,
    ctx: Context,
    *,
    network_id: str,
    server_id: str,
    project_id: str,
    fixed_ip: str | None = None,
    security_group_ids: Sequence[str] | None = None,
    zone: str = "nova",
    name: str = "",
    dns_name: str = "",
    mac: str | None = None,
) -> str:
    """Add a port for a server and return its id; ``security_group_ids`` None means the project's default group."""
    network = network_store.get_network(tx, network_id)
    if network is None or not sharing.may_use(tx, ctx, "network", network, SHARED, EXTERNAL):
        raise network_not_found(network_id)
    secure = network.port_security_enabled
    chosen = list(security_group_ids) if security_group_ids is not None else [groups.default_group(tx, project_id)]
    port = Port(
        id=ids.new_id(),
        project_id=project_id,
        name=name,
        network_id=network_id,
        mac_address=mac or ports.new_mac(tx, network_id),
        port_security_enabled=secure,
        dns_name=dns_name,
        **roles.held(SERVER, server_id, f"compute:{zone}"),
    )
    wanted = addressing.wishes([{"ip_address": fixed_ip}]) if fixed_ip else None
    ports.add_port(tx, port, wanted, chosen if secure else ())
    events.emit(tx, "network.port.created", port.id, ctx=ctx, project_id=project_id)
    return port.id


def ports_room(tx: Tx, project_id: str, amount: int) -> None:
    """Raise OverQuota unless a project may have ``amount`` more ports."""
    limits.claim(tx, project_id, "port", amount)


def claim_port(tx: Tx, ctx: Context, port_id: str, *, server_id: str, zone: str = "nova", dns_name: str = "") -> None:
    """Give a port that the user made to a server; raise NotFound, or Conflict when another device has it."""
    port = port_store.get_port(tx, port_id)
    if port is None or not (sharing.sees_all(ctx) or port.project_id == ctx.project_id):
        raise port_not_found(port_id)
    if not roles.is_free(port, server_id):
        raise Conflict(f"Port {port_id} is still in use by {port.device_id}.", kind="PortInUse")
    roles.hold(port, SERVER, server_id, f"compute:{zone}")
    port.dns_name = port.dns_name or dns_name


def release_ports(tx: Tx, port_ids: Iterable[str]) -> None:
    """Take ports from their servers without deleting them: those that the user had made."""
    rows = _ports(tx, port_ids)
    ports.unbind(tx, [row for row in rows if row.binding_host])
    for row in rows:
        roles.release(row)


def delete_ports(tx: Tx, port_ids: Iterable[str]) -> None:
    """Delete ports; their hosts are told, their floating IPs set free.  Those that are gone already do not matter."""
    rows = _ports(tx, port_ids)
    for row in rows:
        events.emit(tx, "network.port.deleted", row.id, project_id=row.project_id)
    ports.delete_ports(tx, rows)


def bind_ports(tx: Tx, port_ids: Iterable[str], host: str) -> None:
    """Let ``host`` carry ports; ``plug_command`` is what it has to be told for that, when it is told."""
    rows = _ports(tx, port_ids)
    moved = [row for row in rows if row.binding_host and row.binding_host != host]
    ports.unbind(tx, moved)
    ports.bind(tx, rows, host)


def move_ports(tx: Tx, port_ids: Iterable[str], host: str) -> None:
    """Let ``host`` carry ports; it and the one that carried them are told before long."""
    for row in _ports(tx, port_ids):
        if row.binding_host != host:
            ports.rebind(tx, row, host)


def plug_command(tx: Tx, port_ids: Iterable[str], host: str) -> EnsureNetworks:
    """Return the command that plugs those of some ports that ``host`` carries.

    To be read when it is sent: it holds what changed since the host was told last.  Where its answer names what the
    host ``lacks``, ``follow`` and then ``lacking_command`` bring that.
    """
    return plans.for_ports(tx, host, [row for row in _ports(tx, port_ids) if row.binding_host == host])


def follow(tx: Tx, host: str, lacks: Lacks) -> None:
    """Have a host told from now on of the groups that it lacks."""
    members.want_whole(tx, host, lacks.groups)


def lacking_command(tx: Tx, host: str, lacks: Lacks) -> EnsureNetworks:
    """Return the command with the whole of what a host lacks; ``followed`` when it has been obeyed."""
    return plans.lacking(tx, host, lacks)


def followed(tx: Tx, host: str, command: EnsureNetworks) -> None:
    """Record that a host knows the members of groups that a command told it."""
    members.told(tx, host, command.stamp, command.members)


def mark_wired(tx: Tx, port_ids: Iterable[str], host: str) -> None:
    """Record that a host has plugged ports: they are ACTIVE, and ``network.port.wired`` says so."""
    wiring.ports_plugged(tx, host, list(port_ids))


def unplug_command(tx: Tx, port_ids: Iterable[str]) -> EnsureNetworks:
    """Return the command that unplugs ports now, for whoever cannot wait: the undo of plugging."""
    stamps.advance(tx)
    return EnsureNetworks(stamp=stamps.current(tx), gone=Gone(ports=tuple(port_ids)))


def update_port_groups(tx: Tx, ctx: Context, port_id: str, group_ids: Sequence[str]) -> None:
    """Replace the security groups of a port; its host and those that filter by it are told."""
    port = port_store.get_port(tx, port_id)
    if port is None:
        raise port_not_found(port_id)
    ports.update_port(tx, ctx, port, {"security_groups": list(group_ids)})


def get_port(tx: Tx, ctx: Context, port_id: str) -> ServerPort:
    """Return a port that the caller may use; raise NotFound otherwise."""
    row = port_store.get_port(tx, port_id)
    if row is None or not (sharing.sees_all(ctx) or row.project_id == ctx.project_id):
        raise port_not_found(port_id)
    return port_views(tx, [row])[0]


def ports_by_id(tx: Tx, port_ids: Iterable[str]) -> dict[str, ServerPort]:
    """Return ports by id; those that are gone are absent."""
    return {view.id: view for view in port_views(tx, _ports(tx, port_ids))}


def _ports(tx: Tx, port_ids: Iterable[str]) -> list[Port]:
    wanted = list(port_ids)
    found = port_store.ports(tx, wanted)
    return [found[id] for id in wanted if id in found]


def subnets_of_networks(tx: Tx, network_ids: Sequence[str]) -> dict[str, list[SubnetFacts]]:
    """Return what guests may be told of the subnets of networks, for config drives and metadata."""
    found = network_store.subnets_of(tx, network_ids)
    return {network_id: [subnet_facts(row) for row in rows] for network_id, rows in found.items()}


def find_guest(tx: Tx, ip: str, *, network_id: str | None = None, router_id: str | None = None) -> ServerPort | None:
    """Return the server's port that asks for metadata from ``ip`` on a network, or through a router.

    Through a router only those of its subnets can ask that it has a leg in: another subnet of the same network may
    have the same addresses.
    """
    if network_id is not None:
        found = [address_store.taken(tx, network_id, ip)]
    elif router_id is not None:
        found = address_store.behind_router(tx, router_id, ip)
    else:
        return None
    held = port_store.ports(tx, [address.port_id for address in found if address is not None])
    asking = [port for port in held.values() if port.role == SERVER]
    return port_views(tx, asking)[0] if len(asking) == 1 else None
