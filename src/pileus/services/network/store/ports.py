"""Statements about ports."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select

from pileus.kernel.db import Tx, ask, delete_with, keep, load, load_one, rows_with
from pileus.services.network.model import DHCP, ROUTER_INTERFACE, Address, Port, PortGroup
from pileus.services.network.store.roles import GUESTS, ROUTED


def count_ports(tx: Tx, project_id: str) -> int:
    return ask(tx, _COUNT, {"project": project_id}).scalar_one()


_COUNT = select(func.count()).where(Port.project_id == bindparam("project"))


def get_port(tx: Tx, port_id: str) -> Port | None:
    row = tx.get(Port, port_id)
    return keep(tx, row) if row is not None else None


def ports(tx: Tx, ids: Sequence[str]) -> dict[str, Port]:
    """Return ports by id."""
    if len(ids) == 1:  # most often known to the transaction already
        tx.flush()
        row = get_port(tx, ids[0])
        return {row.id: row} if row is not None else {}
    return {row.id: row for row in rows_with(tx, Port.id, ids)}


def legs_of_routers(tx: Tx, router_ids: Sequence[str]) -> list[Port]:
    """Return the ports of routers, the gateways' too, oldest first."""
    held = rows_with(tx, Port.holder_id, router_ids, Port.created_at, Port.id)
    return [port for port in held if port.role in ROUTED]


def router_interfaces(tx: Tx, router_id: str) -> list[Port]:
    """Return a router's inner legs."""
    statement = select(Port).where(Port.holder_id == router_id, Port.role == ROUTER_INTERFACE)
    return list(tx.scalars(statement.order_by(Port.created_at, Port.id)))


def dhcp_ports(tx: Tx, network_id: str) -> list[Port]:
    """Return a network's DHCP ports, one for each host that serves it."""
    return load(tx, Port, _DHCP_PORTS, {"network": network_id})


_DHCP_PORTS = select(Port).where(Port.network_id == bindparam("network"), Port.role == DHCP)


def dhcp_port_of(tx: Tx, host: str, network_id: str) -> Port | None:
    """Return the port of a host's DHCP server on a network."""
    return load_one(tx, Port, _DHCP_PORT, {"host": host, "network": network_id})


def networks_with_dhcp_port(tx: Tx, host: str) -> set[str]:
    """Return the networks of which a host has a port for a DHCP server."""
    return set(tx.scalars(select(Port.network_id).where(Port.binding_host == host, Port.role == DHCP)))


_DHCP_PORT = select(Port).where(
    Port.binding_host == bindparam("host"), Port.network_id == bindparam("network"), Port.role == DHCP
)


def mac_taken(tx: Tx, network_id: str, mac: str) -> bool:
    """Tell whether a port of this network has this MAC."""
    return tx.connection().execute(_MAC, {"network": network_id, "mac": mac}).first() is not None


def ports_on_host(tx: Tx, host: str, network_id: str | None = None) -> list[Port]:
    """Return the ports that a host carries, of one network if told."""
    if network_id is None:
        return rows_with(tx, Port.binding_host, [host], Port.id)
    statement = select(Port).where(Port.binding_host == host, Port.network_id == network_id)
    return list(tx.scalars(statement.order_by(Port.id)))


def hosts_of_network(tx: Tx, network_id: str) -> set[str]:
    """Return the hosts that carry ports of a network."""
    statement = select(Port.binding_host).where(Port.network_id == network_id, Port.binding_host != "").distinct()
    return set(tx.scalars(statement))


