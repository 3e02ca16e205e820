"""Statements about ports."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select

from pileus.kernel.db import Tx
from pileus.services.network.model import DHCP, ROUTER_INTERFACE, Address, Port, PortGroup


def count_ports(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(Port.project_id == project_id)) or 0


def get_port(tx: Tx, port_id: str) -> Port | None:
    return tx.get(Port, port_id)


def ports(tx: Tx, ids: Sequence[str]) -> dict[str, Port]:
    """Return ports by id."""
    return {row.id: row for row in tx.scalars(select(Port).where(Port.id.in_(ids)))} if ids else {}


def ports_of_devices(tx: Tx, device_ids: Sequence[str]) -> list[Port]:
    """Return the ports of servers or routers, oldest first."""
    if not device_ids:
        return []
    return list(tx.scalars(select(Port).where(Port.device_id.in_(device_ids)).order_by(Port.created_at, Port.id)))


def router_interfaces(tx: Tx, router_id: str) -> list[Port]:
    """Return a router's inner legs."""
    statement = select(Port).where(Port.device_id == router_id, Port.device_owner == ROUTER_INTERFACE)
    return list(tx.scalars(statement.order_by(Port.created_at, Port.id)))


def dhcp_ports(tx: Tx, network_id: str) -> list[Port]:
    """Return a network's DHCP ports, one for each host that serves it."""
    return list(tx.scalars(select(Port).where(Port.network_id == network_id, Port.device_owner == DHCP)))


def mac_taken(tx: Tx, network_id: str, mac: str) -> bool:
    """Tell whether a port of this network has this MAC."""
    return tx.scalar(select(Port.id).where(Port.network_id == network_id, Port.mac_address == mac)) is not None


def ports_on_host(tx: Tx, host: str, network_id: str | None = None) -> list[Port]:
    """Return the ports that a host carries, of one network if told."""
    statement = select(Port).where(Port.binding_host == host)
    if network_id is not None:
        statement = statement.where(Port.network_id == network_id)
    return list(tx.scalars(statement.order_by(Port.id)))


def hosts_of_network(tx: Tx, network_id: str) -> set[str]:
    """Return the hosts that carry ports of a network."""
    statement = select(Port.binding_host).where(Port.network_id == network_id, Port.binding_host != "").distinct()
    return set(tx.scalars(statement))


def groups_of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the security groups of many ports, in one query."""
    found: dict[str, list[str]] = {}
    if not port_ids:
        return found
    chosen = PortGroup.port_id == port_ids[0] if len(port_ids) == 1 else PortGroup.port_id.in_(port_ids)
    statement = select(PortGroup.port_id, PortGroup.group_id).where(chosen).order_by(PortGroup.group_id)
    for port_id, group_id in tx.execute(statement):
        found.setdefault(port_id, []).append(group_id)
    return found


def leave_groups(tx: Tx, port_ids: Iterable[str]) -> None:
    """Take ports out of all their groups."""
    tx.execute(delete(PortGroup).where(PortGroup.port_id.in_(list(port_ids))))


def addresses_of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Return the addresses of many ports as their views hold them."""
    found: dict[str, list[dict[str, str]]] = {}
    chosen = Address.port_id == port_ids[0] if len(port_ids) == 1 else Address.port_id.in_(port_ids)
    statement = select(Address.port_id, Address.subnet_id, Address.ip).where(chosen).order_by(Address.position)
    for port_id, subnet_id, ip in tx.execute(statement):
        found.setdefault(port_id, []).append({"subnet_id": subnet_id, "ip_address": ip})
    return found
