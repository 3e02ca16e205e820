"""Hosts as rows, and the availability zones that aggregates make of them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select

from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx, ask, keep, load, rows_with
from pileus.services.compute.model import Aggregate, AggregateHost, Host

DEFAULT_ZONE = "nova"


def get_host(tx: Tx, name: str) -> Host | None:
    """Return a host by name."""
    return tx.get(Host, name)


def get_host_by_id(tx: Tx, id: str) -> Host | None:
    """Return a host by its uuid, or by its number as old clients have it."""
    column = Host.number if id.isdigit() else Host.id
    return tx.scalar(select(Host).where(column == (int(id) if id.isdigit() else id)))


_HOSTS = select(Host).order_by(Host.number)


def list_hosts(tx: Tx, *, only: Collection[str] | None = None, names: Collection[str] | None = None) -> list[Host]:
    """Return every host, or those of these ids or names."""
    if only is not None:
        return rows_with(tx, Host.id, only, Host.number)
    if names is not None:
        return rows_with(tx, Host.name, names, Host.number)
    return [keep(tx, host) for host in load(tx, Host, _HOSTS)]


def next_number(tx: Tx) -> int:
    """Return the number of the next new host."""
    return (tx.scalar(select(func.max(Host.number))) or 0) + 1


_ZONES = (
    select(AggregateHost.host, Aggregate.availability_zone)
    .join(Aggregate, Aggregate.id == AggregateHost.aggregate_id)
    .where(Aggregate.availability_zone.is_not(None))
)
_ZONE = _ZONES.where(AggregateHost.host == bindparam("name"))


def zones(tx: Tx) -> dict[str, str]:
    """Return the availability zone of every host that is not in the default one."""
    rows: Any = ask(tx, _ZONES, {})
    return {host: zone for host, zone in rows}  # noqa: C416


def zone_of(tx: Tx, host: str | None) -> str:
    """Return the availability zone of a host; empty for none."""
    row: Any = None if host is None else ask(tx, _ZONE, {"name": host}).first()
    return row[1] if row else "" if host is None else DEFAULT_ZONE


def alive(tx: Tx) -> set[str]:
    """Return the names of the hosts that are heard and not forced down."""
    rows: Any = tx.connection().execute(_STATUSES)
    return {row[0] for row in rows if _status(False, *row[2:]) == "UP"}


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


def facts(tx: Tx, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what the agents of hosts say of themselves."""
    rows: Any = ask(tx, _FACTS, {"names": list(names)})
    return {name: facts.get("compute", {}) for name, facts in rows}


_FACTS = select(_agent.c.name, _agent.c.facts).where(_agent.c.name.in_(bindparam("names", expanding=True)))
_SEEN = select(_agent.c.name, _agent.c.last_seen_at)


def up_since(tx: Tx, name: str) -> datetime | None:
    """Return since when a host has been up; None when it is down."""
    host = tx.get(kernel_hosts.HostRow, name)
    if host is None or host.state != kernel_hosts.UP or "compute" not in host.services:
        return None
    return host.changed_at


def seen_at(tx: Tx) -> dict[str, datetime]:
    """Return when each host was last heard."""
    return dict(tuple(row) for row in ask(tx, _SEEN, {}))
