"""Interrupt an operation at every one of its events, and see what becomes of it.

Rule: the events are found by running, not listed by hand, so a step added tomorrow is covered tomorrow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from zlib import crc32

from pileus.kernel.bus.base import Bus
from pileus.kernel.db import Database
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import Worker, alarms
from pileus.kernel.testing.commands import MOMENTS, Commands

PATIENCE_S = 30.0
TRIES = 6
"""How often an act is done until it goes the way that is to be interrupted."""


class Crash(BaseException):
    """Stands for ``kill -9`` of the worker: its run ends without another word."""


class Injected(Conflict):
    """A step's failure, made up by a test."""


class World(Protocol):
    """What is interrupted: a ``Runtime``, or anything with the same three attributes."""

    db: Database
    worker: Worker

    @property
    def bus(self) -> Bus: ...


W = TypeVar("W", bound=World)


@dataclass(frozen=True)
class Case:
    """One interruption: ``how`` is "crash", "fail", "crash while undoing", "kill agent", "kill agent while undoing",
    "repeat" or "none"."""

    how: str
    kind: str = ""
    event: str = ""

    def __str__(self) -> str:
        return f"{self.how} at {self.kind} {self.event!r}" if self.event else self.how

    @property
    def undone(self) -> bool:
        """Tell whether the operation is to end undone; otherwise it is to end as if nothing had happened."""
        return self.how == "fail" or self.how.endswith("while undoing")


class Saboteur:
    """Watches a worker's operations and strikes once, or at each try of one event."""

    def __init__(self, case: Case, last: str = "") -> None:
        self.case = case
        self.seen: list[tuple[str, str]] = []
        self.kinds: dict[str, str] = {}
        self.crashed = asyncio.Event()
        self._last = last

    def __call__(self, event: str, op: Any) -> None:
        self.seen.append((op.kind, event))
        self.kinds[op.id] = op.kind
        case = self.case
        if case.how.endswith("while undoing") and (op.kind, event) == (case.kind, self._last):
            raise Injected(f"injected at {event}")
        if (op.kind, event) != (case.kind, case.event):
            return
        if case.how.startswith("crash") and not self.crashed.is_set():
            self.crashed.set()
            raise Crash
        if case.how == "fail":
            raise Injected(f"injected at {event}")


async def walk(
    make: Callable[[], AbstractAsyncContextManager[W]],
    act: Callable[[W], Awaitable[object]],
    check: Callable[[W, Case], Awaitable[object]],
    kinds: Iterable[str],
    restart_agent: Callable[[W, str], Awaitable[None]] | None = None,
    patience_s: float = PATIENCE_S,
    *,
    drivers_take_time: bool = False,
    one_in: int = 1,
) -> list[Case]:
    """Do ``act`` on a new world for every interruption of the operations ``kinds``; ``check`` each world at rest.

    ``make()`` gives a fresh world as an async context manager.  Every event is met by a crash of the worker (the
    operation must succeed all the same), by a failure (nothing may be left), every undo by a crash; and once
    every command is carried out twice.  With ``restart_agent(world, host)``, which kills a host's agent and puts a
    new one in its place, each command is also met by that: before it was begun, in the middle, and when it was done
    but not answered; where ``drivers_take_time`` the middle is a share of the time that the undisturbed command took,
    another share for each command, the same in each walk.  Returns the cases, all of which have passed; those that
    never came to pass, since the act went another way each time, are left out, and must be few.  With ``one_in`` only
    so many are taken, always the same ones.
    """
    chosen = set(kinds)
    walker = Walker(make, act, check, restart_agent, patience_s, drivers_take_time)
    clean, commands = await walker.run(Case("none")) or ([], [])
    events = [(kind, event) for kind, event in dict.fromkeys(clean) if kind in chosen]
    if missing := chosen - {kind for kind, _ in events}:
        raise AssertionError(f"the act ran no operation of {', '.join(sorted(missing))}")
    cases = [Case("repeat")]
    cases += [Case("crash", kind, event) for kind, event in events]
    failing = [
        (kind, event) for kind, event in events if event.startswith(("before ", "after ")) and event != "after finish"
    ]
    cases += [Case("fail", kind, event) for kind, event in failing]
    if restart_agent is not None:
        cases += _agent_cases("kill agent", [(kind, step) for kind, step in commands if kind in chosen])
    cases = [case for case in cases if _drawn(case, one_in)]
    passed = [case for case in cases if await walker.run(case) is not None]
    for kind in sorted(chosen):
        last = [event for other, event in failing if other == kind][-1]
        seen, sent = await walker.run(Case("fail", kind, last)) or ([], [])
        undos = dict.fromkeys(event for other, event in seen if other == kind and event.startswith("undo"))
        undoing = [Case("crash while undoing", kind, undo) for undo in undos]
        if restart_agent is not None:
            told = [(other, step) for other, step in sent if other == kind and step.startswith("undo ")]
            undoing += _agent_cases("kill agent while undoing", told)
        undoing = [case for case in undoing if _drawn(case, one_in)]
        cases += undoing
        passed += [case for case in undoing if await walker.run(case, last) is not None]
    unmet = [str(case) for case in cases if case not in passed]
    if len(unmet) * 10 > len(cases):
        raise AssertionError(f"these never came to pass: {'; '.join(unmet)}")
    return passed


