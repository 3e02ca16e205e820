"""Interrupt an operation at every one of its events, and see what becomes of it.

Rule: the events are found by running, not listed by hand, so a step added tomorrow is covered tomorrow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from pileus.kernel.bus.base import Answer, Bus, Envelope
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.db import Database
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import Worker, alarms

PATIENCE_S = 30.0


class Crash(BaseException):
    """Stands for ``kill -9`` of the worker: its run ends without another word."""


class Injected(Conflict):
    """A step's failure, made up by a test."""


class World(Protocol):
    """What is interrupted: a ``Runtime``, or anything with the same four attributes."""

    db: Database
    worker: Worker

    @property
    def bus(self) -> Bus: ...


W = TypeVar("W", bound=World)


@dataclass(frozen=True)
class Case:
    """One interruption: ``how`` is "crash", "fail", "crash while undoing", "repeat" or "none"."""

    how: str
    kind: str = ""
    event: str = ""

    def __str__(self) -> str:
        return f"{self.how} at {self.kind} {self.event!r}" if self.event else self.how


class Saboteur:
    """Watches a worker's operations and strikes once, or at each try of one event."""

    def __init__(self, case: Case, last: str = "") -> None:
        self.case = case
        self.seen: list[tuple[str, str]] = []
        self.crashed = asyncio.Event()
        self._last = last

    def __call__(self, event: str, op: Any) -> None:
        self.seen.append((op.kind, event))
        case = self.case
        if case.how == "crash while undoing" and (op.kind, event) == (case.kind, self._last):
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
) -> list[Case]:
    """Do ``act`` on a new world for every interruption of the operations ``kinds``; ``check`` each world at rest.

    ``make()`` gives a fresh world as an async context manager.  Every event is met by a crash of the worker (the
    operation must succeed all the same), by a failure (nothing may be left), every undo by a crash; and once
    every command is carried out twice.  Returns the cases, all of which have passed.
    """
    chosen = set(kinds)
    clean = await _run(make, act, check, Case("none"))
    events = [(kind, event) for kind, event in dict.fromkeys(clean) if kind in chosen]
    if missing := chosen - {kind for kind, _ in events}:
        raise AssertionError(f"the act ran no operation of {', '.join(sorted(missing))}")
    cases = [Case("repeat")]
    cases += [Case("crash", kind, event) for kind, event in events]
    failing = [
        (kind, event) for kind, event in events if event.startswith(("before ", "after ")) and event != "after finish"
    ]
    cases += [Case("fail", kind, event) for kind, event in failing]
    for case in cases:
        await _run(make, act, check, case)
    for kind in sorted(chosen):
        last = [event for other, event in failing if other == kind][-1]
        seen = await _run(make, act, check, Case("fail", kind, last))
        for undo in dict.fromkeys(event for other, event in seen if other == kind and event.startswith("undo")):
            cases.append(Case("crash while undoing", kind, undo))
            await _run(make, act, check, cases[-1], last)
    return cases


async def _run(
    make: Callable[[], AbstractAsyncContextManager[W]],
    act: Callable[[W], Awaitable[object]],
    check: Callable[[W, Case], Awaitable[object]],
    case: Case,
    last: str = "",
) -> list[tuple[str, str]]:
    async with make() as world:
        saboteur = Saboteur(case, last)
        world.worker.observe = saboteur
        if case.how == "repeat" and isinstance(world.bus, MemoryBus):
            world.bus.deliver = twice
        doing = asyncio.ensure_future(_act(act, world))
        await settle(world, saboteur, doing)
        await doing
        try:
            await check(world, case)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error
        return saboteur.seen


async def _act(act: Callable[[W], Awaitable[object]], world: W) -> None:
    await act(world)


async def settle(world: World, saboteur: Saboteur, doing: "asyncio.Future[Any]") -> None:
    """Wait until ``doing`` is done and nothing is live, putting a new worker in the place of one that crashed."""
    async with asyncio.timeout(PATIENCE_S):
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


async def twice(host: str, envelope: Envelope, obey: Callable[[Envelope], Awaitable[Answer]]) -> Answer:
    """Carry a command out two times, past the host's own memory of repeats: drivers must not mind."""
    caller = msgspec.structs.replace(envelope.caller, step=f"{envelope.caller.step} (first)")
    await obey(msgspec.structs.replace(envelope, caller=caller))
    return await obey(envelope)
