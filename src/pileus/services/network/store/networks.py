"""Statements about networks and subnets."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from pileus.kernel import clock
from pileus.kernel.db import Tx, ask, keep, rows_with
from pileus.services.network.model import Network, Port, Subnet, SubnetPool


def count_networks(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(Network.project_id == project_id)) or 0


def count_subnets(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(Subnet.project_id == project_id)) or 0


def get_network(tx: Tx, network_id: str) -> Network | None:
    row = tx.get(Network, network_id)
    return keep(tx, row) if row is not None else None


def networks(tx: Tx, ids: Sequence[str]) -> dict[str, Network]:
    """Return networks by id."""
    if len(ids) == 1:  # most often known to the transaction already
        tx.flush()
        row = get_network(tx, ids[0])
        return {row.id: row} if row is not None else {}
    return {row.id: row for row in rows_with(tx, Network.id, ids)}


def revise(tx: Tx, network_id: str) -> None:
    """Count a change of what belongs to a network, a subnet or who shares it, as one of the network."""
    row = tx.get(Network, network_id)
    if row is not None:
        row.revision_number += 1
        row.updated_at = clock.now()


def highest_segment(tx: Tx, kind: str, first: int, last: int) -> int | None:
    """Return the highest segmentation id in use within a range."""
    here = (Network.network_type == kind, Network.segmentation_id >= first, Network.segmentation_id <= last)
    return tx.scalar(select(func.max(Network.segmentation_id)).where(*here))


def used_segments(tx: Tx, kind: str) -> set[int]:
    """Return all segmentation ids in use."""
    statement = select(Network.segmentation_id).where(Network.network_type == kind)
    return {number for number in tx.scalars(statement) if number is not None}


def segment_taken(tx: Tx, kind: str, physical_network: str | None, number: int | None) -> bool:
    """Tell whether a network has this segment already."""
    statement = select(Network.id).where(Network.network_type == kind, Network.segmentation_id == number)
    if physical_network is not None:
        statement = statement.where(Network.physical_network == physical_network)
    return tx.scalar(statement.limit(1)) is not None


def subnets_of(tx: Tx, network_ids: Sequence[str]) -> dict[str, list[Subnet]]:
    """Return the subnets of many networks, oldest first."""
    found: dict[str, list[Subnet]] = {}
    for subnet in rows_with(tx, Subnet.network_id, network_ids, Subnet.created_at, Subnet.id):
        found.setdefault(subnet.network_id, []).append(subnet)
    return found


_subnet: Any = Subnet.__table__
_SUBNET_IDS = (
    select(_subnet.c.network_id, _subnet.c.id)
    .where(_subnet.c.network_id.in_(bindparam("networks", expanding=True)))
    .order_by(_subnet.c.created_at, _subnet.c.id)
)


def subnet_ids_of(tx: Tx, network_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return only the ids of the subnets of many networks."""
    found: dict[str, list[str]] = {}
    rows: Any = ask(tx, _SUBNET_IDS, {"networks": network_ids})
    for network_id, subnet_id in rows:
        found.setdefault(network_id, []).append(subnet_id)
    return found


def subnets(tx: Tx, ids: Sequence[str]) -> dict[str, Subnet]:
    """Return subnets by id."""
    return {row.id: row for row in rows_with(tx, Subnet.id, ids)}


def ports_on(tx: Tx, network_id: str) -> list[Port]:
    """Return the ports of a network."""
    return list(tx.scalars(select(Port).where(Port.network_id == network_id)))


def subnets_of_pool(tx: Tx, pool_id: str) -> list[Subnet]:
    """Return what has been cut from a subnet pool."""
    return list(tx.scalars(select(Subnet).where(Subnet.subnetpool_id == pool_id)))


def scoped_pools_of(tx: Tx, network_ids: Sequence[str]) -> list[tuple[str, SubnetPool]]:
    """Return, with its network, each pool of an address scope that a network's subnets were cut from."""
    statement = (
        select(Subnet.network_id, SubnetPool)
        .join(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
        .where(Subnet.network_id.in_(network_ids), SubnetPool.address_scope_id.is_not(None))
    )
    return [(network_id, pool) for network_id, pool in tx.execute(statement)]
