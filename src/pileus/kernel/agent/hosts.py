"""The hosts, as the control plane knows them: who is up, what runs there, what they report.

Rule: a host is up while its agent is heard; everything else about it is fact reported by the agent.
"""

import asyncio
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, bindparam, select, update
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock
from pileus.kernel.agent.host import Registration
from pileus.kernel.bus.base import Bus
from pileus.kernel.db import Database, Row, Tx
from pileus.kernel.errors import NotFound

log = logging.getLogger("pileus.hosts")

UP, DOWN = "up", "down"
HOST_UP, HOST_DOWN = "host.up", "host.down"
"""Topics on which the control plane hears that a host came or went; the message is its name."""


class HostRow(Row):
    """One host."""

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    boot_id: Mapped[str] = mapped_column(String(64))
    services: Mapped[list[str]]
    facts: Mapped[dict[str, Any]]
    registered_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    changed_at: Mapped[datetime]


def alive(tx: Tx, service: str | None = None) -> list[HostRow]:
    """Return the hosts that are up, by name; with ``service``, those that run it."""
    rows = tx.scalars(select(HostRow).where(HostRow.state == UP).order_by(HostRow.name))
    return [row for row in rows if service is None or service in row.services]


_UP = select(HostRow.name, HostRow.boot_id, HostRow.services).where(HostRow.state == UP).order_by(HostRow.name)


_UP_OF = _UP.where(HostRow.name.in_(bindparam("names", expanding=True)))


def running(tx: Tx, service: str, names: Collection[str] | None = None) -> dict[str, str]:
    """Return the boot ids of the agents that are up and run a service, by host: of all, or of ``names``.

    Much cheaper than their rows with all that they report; that of all is read once in a transaction.
    """
    if names is not None:
        some = tx.connection().execute(_UP_OF, {"names": list(names)})
        return {name: boot_id for name, boot_id, services in some if service in services}
    up = tx.info.get("hosts_up")
    if up is None:
        up = tx.info["hosts_up"] = tx.connection().execute(_UP).all()
    return {name: boot_id for name, boot_id, services in up if service in services}


def every(tx: Tx) -> list[HostRow]:
    """Return all hosts ever seen, by name."""
    return list(tx.scalars(select(HostRow).order_by(HostRow.name)))


def get(tx: Tx, name: str) -> HostRow:
    """Return one host."""
    row = tx.get(HostRow, name)
    if row is None:
        raise NotFound(f"Host {name} could not be found.")
    return row


class Hosts:
    """Keeps the rows true: what agents say goes in here."""

    def __init__(self, db: Database, bus: Bus, *, beat_s: float = 3.0, down_after_s: float = 12.0) -> None:
        self._db = db
        self._bus = bus
        self._beat_s = beat_s
        self._down_after = timedelta(seconds=down_after_s)
        self._seen: set[str] = set()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to watch.  Hosts get one full time-out to be heard again after the control plane was away."""
        await self._db.write(_give_time, clock.now())
        self._loop = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching; the rows stay."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def registered(self, registration: Registration) -> None:
        """Record what a host says of itself; it is up."""
        if await self._db.write(_register, registration, clock.now()):
            log.info("host %s is up", registration.name, extra={"host": registration.name})
            self._bus.publish(HOST_UP, registration.name)

    def seen(self, name: str) -> None:
        """Take note of a sign of life; written with the others at the next beat."""
        self._seen.add(name)

    async def gone(self, name: str) -> None:
        """Record that a host's agent has gone, without waiting for its silence."""
        self._seen.discard(name)
        await self._announce(await self._db.write(_mark_down, clock.now(), name))

    async def beat(self) -> None:
        """Write the signs of life and find who has been silent for too long."""
        seen, self._seen = sorted(self._seen), set()
        now = clock.now()
        came, went = await self._db.write(_beat, seen, now, now - self._down_after)
        for name in came:
            self._bus.publish(HOST_UP, name)
        await self._announce(went)

    async def _announce(self, went: list[str]) -> None:
        for name in went:
            log.warning("host %s is down: its agent is not heard", name, extra={"host": name})
            self._bus.publish(HOST_DOWN, name)

    async def _watch(self) -> None:
        while True:
            await clock.sleep(self._beat_s)
            try:
                await self.beat()
            except Exception:
                log.exception("the hosts' signs of life could not be written")


def _register(tx: Tx, registration: Registration, now: datetime) -> bool:
    """Return whether the host has come up or restarted, rather than only told new facts."""
    row = tx.get(HostRow, registration.name)
    if row is None:
        row = HostRow(name=registration.name, state=DOWN, boot_id="", registered_at=now, changed_at=now)
        tx.add(row)
    came = row.state != UP or row.boot_id != registration.boot_id
    if came:
        row.changed_at = now
    row.state, row.boot_id, row.last_seen_at = UP, registration.boot_id, now
    row.services, row.facts = registration.services, registration.facts
    return came


_host: Any = HostRow.__table__
_named = _host.c.name.in_(bindparam("names", expanding=True))
_HEARD = update(_host).where(_named).values(last_seen_at=bindparam("now"))
_BACK = select(_host.c.name).where(_named, _host.c.state == DOWN).order_by(_host.c.name)
_SILENT = select(_host.c.name).where(_host.c.state == UP, _host.c.last_seen_at < bindparam("silent_since"))
_SILENT = _SILENT.order_by(_host.c.name)
_TURN = update(_host).where(_named).values(state=bindparam("new_state"), changed_at=bindparam("now"))


def _beat(tx: Tx, seen: list[str], now: datetime, silent_since: datetime) -> tuple[list[str], list[str]]:
    came: list[str] = []
    connection = tx.connection()
    if seen:
        came = list(connection.scalars(_BACK, {"names": seen}))
        connection.execute(_HEARD, {"names": seen, "now": now})
        if came:
            connection.execute(_TURN, {"names": came, "new_state": UP, "now": now})
    went = list(connection.scalars(_SILENT, {"silent_since": silent_since}))
    if went:
        connection.execute(_TURN, {"names": went, "new_state": DOWN, "now": now})
    return came, went


def _mark_down(tx: Tx, now: datetime, name: str) -> list[str]:
    row = tx.get(HostRow, name)
    if row is None or row.state == DOWN:
        return []
    row.state, row.changed_at = DOWN, now
    return [name]


def _give_time(tx: Tx, now: datetime) -> None:
    tx.execute(update(HostRow).where(HostRow.state == UP).values(last_seen_at=now))
