"""Virtual time: an event loop that jumps to its next timer, and processes that can be killed, frozen and misdated.

Rule: nothing here waits, and nothing depends on anything but the seed: one thread, no sockets, no real clock.

A *process* is whatever was started by ``VirtualLoop.spawn``, with all that it starts itself: every callback knows its
process by its context.  A killed process never runs another line, not even its ``finally`` blocks: as after kill -9.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When every simulation begins."""


class Stalled(Exception):
    """Nothing is left to run and nobody waits for the time: what the simulation waits for will never come."""


class Process:
    """One operating system process of the simulated cloud, with its machine's clock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.owner = name
        """The name under which it holds leases."""
        self.alive = True
        self.frozen = False
        self.clock_ahead_s = 0.0
        """How far this machine's clock is ahead of the truth."""
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self._most_tasks = 64
        self.fuse = -1
        """How many more callbacks it runs until ``burnt`` is told."""
        self.burnt: asyncio.Future[None] | None = None

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Hold on to a task: one that is dropped would run its ``finally`` blocks, which a dead process cannot."""
        self.tasks.append(task)
        if len(self.tasks) > self._most_tasks:
            self.tasks = [task for task in self.tasks if not task.done()]
            self._most_tasks = max(64, 2 * len(self.tasks))


_process: ContextVar[Process] = ContextVar("pileus_simulated_process")


def this_process() -> Process | None:
    """Return the simulated process that the present line runs in."""
    return _process.get(None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs ready callbacks of one process after the other, chosen by ``random``; each process's own stay in order."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._numbers = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._crowd: list[Process] = []
        """Processes with something ready, in the order in which they became so."""
        self.outside = Process("outside")
        self.steps = 0
        self.until: float | None = None
        """The time at which the simulation has taken too long."""
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now

    def jump(self, to: float) -> None:
        """Begin at another time."""
        self._now = to

    def spawn(
        self, process: Process, work: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> "asyncio.Task[Any]":
        """Run ``work`` in a process."""
        context = copy_context()
        context.run(_process.set, process)
        return self.create_task(work, name=name or process.name, context=context)

    def call_in(self, process: Process, delay_s: float, callback: Callable[[], object]) -> None:
        """Have another process run ``callback`` after a while."""
        context = copy_context()
        context.run(_process.set, process)
        self.call_at(self._now + delay_s, callback, context=context)

    def kill(self, process: Process) -> None:
        """End a process between two lines of it."""
        process.alive = False
        process.ready.clear()
        if process in self._crowd:
            self._crowd.remove(process)

    def burn(self, process: Process, callbacks: int) -> "asyncio.Future[None]":
        """Return a future that is done when a process has run so many more callbacks."""
        process.fuse, process.burnt = callbacks, self.create_future()
        return process.burnt

    def freeze(self, process: Process) -> None:
        """Stop a process without its noticing; timers that end meanwhile fire when it goes on."""
        process.frozen = True
        if process in self._crowd:
            self._crowd.remove(process)

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on."""
        process.frozen = False
        if process.ready and process.alive:
            self._crowd.append(process)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._make_ready(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True
        self._numbers += 1
        heapq.heappush(self._timers, (when, self._numbers, timer))
        return timer

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do blocking work at once; its end is noticed a moment later, as a thread's would be."""
        future = self.create_future()
        try:
            result, error = func(*args), None
        except Exception as caught:
            result, error = None, caught

        def tell() -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(result)

        self.call_at(self._now + self._random.random() * 0.002, tell)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if process_alive():
            super().call_exception_handler(context)

    def discard(self, processes: "list[Process]") -> None:
        """Take the remains of processes apart without letting them do anything; the loop cannot be used after."""
        self._timers.clear()
        silent: Any = self
        silent.call_soon = silent.call_soon_threadsafe = silent.call_at = _nothing
        for process in processes:
            process.alive = False
            process.ready.clear()
            tasks: list[Any] = process.tasks
            for task in tasks:
                task._log_destroy_pending = False
                with suppress(BaseException):
                    task.get_coro().close()
            process.tasks.clear()

    def _make_ready(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(_process) or self.outside
        if not process.alive:
            return
        if not process.ready and not process.frozen:
            self._crowd.append(process)
        process.ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers stay until their time comes: taking them out would cost more."""

    def _run_once(self) -> None:
        crowd = self._crowd
        if not crowd:
            self._advance()
            if not crowd:
                return
        process = crowd[0] if len(crowd) == 1 else crowd[int(self._random.random() * len(crowd))]
        ready = process.ready
        # A few at a time: switching after every callback would tell no more and cost twice as much.
        for _ in range(min(len(ready), 1 + int(self._random.random() * 4))):
            handle = ready.popleft()
            if not handle._cancelled:
                self.steps += 1
                handle._run()
                if process.fuse > 0:
                    process.fuse -= 1
                    if process.fuse == 0:
                        process.fuse = -1
                        if process.burnt is not None and not process.burnt.done():
                            process.burnt.set_result(None)
                            break
            if not process.alive or process.frozen or not ready:
                break
        if not ready and process in crowd:
            crowd.remove(process)

    def _advance(self) -> None:
        """Jump to the next timer."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stalled("nothing is ready and no timer is set")
        self._now = max(self._now, timers[0][0])
        if self.until is not None and self._now > self.until:
            raise Stalled(f"not at rest after {self.until:.0f} simulated seconds")
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            if not timer._cancelled:
                self._make_ready(timer)


def process_alive() -> bool:
    """Tell whether the present line runs in a process that has not been killed."""
    process = _process.get(None)
    return process is None or process.alive


class VirtualClock:
    """The clock of each process: the loop's time, ahead or behind as the process's machine is."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        process = _process.get(None)
        ahead_s = 0.0 if process is None else process.clock_ahead_s
        return EPOCH + timedelta(seconds=self._loop.time() + ahead_s)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, context: Context | None = None) -> "asyncio.Task[Any]":
    task = asyncio.Task(coro, loop=loop, context=context)
    process = (context.get(_process) if context is not None else None) or _process.get(None)
    if process is None:
        assert isinstance(loop, VirtualLoop)
        process = loop.outside
    process.keep(task)
    return task


def _nothing(*_args: Any, **_options: Any) -> Any:
    return None
