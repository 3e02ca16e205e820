"""What hosts still have to be told.  Rule: added with the change, removed when the host has obeyed."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select

from pileus.kernel.db import Tx
from pileus.services.network.model import HostWork

KINDS = GROUP, PORT, DHCP, ROUTER, NETWORK = "group", "port", "dhcp", "router", "network"


def add(tx: Tx, host: str, kind: str, resource_ids: Iterable[str]) -> None:
    """Note that a host has to be told of these."""
    tx.add_all(HostWork(host=host, kind=kind, resource_id=resource_id) for resource_id in resource_ids)


def hosts(tx: Tx) -> Sequence[str]:
    """Return the hosts that have something to be told."""
    return tx.scalars(select(HostWork.host).distinct()).all()


def of_host(tx: Tx, host: str) -> Sequence[HostWork]:
    """Return all that one host has to be told."""
    return tx.scalars(select(HostWork).where(HostWork.host == host)).all()


def done(tx: Tx, ids: Sequence[str]) -> None:
    """Forget what a host has obeyed."""
    for start in range(0, len(ids), 500):
        tx.execute(delete(HostWork).where(HostWork.id.in_(ids[start : start + 500])))