def groups_of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the security groups of many ports, in one query."""
    found: dict[str, list[str]] = {}
    for port_id, group_id in _for_ports(tx, _GROUPS, port_ids):
        found.setdefault(port_id, []).append(group_id)
    return found


def leave_groups(tx: Tx, port_ids: Iterable[str]) -> None:
    """Take ports out of all their groups."""
    delete_with(tx, PortGroup.port_id, set(port_ids))


def hosts_with_guests(tx: Tx, network_id: str) -> list[str]:
    """Return the hosts that carry guests of a network."""
    guests = (Port.network_id == network_id, Port.binding_host != "", GUESTS)
    return list(tx.scalars(select(Port.binding_host).where(*guests).distinct()))


def addresses_of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Return the addresses of many ports as their views hold them: in the order of their texts."""
    found: dict[str, list[dict[str, str]]] = {}
    for port_id, subnet_id, ip in _for_ports(tx, _ADDRESSES, port_ids):
        found.setdefault(port_id, []).append({"subnet_id": subnet_id, "ip_address": ip})
    for held in found.values():
        held.sort(key=itemgetter("ip_address"))
    return found


_port: Any = Port.__table__
_group: Any = PortGroup.__table__
_address: Any = Address.__table__
_MAC = select(_port.c.id).where(_port.c.network_id == bindparam("network"), _port.c.mac_address == bindparam("mac"))
_one, _many = bindparam("one"), bindparam("many", expanding=True)
_GROUPS = [
    select(_group.c.port_id, _group.c.group_id).where(chosen).order_by(_group.c.group_id)
    for chosen in (_group.c.port_id == _one, _group.c.port_id.in_(_many))
]
_ADDRESSES = [
    select(_address.c.port_id, _address.c.subnet_id, _address.c.ip).where(chosen)
    for chosen in (_address.c.port_id == _one, _address.c.port_id.in_(_many))
]
"""Built once, for one port and for many: every port that is shown runs them."""


def _for_ports(tx: Tx, statements: Sequence[Any], port_ids: Sequence[str]) -> Iterable[Any]:
    if not port_ids:
        return ()
    tx.flush()
    if len(port_ids) == 1:
        return tx.connection().execute(statements[0], {"one": port_ids[0]}).all()
    return tx.connection().execute(statements[1], {"many": port_ids}).all()


class Served(NamedTuple):
    """A guest's port as DHCP needs it, once for each of its addresses."""

    port_id: str
    mac: str
    dns_name: str
    options: list[dict[str, Any]]
    subnet_id: str
    ip: str


_ANSWERED = (
    select(
        _port.c.id,
        _port.c.mac_address,
        _port.c.dns_name,
        _port.c.extra_dhcp_opts,
        _address.c.subnet_id,
        _address.c.ip,
    )
    .where(GUESTS, _address.c.port_id == _port.c.id)
    .order_by(_port.c.id, _address.c.position)
)
_here = (_port.c.binding_host == bindparam("host"), _port.c.network_id == bindparam("network_id"))
_SERVED = _ANSWERED.where(*_here)
_SERVED_AMONG = _ANSWERED.where(_port.c.id.in_(_many))
_HAS_GUESTS = select(_port.c.id).where(*_here, GUESTS).limit(1)
_CARRIED = select(_port.c.network_id).where(
    _port.c.binding_host == bindparam("host"), _port.c.network_id.in_(_many), _port.c.role != DHCP
)


def served_by_dhcp(tx: Tx, host: str, network_id: str) -> list[Served]:
    """Return the guests of a network on a host, in one query however many there are."""
    rows = ask(tx, _SERVED, {"host": host, "network_id": network_id})
    return [Served(*row) for row in rows]


def served_among(tx: Tx, port_ids: Sequence[str]) -> list[Served]:
    """Return those of some ports that are guests."""
    rows = ask(tx, _SERVED_AMONG, {"many": port_ids}) if port_ids else ()
    return [Served(*row) for row in rows]


def has_guests(tx: Tx, host: str, network_id: str) -> bool:
    """Tell whether a host carries guests of a network, without reading them."""
    return ask(tx, _HAS_GUESTS, {"host": host, "network_id": network_id}).first() is not None


def carried_networks(tx: Tx, host: str, network_ids: Sequence[str]) -> set[str]:
    """Return those of some networks of which a host has a guest or a router.

    Its own DHCP server alone is no reason to stay.
    """
    rows = ask(tx, _CARRIED.distinct(), {"host": host, "many": network_ids}) if network_ids else ()
    return {network_id for (network_id,) in rows}
