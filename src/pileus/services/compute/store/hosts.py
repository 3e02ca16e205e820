"""Hosts as rows, and the availability zones that aggregates make of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select

from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx, keep, load
from pileus.services.compute.model import Aggregate, Host
from pileus.services.compute.store.catalog import list_aggregates

DEFAULT_ZONE = "nova"


def get_host(tx: Tx, name: str) -> Host | None:
    """Return a host by name."""
    return tx.get(Host, name)


def get_host_by_id(tx: Tx, id: str) -> Host | None:
    """Return a host by its uuid, or by its number as old clients have it."""
    column = Host.number if id.isdigit() else Host.id
    return tx.scalar(select(Host).where(column == (int(id) if id.isdigit() else id)))


_HOSTS = select(Host).order_by(Host.number)


def list_hosts(tx: Tx) -> list[Host]:
    """Return every host."""
    return [keep(tx, host) for host in load(tx, Host, _HOSTS)]


def next_number(tx: Tx) -> int:
    """Return the number of the next new host."""
    return (tx.scalar(select(func.max(Host.number))) or 0) + 1


def zones(tx: Tx) -> dict[str, str]:
    """Return the availability zone of every host that is not in the default one."""
    return zones_of(list_aggregates(tx))


def zones_of(aggregates: Sequence[Aggregate]) -> dict[str, str]:
    """Return the availability zones that aggregates make, by host."""
    return {
        host: aggregate.availability_zone
        for aggregate in aggregates
        if aggregate.availability_zone
        for host in aggregate.hosts
    }


def zone_of(tx: Tx, host: str | None) -> str:
    """Return the availability zone of a host; empty for none."""
    return "" if host is None else zones(tx).get(host, DEFAULT_ZONE)


def alive(tx: Tx) -> set[str]:
    """Return the names of the hosts that are heard and not forced down."""
    down = {host.name for host in list_hosts(tx) if host.forced_down}
    return set(kernel_hosts.running(tx, "compute")) - down


_host: Any = Host.__table__
_agent: Any = kernel_hosts.HostRow.__table__
_STATUSES = select(_host.c.name, _host.c.disabled, _host.c.forced_down, _agent.c.state, _agent.c.services).outerjoin(
    _agent, _agent.c.name == _host.c.name
)
_STATUS = _STATUSES.where(_host.c.name == bindparam("name"))


def statuses(tx: Tx) -> dict[str, str]:
    """Return UP, DOWN or MAINTENANCE (disabled) of every host."""
    rows: Any = tx.connection().execute(_STATUSES)
    return {row[0]: _status(*row[1:]) for row in rows}


def status(tx: Tx, host: str | None) -> str:
    """Return UP, DOWN or MAINTENANCE of one host; empty for none."""
    row: Any = tx.connection().execute(_STATUS, {"name": host}).first() if host else None
    return _status(*row[1:]) if row else ""


def _status(disabled: bool, forced_down: bool, state: str | None, services: list[str] | None) -> str:
    if disabled:
        return "MAINTENANCE"
    up = state == kernel_hosts.UP and not forced_down and "compute" in (services or ())
    return "UP" if up else "DOWN"


def facts(tx: Tx) -> dict[str, dict[str, Any]]:
    """Return what each host's agent says of itself."""
    return {host.name: host.facts.get("compute", {}) for host in kernel_hosts.every(tx)}


def up_since(tx: Tx, name: str) -> datetime | None:
    """Return since when a host has been up; None when it is down."""
    host = next((host for host in kernel_hosts.alive(tx, "compute") if host.name == name), None)
    return host.changed_at if host is not None else None


def seen_at(tx: Tx) -> dict[str, datetime]:
    """Return when each host was last heard."""
    return {host.name: host.last_seen_at for host in kernel_hosts.every(tx)}
