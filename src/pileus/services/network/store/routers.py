"""Statements about routers and floating IPs."""

from collections.abc import Sequence

from sqlalchemy import func, select

from pileus.kernel.db import Tx, load, rows_with
from pileus.services.network.model import ROUTER_INTERFACE, Address, FloatingIp, Port, Router
from pileus.services.network.store.roles import ROUTED


def count_routers(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(Router.project_id == project_id)) or 0


def count_floating_ips(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(FloatingIp.project_id == project_id)) or 0


def get_router(tx: Tx, router_id: str) -> Router | None:
    return tx.get(Router, router_id)


def routers(tx: Tx, ids: Sequence[str]) -> dict[str, Router]:
    """Return routers by id."""
    return {row.id: row for row in rows_with(tx, Router.id, ids)}


def routers_on_host(tx: Tx, host: str) -> list[Router]:
    """Return the routers that a host carries."""
    return list(tx.scalars(select(Router).where(Router.host == host).order_by(Router.id)))


def routers_without_host(tx: Tx) -> list[Router]:
    """Return the routers that no host carries yet."""
    return load(tx, Router, _HOMELESS)


_HOMELESS = select(Router).where(Router.host == "")


def routers_of_networks(tx: Tx, network_ids: Sequence[str]) -> set[str]:
    """Return the ids of the routers with a leg in any of these networks."""
    inner = select(Port.holder_id).where(Port.network_id.in_(network_ids), Port.role == ROUTER_INTERFACE)
    outer = select(Router.id).where(Router.gateway_network_id.in_(network_ids))
    return {*tx.scalars(inner), *tx.scalars(outer)}


def way_out(tx: Tx, subnet_id: str, external_network_id: str) -> str | None:
    """Return the router that joins a subnet to an external network."""
    return tx.scalar(
        select(Router.id)
        .join(Port, Port.holder_id == Router.id)
        .join(Address, Address.port_id == Port.id)
        .where(
            Port.role == ROUTER_INTERFACE,
            Address.subnet_id == subnet_id,
            Router.gateway_network_id == external_network_id,
        )
        .order_by(Router.created_at)
        .limit(1)
    )


def floating_ips_of_routers(tx: Tx, router_ids: Sequence[str]) -> dict[str, list[FloatingIp]]:
    """Return the associated floating IPs of many routers."""
    found: dict[str, list[FloatingIp]] = {}
    for row in rows_with(tx, FloatingIp.router_id, router_ids, FloatingIp.id):
        found.setdefault(row.router_id or "", []).append(row)
    return found


def floating_ips_of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[FloatingIp]]:
    """Return the floating IPs of many ports, in one query."""
    found: dict[str, list[FloatingIp]] = {}
    for row in rows_with(tx, FloatingIp.port_id, port_ids, FloatingIp.created_at):
        found.setdefault(row.port_id or "", []).append(row)
    return found


def legs(tx: Tx, router_id: str) -> list[Port]:
    """Return all ports of a router, the gateway's too."""
    return list(tx.scalars(select(Port).where(Port.holder_id == router_id, Port.role.in_(ROUTED))))


def idle_floating_ips(tx: Tx, network_id: str) -> set[str]:
    """Return the ports, on an external network, of the floating IPs that stand before nobody."""
    here = select(FloatingIp.floating_port_id).where(FloatingIp.floating_network_id == network_id)
    return set(tx.scalars(here.where(FloatingIp.port_id.is_(None))))
