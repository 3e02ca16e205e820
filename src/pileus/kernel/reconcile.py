"""Work without input: compare what is wanted with what is there, and settle the difference.

Rule: a reconciler asks the database and the hosts anew each time; a nudge only says "now", and may be lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock, ids
from pileus.kernel.bus.base import Bus
from pileus.kernel.config import Configuration, Settings
from pileus.kernel.db import Database, Row, Tx, after_commit
from pileus.kernel.operations.listeners import engine_of
from pileus.kernel.operations.owner import is_dead, new_owner

log = logging.getLogger("pileus.reconcile")

NUDGE = "reconcile.nudge"
"""The topic that carries nudges; the message is the reconciler's name."""
LONGEST_DELAY_S = 300.0
PAUSE_S = 0.1
HOLD_S = 0.01
"""How long a transaction that only deletes shall take: half of what anybody else may have to wait for it."""
FEWEST, MOST = 20, 1000
"""Rows of one such transaction; it begins with the fewest."""
S = TypeVar("S", bound=Settings)


class ReconcilerRow(Row):
    """Who runs a reconciler, and how its last run went."""

    __tablename__ = "reconcilers"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class World:
    """What a reconciler works with."""

    db: Database
    bus: Bus
    config: Configuration | None = None

    def settings(self, kind: type[S]) -> S:
        """Return a table of the cloud's settings; as it is by default where there is no cloud."""
        return kind() if self.config is None else self.config.get(kind)

    async def forget(self, work: Callable[..., int], *args: Any) -> None:
        """Run ``work(tx, *args, limit)``, which deletes some of what is old and returns how much, until none is left.

        With pauses, so that whoever else writes gets a turn; ``limit`` follows from how long it took before.
        """
        limit = FEWEST

        def timed(tx: Tx) -> tuple[int, float]:
            began = clock.monotonic()
            return work(tx, *args, limit), clock.monotonic() - began

        while True:
            done, took_s = await self.db.write(timed)
            if not done:
                return
            fits = int(done * HOLD_S / took_s) if took_s > 0 else MOST
            limit = min(max(fits, FEWEST), 2 * limit, MOST)
            await clock.sleep(PAUSE_S)


Body = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Declaration:
    """One reconciler."""

    name: str
    body: Body
    every_s: float
    timeout_s: float
    on: tuple[str, ...]


_declared: dict[str, Declaration] = {}
_runners: "WeakKeyDictionary[Engine, Reconcilers]" = WeakKeyDictionary()


def reconciler(name: str, *, every_s: float, timeout_s: float = 300, on: Iterable[str] = ()) -> Callable[[Body], Body]:
    """Declare ``async def body(world)`` to run every ``every_s`` seconds, give or take, and when nudged.

    ``on`` names bus topics that nudge it ("host.up").  A run longer than ``timeout_s`` is cut off.
    """

    def register(body: Body) -> Body:
        known = _declared.get(name)
        if known is not None and known.body.__module__ != body.__module__:
            raise ValueError(f"reconciler {name} is declared twice: in {known.body.__module__} and {body.__module__}")
        _declared[name] = Declaration(name, body, every_s, timeout_s, tuple(on))
        return body

    return register


def declared() -> Mapping[str, Declaration]:
    """Return every reconciler there is, by name."""
    return MappingProxyType(_declared)


def nudge(tx: Tx, name: str) -> None:
    """Have a reconciler run once this transaction has committed."""
    if name not in _declared:
        raise LookupError(f"no reconciler is called {name}")
    runner = _runners.get(engine_of(tx))
    if runner is not None:
        after_commit(tx, partial(runner.nudge, name))


