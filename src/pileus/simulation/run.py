"""One simulation from its plan to its verdict.

Rule: two runs of one plan write the same trace; a violation ends a run at the line where it is seen.
"""

import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.errors import ApiError
from pileus.kernel.testing.memory import Store
from pileus.kernel.testing.virtual import Stalled, VirtualClock, VirtualLoop
from pileus.kernel.testing.wire import Weather
from pileus.simulation import networks, servers, storage
from pileus.simulation.audit import Auditor
from pileus.simulation.cloud import Cloud, Lost, copy_state, remove_state
from pileus.simulation.holdings import erring_ports, hosts_at_rest
from pileus.simulation.hosts import DriverBroke
from pileus.simulation.mischief import Mischief
from pileus.simulation.plan import Plan
from pileus.simulation.rows import rows_at_rest
from pileus.simulation.template import Template, make_template
from pileus.simulation.trace import Trace, Violation
from pileus.simulation.users import Belongings, User, Verb
from pileus.simulation.wipe import Wipe, left_over

VERBS = [*servers.VERBS, *storage.VERBS, *networks.VERBS]
LONG_S = 1500.0
"""Simulated seconds after which a cloud without operations must be at rest: twice as long as reconcilers wait."""
LONGEST_S = 9000.0
"""Simulated seconds after which a cloud that is left alone must be at rest."""
PROMPT_S = 420.0
"""Simulated seconds within which hosts must have been told of a change when nothing fails: in less time than it takes
until they are told everything anyway, and in more than a reconciler rests after failures."""
TOLD = ("tap on", "rules on", "DHCP on", "router on")
"""How sentences begin of what hosts are told of networks."""
BY_DIFFERENCE = ("rules on",)
"""And of what they are told by difference: one that is lost would be mended when they are told everything."""
EXPECTED = (ApiError, DriverBroke, TimeoutError)
"""Failures that may be logged with a traceback: they are made up here, or follow from what is."""
DEADLY = ("background task", "a task of")
"""How a message begins that tells of the end of something that should never end."""


class Result(msgspec.Struct):
    """What became of one simulation."""

    plan: Plan
    violation: str | None
    digest: str
    lines: list[str]
    told: int
    """How many lines there were; of long stories only the last are kept, unless all are asked for."""
    seen: dict[str, int]
    lifecycles: int
    simulated_s: float
    took_s: float
    looks: int


def working_folder(inside: str | None = None) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder in memory for the files of simulated clouds, ``inside`` another one if told."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="pileus-sim-", dir=inside or (memory if memory.is_dir() else None))


class World:
    """What simulations of one process share: the store with its compiled statements, and the cloud to begin with."""

    def __init__(self, inside: str | None = None) -> None:
        self._folder = working_folder(inside)
        self.folder = Path(self._folder.name)
        self.store = Store()
        self.template: Template = make_template(self.store, self.folder / "template")
        self._number = 0

    def run(self, plan: Plan, *, whole: bool = False, verbs: Sequence[tuple[str, int, Verb]] = VERBS) -> Result:
        """Run one simulation; ``whole`` keeps every line of its trace, ``verbs`` are what users do, with weights."""
        self._number += 1
        state = self.folder / "state"
        copy_state(self.template.state, state)
        self.store.restore(self.template.database)
        loop = VirtualLoop(plan.random("loop"))
        loop.jump(self.template.ends_at)
        trace = Trace(loop.time, whole=whole)
        before = clock.use(VirtualClock(loop))
        ids.seed(plan.seed)
        run = _Run(plan, loop, self.store, state, self.template, trace)
        run.verbs = verbs
        logging.getLogger("pileus").addHandler(run.log)
        began = time.process_time()
        try:
            violation = run.to_verdict()
        finally:
            logging.getLogger("pileus").removeHandler(run.log)
            logging.disable()  # what remains of processes cannot end in order, and says so
            loop.discard([*run.cloud.processes, loop.outside])
            logging.disable(logging.NOTSET)
            loop.close()
            ids.seed(None)
            clock.use(before)
            remove_state(state)
        return Result(
            plan=plan,
            violation=violation,
            digest=trace.digest,
            lines=trace.lines,
            told=trace.count,
            seen=dict(trace.seen),
            lifecycles=run.lifecycles,
            simulated_s=loop.time() - self.template.ends_at,
            took_s=time.process_time() - began,
            looks=run.auditor.looks,
        )

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


class _Log(logging.Handler):
    """Hears of defects that the product has noticed by itself."""

    def __init__(self, run: "_Run") -> None:
        super().__init__(logging.ERROR)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or (isinstance(error, EXPECTED) and not record.getMessage().startswith(DEADLY)):
            return
        where = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        self._run.violated(Violation(f"a defect was logged: {record.getMessage()}: {error!r}\n{where}"))


