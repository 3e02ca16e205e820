"""Which addresses are taken, and the next one that is free.

Rule: nothing is scanned; the next free address is one past the highest that is taken, and only when a pool has
been used up to its end is the first gap looked for.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import aliased

from pileus.kernel.db import Tx, ask, delete_with, rows_with
from pileus.services.network.model import ROUTER_INTERFACE, Address, Port

_address: Any = Address.__table__
_HIGHEST = select(func.max(_address.c.offset)).where(
    _address.c.subnet_id == bindparam("subnet"),
    _address.c.offset >= bindparam("first"),
    _address.c.offset <= bindparam("last"),
)


def next_free(tx: Tx, subnet_id: str, first: int, last: int) -> int | None:
    """Return a free offset between ``first`` and ``last``, both included; None when all are taken."""
    highest = ask(tx, _HIGHEST, {"subnet": subnet_id, "first": first, "last": last}).scalar()
    if highest is None:
        return first
    if highest < last:
        return highest + 1
    if tx.scalar(select(Address.offset).where(Address.subnet_id == subnet_id, Address.offset == first)) is None:
        return first
    here = (Address.subnet_id == subnet_id, Address.offset >= first, Address.offset <= last)
    follower = aliased(Address)
    taken = exists().where(follower.subnet_id == subnet_id, follower.offset == Address.offset + 1)
    gap = select(Address.offset).where(*here, Address.offset < last, ~taken).order_by(Address.offset).limit(1)
    before = tx.scalar(gap)
    return None if before is None else before + 1


def taken(tx: Tx, network_id: str, ip: str) -> Address | None:
    """Return who has an address, if anybody."""
    return tx.get(Address, (network_id, ip))


def behind_router(tx: Tx, router_id: str, ip: str) -> list[Address]:
    """Return who has an address in a subnet that a router has a leg in."""
    leg = aliased(Address)
    subnets = (
        select(leg.subnet_id)
        .join(Port, Port.id == leg.port_id)
        .where(Port.holder_id == router_id, Port.role == ROUTER_INTERFACE)
    )
    return list(tx.scalars(select(Address).where(Address.ip == ip, Address.subnet_id.in_(subnets))))


def of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, list[Address]]:
    """Return the addresses of many ports, in the order they were given."""
    found: dict[str, list[Address]] = {}
    for address in rows_with(tx, Address.port_id, port_ids, Address.position):
        found.setdefault(address.port_id, []).append(address)
    return found


def of_port(tx: Tx, port_id: str) -> list[Address]:
    """Return one port's addresses."""
    return of_ports(tx, [port_id]).get(port_id, [])


def of_subnet(tx: Tx, subnet_id: str) -> list[tuple[Address, Port]]:
    """Return a subnet's addresses with their ports."""
    statement = select(Address, Port).join(Port, Port.id == Address.port_id).where(Address.subnet_id == subnet_id)
    return [(address, port) for address, port in tx.execute(statement)]


def release(tx: Tx, port_ids: Iterable[str]) -> None:
    """Give back all addresses of ports."""
    delete_with(tx, Address.port_id, set(port_ids))


def counts(tx: Tx, network_ids: Sequence[str]) -> dict[str, int]:
    """Return how many addresses are taken in each subnet of some networks."""
    statement = select(Address.subnet_id, func.count()).where(Address.network_id.in_(network_ids))
    return {row[0]: row[1] for row in tx.execute(statement.group_by(Address.subnet_id))}
