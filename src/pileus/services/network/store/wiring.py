"""What hosts have done, as the rows tell it: statuses follow deeds."""

from collections.abc import Sequence

from sqlalchemy import select

from pileus.kernel import events
from pileus.kernel.db import Tx
from pileus.services.network.model import ACTIVE, DOWN, ERROR, FloatingIp
from pileus.services.network.store import addresses, ports, routers
from pileus.services.network.wanted import Lost, RouterSpec


def ports_plugged(tx: Tx, host: str, ids: Sequence[str]) -> None:
    """Make ports that their host has plugged ACTIVE, and say so upwards."""
    for row in ports.ports(tx, ids).values():
        if row.binding_host == host and row.status != ACTIVE:
            row.status = ACTIVE
            events.emit(
                tx,
                "network.port.wired",
                row.id,
                project_id=row.project_id,
                device_id=row.device_id,
                host=host,
            )


def routers_made(tx: Tx, specs: Sequence[RouterSpec]) -> None:
    """Make the legs and floating IPs that a host was told of ACTIVE; what was added since waits for its own order."""
    if not specs:
        return
    told = {leg.port_id for spec in specs for leg in (*spec.interfaces, *filter(None, [spec.gateway]))}
    for leg in ports.legs_of_routers(tx, [spec.id for spec in specs]):
        if leg.id in told:
            leg.status = ACTIVE
    for row in routers.routers(tx, [spec.id for spec in specs]).values():
        row.status = ACTIVE
    translated = {(one.id, one.fixed_ip) for spec in specs for one in spec.floating_ips}
    for row in tx.scalars(select(FloatingIp).where(FloatingIp.id.in_([id for id, _ in translated]))):
        if (row.id, row.fixed_ip_address) in translated:
            row.status = ACTIVE


def lost(tx: Tx, host: str, things: Sequence[Lost]) -> None:
    """Have ports, routers and floating IPs say that they do not work, until their host has mended them."""
    ids = {kind: [one.id for one in things if one.kind == kind] for kind in ("ports", "plugs", "dhcp", "routers")}
    down = list(ports.ports(tx, [*ids["ports"], *ids["plugs"]]).values())
    down += [server for id in ids["dhcp"] if (server := ports.dhcp_port_of(tx, host, id)) is not None]
    broken = [row for row in routers.routers(tx, ids["routers"]).values() if row.host == host]
    down += ports.legs_of_routers(tx, [row.id for row in broken])
    for port in down:
        if port.binding_host == host and port.status == ACTIVE:
            port.status = DOWN
    for row in broken:
        row.status = ERROR
    for floating in tx.scalars(select(FloatingIp).where(FloatingIp.router_id.in_([row.id for row in broken]))):
        floating.status = DOWN


def dhcp_gone(tx: Tx, host: str, network_ids: Sequence[str]) -> None:
    """Give back the port of a DHCP server that a host no longer runs, unless it has guests again."""
    for network_id in network_ids:
        server = ports.dhcp_port_of(tx, host, network_id)
        if server is not None and not ports.served_by_dhcp(tx, host, network_id):
            addresses.release(tx, [server.id])
            tx.delete(server)
