"""The worker: claims operations and runs them, side by side on one event loop.

Rule: whatever it holds in memory can be lost; the rows say what is left to do.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine

from pileus.kernel import clock, ids, telemetry
from pileus.kernel.agent.hosts import HOST_UP
from pileus.kernel.bus.base import Bus
from pileus.kernel.db import Database
from pileus.kernel.operations import claims
from pileus.kernel.operations.body import Observer
from pileus.kernel.operations.execution import Execution, no_observer
from pileus.kernel.operations.listeners import Claimed, engine_of, listen, unlisten
from pileus.kernel.operations.owner import is_dead, new_owner

log = logging.getLogger("pileus.operations")

MOST_RESTING = 40
"""How many times its limit a worker holds, counting operations that wait."""
MOST_WAITED_FOR = 10_000
"""How many a worker remembers that are waited for: some end in other processes, and polling finds their followers."""
WAKE = "operations.ready"
"""The topic on which processes without a worker say that there is something to do."""


class Worker:
    """Runs operations of one database; several may share it."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        *,
        owner: str | None = None,
        limit: int = 256,
        lease_s: float = 30.0,
        poll_s: float = 5.0,
        observe: Observer = no_observer,
        is_dead: Callable[[str], bool] = is_dead,
    ) -> None:
        self.owner = owner or new_owner()
        self._db = db
        self._bus = bus
        self._limit = limit
        self._lease = timedelta(seconds=lease_s)
        self._poll_s = poll_s
        self.observe = observe
        """Hears of every event of every operation: the seam for tests and simulation."""
        self._is_dead = is_dead
        self._running: dict[str, tuple[Execution, asyncio.Task[None]]] = {}
        self._waited_for: set[str] = set()
        """Operations after whose end another one's turn may have come."""
        self._engine: Engine | None = None
        self._look = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._accepting = False
        self._more = False
        self._resting = 0
        self._roused = False
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Take over what dead workers of this machine have left, then serve."""
        self._engine = await self._db.write(engine_of)
        listen(self._engine, self)
        self._unsubscribe = [
            self._bus.subscribe(WAKE, lambda _: self._look.set()),
            self._bus.subscribe(HOST_UP, lambda _: self._host_came()),
        ]
        self._accepting = True
        self._look.set()
        self._loops = [asyncio.create_task(self._poll()), asyncio.create_task(self._keep_leases())]

    async def stop(self) -> None:
        """Stop at the next step and let go of all leases, so that another worker can go on at once."""
        held = list(self._running)
        await self.kill()
        if held:
            await self._db.write(claims.give_up, held, self.owner)

    async def kill(self) -> None:
        """End as a killed process does, letting go of nothing: for tests and simulation."""
        self._accepting = False
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        if self._engine is not None:
            unlisten(self._engine, self)
        tasks = [*self._loops, *(task for _, task in self._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Tell whether this worker runs nothing at this moment."""
        return not self._running

    def offer(self, now: datetime) -> tuple[str, datetime] | None:
        if not self._accepting or self._room <= 0:
            return None
        return self.owner, now + self._lease

    def begun(self, claimed: Claimed) -> None:
        if self._accepting:
            self._run(claimed)

    def waiting(self, operation_id: str, waits_for: Sequence[str]) -> None:
        if len(self._waited_for) > MOST_WAITED_FOR:
            self._waited_for.clear()
        self._waited_for.update(waits_for)
        if not any(id in self._running for id in waits_for):
            self._more = True
            self._look.set()

    def cancelled(self, operation_id: str) -> None:
        if operation_id in self._running:
            self._running[operation_id][0].op.turn_back()
        else:
            self._look.set()

    def look(self) -> None:
        """Look for work now."""
        self._look.set()

    @property
    def _room(self) -> int:
        """How many more operations may run: those that only wait take no place, but there is an end to them too."""
        running = len(self._running)
        return min(self._limit - (running - self._resting), self._limit * MOST_RESTING - running)

    def _rest(self, change: int) -> None:
        self._resting += change
        if change > 0 and self._more:
            self._look.set()

    def _host_came(self) -> None:
        """Try again what may have waited for this host, stuck undos included."""
        for execution, _ in self._running.values():
            execution.op.wake()
        self._roused = True
        self._look.set()

    def _run(self, claimed: Claimed) -> None:
        execution = Execution(self._db, self._bus, claimed, self.observe)
        task = asyncio.create_task(self._see_through(execution), name=f"operation {claimed.kind} {claimed.id}")
        execution.op.resting = self._rest
        task.add_done_callback(_report)
        self._running[claimed.id] = execution, task
        telemetry.LIVE.inc()

    async def _see_through(self, execution: Execution) -> None:
        id = execution.claimed.id
        try:
            await execution.run()
        except Exception:
            log.exception("operation %s was left for later", id, extra={"operation_id": id})
        finally:
            self._running.pop(id, None)
            telemetry.LIVE.dec()
            if self._more or id in self._waited_for:
                self._waited_for.discard(id)
                self._look.set()

    async def _poll(self) -> None:
        """Look for work when told to, and seldom without."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ids.jitter(self._poll_s)):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._claim()
            except Exception:
                log.exception("the worker could not look for operations; it tries again in %s s", self._poll_s)

    async def _claim(self) -> None:
        room = self._room
        if room <= 0:
            self._more = True
            return
        if self._roused:
            self._roused = False
            await self._db.write(claims.rouse, clock.now())
        owners = await self._db.read(claims.find_owners)
        dead = [owner for owner in owners if owner != self.owner and self._is_dead(owner)]
        now = clock.now()
        ready = await self._db.read(claims.find_ready, now, dead, room)
        self._more = len(ready) == room
        ready = [(id, epoch) for id, epoch in ready if id not in self._running]
        if ready:
            for claimed in await self._db.write(claims.claim, ready, self.owner, now + self._lease):
                self._waited_for.add(claimed.id)  # begun before a crash, or elsewhere: who waits for it is not known
                self._run(claimed)

    async def _keep_leases(self) -> None:
        """Extend the leases of whatever runs; stop what has been lost, turn back what has been told to."""
        while True:
            await clock.sleep(self._lease.total_seconds() / 3)
            held = list(self._running)
            if not held:
                continue
            until = clock.now() + self._lease
            try:
                kept = await self._db.write(claims.extend, held, self.owner, until)
            except Exception:
                log.exception("leases could not be extended; they last until %s", until - self._lease)
                continue
            for id in held:
                if id not in self._running:
                    continue
                execution, task = self._running[id]
                if id not in kept:
                    task.cancel()
                    continue
                execution.op.lease_expires_at = until
                if not kept[id]:
                    execution.op.turn_back()


def _report(task: "asyncio.Task[None]") -> None:
    """Say so when a run was torn off; whoever claims the operation next goes on with it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s was torn off by %r", task.get_name(), error)
