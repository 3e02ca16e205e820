"""How many addresses networks have, and how many are taken."""

import ipaddress
from typing import Annotated, Any

from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN_OR_SERVICE, Rule
from pileus.kernel.rest import Query, at_most
from pileus.kernel.rest.references import Refers, SomeProject
from pileus.services.network.api.networks import networks as resource
from pileus.services.network.api.root import api
from pileus.services.network.app.ranges import usable
from pileus.services.network.model import Network, Subnet
from pileus.services.network.store import addresses, networks

GET = Rule("get_network_ip_availability", ADMIN_OR_SERVICE, "See how many addresses are taken.")


class AvailabilityQuery(Query):
    network_id: Annotated[list[Annotated[str, Refers("network", loaded=False)]], at_most(1000)] = []
    network_name: list[str] = []
    project_id: list[SomeProject] = []
    tenant_id: list[SomeProject] = []
    ip_version: list[int] = []


def _availability(tx: Tx, rows: list[Network], versions: list[int]) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    subnets = networks.subnets_of(tx, ids)
    used = addresses.counts(tx, ids) if ids else {}
    found = []
    for row in rows:
        mine = (subnet for subnet in subnets.get(row.id, []) if not versions or subnet.ip_version in versions)
        parts = [_subnet(subnet, used.get(subnet.id, 0)) for subnet in mine]
        found.append(
            {
                "network_id": row.id,
                "network_name": row.name,
                "project_id": row.project_id,
                "tenant_id": row.project_id,
                "total_ips": sum(part["total_ips"] for part in parts),
                "used_ips": sum(part["used_ips"] for part in parts),
                "subnet_ip_availability": parts,
            }
        )
    return found


def _subnet(row: Subnet, used: int) -> dict[str, Any]:
    first, last = usable(ipaddress.ip_network(row.cidr))
    pools = [(ipaddress.ip_address(p["start"]), ipaddress.ip_address(p["end"])) for p in row.allocation_pools]
    inside = sum(int(end) - int(start) + 1 for start, end in pools)
    return {
        "subnet_id": row.id,
        "subnet_name": row.name,
        "cidr": row.cidr,
        "ip_version": row.ip_version,
        "total_ips": inside or last - first + 1,
        "used_ips": used,
    }


@api.get("/network-ip-availabilities", GET, wrap="network_ip_availabilities")
def list_availability(tx: Tx, ctx: Context, query: AvailabilityQuery) -> list[dict[str, Any]]:
    statement = select(Network).order_by(Network.id)
    for column, wanted in (
        (Network.id, query.network_id),
        (Network.name, query.network_name),
        (Network.project_id, query.project_id + query.tenant_id),
    ):
        statement = statement.where(column.in_(wanted)) if wanted else statement
    return _availability(tx, list(tx.scalars(statement)), query.ip_version)


@api.get("/network-ip-availabilities/{id}", GET, wrap="network_ip_availability")
def show_availability(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    return _availability(tx, [resource.load(tx, ctx, id)], [])[0]