class _Run:
    """One simulation under way."""

    def __init__(
        self, plan: Plan, loop: VirtualLoop, store: Store, state: Path, template: Template, trace: Trace
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.template = template
        self.trace = trace
        self.cloud = Cloud(plan, loop, store, state, list(template.services), trace)
        self.auditor = Auditor(self.cloud, template, self.violated)
        self.cloud.committed = self.auditor.look
        self.cloud.broken = lambda error: self.violated(Violation(f"a process does not start: {error!r}"))
        for machine in self.cloud.machines.values():
            machine.violated = self.violated
        self.cloud.wire.weather = Weather(drop=plan.drop, delay=plan.delay, double=plan.double)
        self.mischief = Mischief(self.cloud)
        self.log = _Log(self)
        self.violation: Violation | None = None
        self.verbs: Sequence[tuple[str, int, Verb]] = VERBS
        self.lifecycles = 0
        belongings = [Belongings(project) for project in template.projects]
        self.users = [
            User(
                f"u{number}",
                self.cloud,
                template,
                belongings[number // 2 % len(belongings)],
                belongings[(number // 2 + 1) % len(belongings)],
                plan.random(f"user {number}"),
            )
            for number in range(plan.users)
        ]

    def violated(self, violation: Violation) -> None:
        """Remember the first violation and stop."""
        if self.violation is None:
            self.violation = violation
            self.trace.tell(f"VIOLATION: {violation}")
            self.loop.stop()

    def to_verdict(self) -> str | None:
        """Play, and return what was violated."""
        self.loop.set_exception_handler(self._unhandled)
        story = self.loop.spawn(self.loop.outside, self._story())
        story.add_done_callback(lambda _: self.loop.stop())
        try:
            self.loop.run_forever()
        except Stalled as stalled:
            wrong = "; ".join(rows_at_rest(self.cloud)[:6])
            self.violated(Violation(f"{stalled}: {wrong}"))
        if self.violation is None and story.done() and (error := story.exception()) is not None:
            if not isinstance(error, Violation):
                raise error
            self.violation = error
        self.trace.tell("end")
        return str(self.violation) if self.violation is not None else None

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, (*EXPECTED, Lost)):
            self.violated(Violation(f"nobody took an exception: {error!r} ({context.get('message')})"))

    async def _story(self) -> None:
        await self.cloud.start()
        self.trace.tell("the cloud is up")
        troubles = self.mischief.tasks()
        people = [
            asyncio.ensure_future(user.live(self.plan.steps, self.plan.pause_s, self.verbs)) for user in self.users
        ]
        await asyncio.gather(*people)
        await asyncio.gather(*troubles)
        self.mischief.end()
        self.cloud.calm()
        self.trace.tell("calm")
        await self._rest(set(), BY_DIFFERENCE)
        self._count_lifecycles()
        await self._wipe()
        self._count_lifecycles()

    async def _rest(self, excused: set[str], told: tuple[str, ...] = TOLD) -> None:
        """Wait until nothing is under way and nothing is wrong.

        Hosts must be told promptly of what sentences that begin with ``told`` are about, but for ``excused`` ports.
        """
        began = busy_at = self.loop.time()
        pause_s = 0.5
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 120.0)
            self.auditor.look_at_all()
            wrong = rows_at_rest(self.cloud)
            if not wrong:
                wrong = await hosts_at_rest(self.cloud)
            if not wrong:
                self.trace.tell("at rest")
                return
            under_way = any(sentence.startswith("operation ") for sentence in wrong)
            busy_at = self.loop.time() if under_way else busy_at
            if self.loop.time() - busy_at > PROMPT_S:
                late = [one for one in wrong if one.startswith(told) and not any(id in one for id in excused)]
                if late:
                    raise Violation("a host is told too late: " + "; ".join(late[:8]))
            if self.loop.time() - began > (LONGEST_S if under_way else LONG_S):
                raise Violation("not at rest: " + "; ".join(wrong[:8]))

    async def _wipe(self) -> None:
        """Have every project delete all it has: nothing may refuse to go or be left."""
        projects = {id(user.mine): user.mine for user in self.users}.values()
        wipes = [Wipe(self.cloud, belongings) for belongings in projects]
        excused = erring_ports(self.cloud)
        self.trace.tell("wiping")
        await asyncio.gather(*(wipe.servers() for wipe in wipes))
        await self._rest(excused)
        for kind in ("backups", "snapshots", "volumes"):
            await asyncio.gather(*(wipe.volumes(kind) for wipe in wipes))
            await self._rest(excused)
        await asyncio.gather(*(wipe.rest() for wipe in wipes))
        await self._rest(excused)
        left = left_over(self.cloud)
        if left:
            raise Violation("left after everything was deleted: " + "; ".join(left))

    def _count_lifecycles(self) -> None:
        query = "select count(*) from compute_servers where deleted_at is not null"
        self.lifecycles = self.cloud.store.connection.execute(query).fetchone()[0]


def merged(results: list[Result]) -> Counter[str]:
    """Return what all of them have exercised."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.seen)
    return total