def _drawn(case: Case, one_in: int) -> bool:
    return crc32(str(case).encode()) % one_in == 0


def _agent_cases(how: str, commands: Iterable[tuple[str, str]]) -> list[Case]:
    return [Case(how, kind, f"{moment} {step}") for kind, step in dict.fromkeys(commands) for moment in MOMENTS]


@dataclass(frozen=True)
class Walker:
    """Runs one case after the other."""

    make: Callable[[], AbstractAsyncContextManager[Any]]
    act: Callable[[Any], Awaitable[object]]
    check: Callable[[Any, Case], Awaitable[object]]
    restart_agent: Callable[[Any, str], Awaitable[None]] | None
    patience_s: float
    drivers_take_time: bool = False
    took_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """How long each command has taken at least."""

    async def run(self, case: Case, last: str = "") -> tuple[list[tuple[str, str]], list[tuple[str, str]]] | None:
        """Return the events and the commands that came to pass, as (operation's kind, event or step).

        An act may go several ways (a volume lands on its server's host, or on another): it is done again until the
        interruption has come to pass, and None is returned if it never has.
        """
        for _ in range(TRIES):
            struck, seen, sent = await self._once(case, last)
            if struck:
                return seen, sent
        return None

    async def _once(self, case: Case, last: str) -> tuple[bool, list[tuple[str, str]], list[tuple[str, str]]]:
        async with self.make() as world:
            saboteur = Saboteur(case, last)
            world.worker.observe = saboteur
            with Commands(world.bus, saboteur.kinds) as commands:
                commands.twice = case.how == "repeat"
                if case.how.startswith("kill agent") and (restart := self.restart_agent) is not None:
                    moment, _, step = case.event.partition(" ")
                    commands.interrupt(case.kind, step, moment, lambda host: restart(world, host))
                    commands.begun_s = self._middle_s(case.kind, step)
                doing = asyncio.ensure_future(_act(self.act, world))
                try:
                    await settle(world, saboteur, doing, self.patience_s)
                except TimeoutError as error:
                    live = await world.db.read(_still_live)
                    raise AssertionError(f"{case}: still at work after {self.patience_s:.0f} s: {live}") from error
                await doing
            try:
                await self.check(world, case)
            except AssertionError as error:
                raise AssertionError(f"{case}: {error}") from error
            for sent, took_s in commands.took_s.items():
                self.took_s[sent] = min(took_s, self.took_s.get(sent, took_s))
            struck = not case.event or commands.struck or (case.kind, case.event) in saboteur.seen
            return struck, saboteur.seen, commands.sent

    def _middle_s(self, kind: str, step: str) -> float:
        if not self.drivers_take_time:
            return 0.0
        return self.took_s.get((kind, step), 0.0) * (crc32(f"{kind} {step}".encode()) % 9 + 1) / 10


def _still_live(tx: Any) -> list[str]:
    return [f"{row.kind} of {row.resource} is {row.state}" for row in alarms.list_operations(tx)]


async def _act(act: Callable[[W], Awaitable[object]], world: W) -> None:
    await act(world)


async def settle(
    world: World, saboteur: Saboteur, doing: "asyncio.Future[Any]", patience_s: float = PATIENCE_S
) -> None:
    """Wait until ``doing`` is done and nothing is live, putting a new worker in the place of one that crashed."""
    async with asyncio.timeout(patience_s):
        replaced = False
        while True:
            if saboteur.crashed.is_set() and not replaced:
                replaced = True
                await world.worker.kill()
                world.worker = Worker(world.db, world.bus, observe=saboteur, poll_s=0.05, is_dead=lambda owner: True)
                await world.worker.start()
            if doing.done() and not await world.db.read(alarms.list_operations):
                return
            await asyncio.sleep(0.005)
