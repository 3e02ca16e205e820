"""What hosts still have to be told.  Rule: added with the change, removed when the host has obeyed."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from pileus.kernel import clock, ids
from pileus.kernel.agent.hosts import HostRow
from pileus.kernel.db import Tx
from pileus.services.network.model import HostWork

KINDS = GROUP, PORT, DHCP, SERVED, ROUTER, NETWORK = "group", "port", "dhcp", "served", "router", "network"
"""``GROUP`` are a group's rules, ``DHCP`` a network's DHCP server with all ports that it answers, ``SERVED`` only
whether there is to be one."""


class Pending(NamedTuple):
    """One thing that one host has to be told of."""

    id: str
    kind: str
    resource_id: str


_work: Any = HostWork.__table__
_INSERT = insert(_work)
_PENDING = select(_work.c.host, _work.c.id, _work.c.kind, _work.c.resource_id)
_ORPHANS = delete(_work).where(_work.c.host.not_in(select(HostRow.name)))
_DONE = delete(_work).where(_work.c.id.in_(bindparam("ids", expanding=True)))


def add(tx: Tx, host: str, kind: str, resource_ids: Iterable[str]) -> None:
    """Note that a host has to be told of these."""
    now = clock.now()
    rows = [
        {"id": ids.new_id(), "host": host, "kind": kind, "resource_id": resource_id, "created_at": now}
        for resource_id in resource_ids
    ]
    if rows:
        tx.connection().execute(_INSERT, rows)


def pending(tx: Tx) -> dict[str, list[Pending]]:
    """Return all that has to be told, by host."""
    found: dict[str, list[Pending]] = {}
    for host, id, kind, resource_id in tx.connection().execute(_PENDING):
        found.setdefault(host, []).append(Pending(id, kind, resource_id))
    return found


def drop_unregistered(tx: Tx) -> int:
    """Forget what is noted for hosts that are none; return how much.  One that registers is told everything anyway."""
    return tx.connection().execute(_ORPHANS).rowcount


def done(tx: Tx, done_ids: Sequence[str]) -> None:
    """Forget what hosts have obeyed."""
    for start in range(0, len(done_ids), 500):
        tx.connection().execute(_DONE, {"ids": done_ids[start : start + 500]})