class Reconcilers:
    """Runs the reconcilers whose leases it holds, each in its own task, never twice at once."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        *,
        names: Iterable[str] | None = None,
        owner: str | None = None,
        lease_s: float = 60.0,
        is_dead: Callable[[str], bool] = is_dead,
        config: Configuration | None = None,
    ) -> None:
        self.owner = owner or new_owner()
        self._world = World(db, bus, config)
        self._names = names
        self._lease = timedelta(seconds=lease_s)
        self._is_dead = is_dead
        self._nudges: dict[str, asyncio.Event] = {}
        self._held_until: dict[str, datetime] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Start them all; the first runs come at once."""
        db, bus = self._world.db, self._world.bus
        self._engine = await db.write(engine_of)
        _runners[self._engine] = self
        chosen = [_declared[name] for name in (_declared if self._names is None else self._names)]
        self._unsubscribe.append(bus.subscribe(NUDGE, self._wake))
        for one in chosen:
            self._nudges[one.name] = asyncio.Event()
            for topic in one.on:
                self._unsubscribe.append(bus.subscribe(topic, lambda _, name=one.name: self._wake(name)))
        self._tasks = [asyncio.create_task(self._serve(one), name=f"reconciler {one.name}") for one in chosen]

    async def stop(self) -> None:
        """Stop them and let go of their leases."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        if _runners.get(self._engine) is self:
            del _runners[self._engine]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._held_until:
            await self._world.db.write(give_up, list(self._held_until), self.owner)

    def nudge(self, name: str) -> None:
        """Have a reconciler run now; where another process holds it, at its next turn."""
        if name in self._held_until:
            self._wake(name)
        else:
            self._world.bus.publish(NUDGE, name)

    async def run_once(self, name: str) -> None:
        """Run one reconciler now, in the caller's task, letting its failure through: for tests and commands."""
        await _declared[name].body(self._world)

    def _wake(self, name: str) -> None:
        if name in self._nudges:
            self._nudges[name].set()

    async def _serve(self, one: Declaration) -> None:
        failures = 0
        while True:
            delay = one.every_s
            # Also where another process holds the lease: a nudge that is kept there would be looked at without end.
            self._nudges[one.name].clear()
            if await self._hold(one):
                failures = 0 if await self._run(one, failures) else failures + 1
                if failures:
                    delay = min(2.0**failures, LONGEST_DELAY_S)
            else:
                delay = self._lease.total_seconds() / 2
            await self._wait(one.name, ids.jitter(delay, 0.15))
            if failures:
                await clock.sleep(ids.jitter(min(failures, 5)))  # a nudge cuts the wait short, but not to nothing

    async def _wait(self, name: str, seconds: float) -> None:
        sleep = asyncio.ensure_future(clock.sleep(seconds))
        nudged = asyncio.ensure_future(self._nudges[name].wait())
        try:
            await asyncio.wait((sleep, nudged), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            nudged.cancel()

    async def _hold(self, one: Declaration) -> bool:
        """Make sure that the lease is ours for the run to come."""
        now = clock.now()
        held_until = self._held_until.get(one.name)
        if held_until is not None and held_until - now > self._lease / 2:
            return True
        until = now + self._lease + timedelta(seconds=one.every_s)
        try:
            got = await self._world.db.write(take, one.name, self.owner, now, until, self._is_dead)
        except Exception:
            log.exception("reconciler %s could not take its lease", one.name)
            return False
        if got:
            self._held_until[one.name] = until
        else:
            self._held_until.pop(one.name, None)
        return got

    async def _run(self, one: Declaration, failures: int) -> bool:
        began = clock.monotonic()
        keeping = asyncio.create_task(self._keep(one))
        try:
            async with asyncio.timeout(one.timeout_s):
                await one.body(self._world)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            log.exception("reconciler %s failed: %s", one.name, words, extra={"reconciler": one.name})
            await self._note(one.name, words, failures + 1)
            return False
        finally:
            keeping.cancel()
        took = clock.monotonic() - began
        log.debug("reconciler %s ran in %.3f s", one.name, took, extra={"reconciler": one.name, "duration_s": took})
        if failures:
            await self._note(one.name, None, 0)
        return True

    async def _keep(self, one: Declaration) -> None:
        """Keep the lease while a run takes long."""
        while True:
            await clock.sleep(self._lease.total_seconds() / 3)
            await self._hold(one)

    async def _note(self, name: str, error: str | None, failures: int) -> None:
        with contextlib.suppress(Exception):  # only a note for operators; the run itself has been logged
            await self._world.db.write(note, name, error, failures)


def take(tx: Tx, name: str, owner: str, now: datetime, until: datetime, is_dead: Callable[[str], bool]) -> bool:
    """Take or extend the lease of a reconciler unless somebody alive holds it."""
    row = tx.get(ReconcilerRow, name)
    if row is None:
        row = ReconcilerRow(name=name, failures=0)
        tx.add(row)
    elif row.lease_owner not in (None, owner):
        lapsed = row.lease_expires_at is None or row.lease_expires_at < now
        if not lapsed and not is_dead(row.lease_owner or ""):
            return False
    row.lease_owner, row.lease_expires_at, row.last_run_at = owner, until, now
    return True


def give_up(tx: Tx, names: list[str], owner: str) -> None:
    """Let go of leases."""
    for name in names:
        row = tx.get(ReconcilerRow, name)
        if row is not None and row.lease_owner == owner:
            row.lease_owner = row.lease_expires_at = None


def note(tx: Tx, name: str, error: str | None, failures: int) -> None:
    """Record how the last run went."""
    row = tx.get(ReconcilerRow, name)
    if row is not None:
        row.last_error, row.failures, row.last_run_at = error, failures, clock.now()
