"""What the body of an operation can do.

Rule: every effect is a step with a name of its own; code between steps depends only on the input and on step
results, because after a crash the body is run again from the top and finished steps return what they returned.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar
from uuid import UUID, uuid5

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.bus.base import Bus, Caller, Unreachable
from pileus.kernel.db import Database
from pileus.kernel.errors import ApiError, Conflict, Unavailable
from pileus.kernel.operations.begin import outcome
from pileus.kernel.operations.journal import Journal, Step, Unwind
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.model import DONE, FAILED, SUCCEEDED, UNDOING
from pileus.kernel.operations.patience import PASSING, GaveUp, insist, sentence
from pileus.kernel.operations.results import decode, encoder, result_type
from pileus.kernel.operations.scopes import Frame, Scope, Undo, current

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Observer = Callable[[str, "Operation"], None]

PATIENCE_S = 30.0
"""How long one sending of a command waits for its answer before it is repeated (a repeat joins the first)."""
LEASE_MARGIN_S = 2.0
"""A command expires this long before its sender's lease, for clocks that differ."""
UNDO_PATIENCE_S = 300.0
"""How long an undo is tried before the operation raises an alarm."""


class DeadlinePassed(ApiError):
    """The operation took longer than it may."""


class UndoFailed(ApiError):
    """A step could not be taken back for as long as it was tried."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"step {step!r} cannot be undone: {reason}")
        self.step = step


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """How an attempt ended: ``value`` if ``error`` is ``None``, else why it failed and was undone."""

    value: T | None = None
    error: str | None = None


class Operation:
    """One run of an operation's body; see ``docs/kernel-operations.md``."""

    def __init__(self, db: Database, bus: Bus, claimed: Claimed, journal: Journal, observe: Observer) -> None:
        self.id = claimed.id
        self.kind = claimed.kind
        self.resource = claimed.resource
        self.request_id = claimed.request_id
        self.user_id = claimed.user_id
        self.project_id = claimed.project_id
        self.deadline = claimed.deadline
        self.lease_expires_at = claimed.lease_expires_at
        self.undo_patience_s = UNDO_PATIENCE_S
        self.db = db
        self.bus = bus
        self.journal = journal
        self.concluded = False
        self.frame = Frame(None, journal.undoing)
        self.scope = Scope(self.frame)
        self._turned_back = asyncio.Event()
        self._calls: set[asyncio.Timeout] = set()
        self._observe = observe
        self._names: set[str] = set()

    def uuid(self, key: str) -> str:
        """Return the same fresh id for the same key however often the operation is resumed."""
        return str(uuid5(UUID(self.id), key))

    def turn_back(self) -> None:
        """Take the way forward no further than the step under way; stop waiting for hosts and pauses now."""
        self._turned_back.set()
        while self._calls:
            self._calls.pop().reschedule(0)

    async def commit(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        undo: Callable[..., Any] | None = None,
    ) -> T:
        """Run ``fn(tx, *args)`` in the transaction that records the step: exactly once.

        Returns what ``fn`` returns, brought through JSON by its declared return type.  ``undo(tx, *args)`` takes
        it back if the operation fails later.
        """
        returns = result_type(fn)
        step = self._recall(name)
        if step.state != DONE:
            self._enter(name)

            async def once() -> None:
                known = self.journal.steps.get(name)
                if known is None or known.state != DONE:
                    await self.journal.commit(step, fn, args, encoder(name))

            with self._failing():
                self._observe(f"before {name}", self)
                await insist(once, self.deadline, pause=self._pause, failed=self._look_again)
        if undo is not None:
            self._register(name, lambda op, step: op.journal.undo(step, undo, args))
        if step.state != DONE:
            with self._failing():
                self._observe(f"after {name}", self)
        return decode(self.journal.steps[name].result, returns)

    async def command(
        self,
        name: str,
        host: str,
        command: Command[R],
        *,
        undo: Command[Any] | None = None,
        timeout_s: float | None = None,
    ) -> R:
        """Have ``host`` carry out ``command``, however often it takes, and return its answer.

        A host that is not there is tried again until ``timeout_s`` (all in all) or the operation's deadline;
        any other refusal fails the operation.  ``undo`` is sent to the same host if the operation fails later,
        also when nobody knows whether ``command`` arrived: it says "ensure gone".
        """
        return await self._effect(
            name,
            lambda until: self._call(name, host, command, until),
            None if undo is None else lambda until: self._call(f"undo {name}", host, undo, until),
            type(command).returns,
            timeout_s,
        )

    async def step(
        self,
        name: str,
        fn: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        undo: Callable[..., Awaitable[Any]] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """Run any other idempotent effect, ``await fn(*args)``; it may run more than once."""
        return await self._effect(
            name,
            lambda until: _bounded(name, fn(*args), until),
            None if undo is None else lambda until: _bounded(f"undo {name}", undo(*args), until),
            result_type(fn),
            timeout_s,
        )

    async def wait(self, name: str, operation_id: str) -> None:
        """Wait until another operation has succeeded; fail with its reason if it has not."""

        async def ended() -> None:
            delay = 0.02
            while (end := await self.db.read(outcome, operation_id)) is None:
                await self._pause(delay)
                delay = min(delay * 1.5, 1.0)
            if end[0] != SUCCEEDED:
                raise Conflict(end[1] or f"operation {operation_id} failed")

        await self.step(name, ended)

    async def together(self, *branches: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run steps, or coroutines made of steps, side by side; returns their results in order.

        When one fails, the others finish the step they are in.  The undos run last branch first.
        """
        group = [Scope(current.get().frame) for _ in branches]
        current.get().undos.append([*group])
        tasks = [asyncio.create_task(_within(scope, branch)) for scope, branch in zip(group, branches, strict=True)]
        waiting = set(tasks)
        try:
            while waiting:
                finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    error = task.exception()
                    if error is not None and not isinstance(error, Exception | Unwind):
                        raise error
        finally:
            for task in waiting:
                task.cancel()
        failures = [error for task in tasks if (error := task.exception()) is not None]
        for error in sorted(failures, key=lambda error: isinstance(error, Unwind)):
            raise error
        return [task.result() for task in tasks]

    async def attempt(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Outcome[T]:
        """Run ``await body(*args)`` so that its failure undoes only its own steps and is returned, not raised.

        For a choice among alternatives: the next host when the first refuses.  The names of the steps inside
        need the alternative in them.
        """
        step = self._recall(name)
        if step.state == FAILED:
            return Outcome(error=step.error)
        outer = current.get()
        frame = Frame(outer.frame, step.state == UNDOING)
        scope = Scope(frame)
        outer.undos.append([scope])
        token = current.set(scope)
        try:
            value = await body(*args)
            if frame.failure is not None:
                raise frame.failure
            return Outcome(value)
        except (Exception, Unwind) as error:
            told_to = isinstance(error, Unwind) and frame.failure is None and not frame.undoing
            if told_to or outer.frame.closed or isinstance(error, DeadlinePassed):
                raise
            reason = step.error or "failed" if frame.undoing else sentence(frame.failure or error)
            await self._undo_attempt(step, scope, reason)
            return Outcome(error=reason)
        finally:
            current.reset(token)

    async def progress(self, text: str) -> None:
        """Tell the user how far it has come."""
        if not current.get().frame.closed:
            await self.journal.progress(text)

    async def finish(self, fn: Callable[..., Any], *args: Any) -> None:
        """Conclude the operation together with its last database step, ``fn(tx, *args)``; nothing may follow."""
        self._enter("finish")

        async def once() -> None:
            await self.journal.succeed(fn, args)

        with self._failing():
            self._observe("before finish", self)
            await insist(once, self.deadline, pause=self._pause)
        self.concluded = True
        self._observe("after finish", self)

    async def undo_all(self, scope: Scope) -> None:
        """Undo every step of ``scope`` that was begun, last first; raises ``UndoFailed`` at the first hopeless one."""
        for undo in scope.last_first():
            step = self.journal.steps.get(undo.step) or self.journal.new_step(undo.step)
            if step.undone:
                continue

            async def once(undo: Undo = undo, step: Step = step) -> None:
                self._observe(f"undo {undo.step}", self)
                await undo.run(self, step)

            try:
                until = clock.now() + timedelta(seconds=self.undo_patience_s)
                await insist(once, until, pause=clock.sleep, passing=(Exception,))
            except Exception as error:
                raise UndoFailed(undo.step, sentence(error)) from error
            self._observe(f"undone {undo.step}", self)

    async def _undo_attempt(self, step: Step, scope: Scope, reason: str) -> None:
        if not scope.frame.undoing:
            scope.frame.undoing = True
            step = msgspec.structs.replace(step, state=UNDOING, error=reason)
            await self.journal.record(step, rise=True)
        await self.undo_all(scope)
        await self.journal.record(msgspec.structs.replace(step, state=FAILED, finished_at=clock.now()))

    async def _effect(
        self,
        name: str,
        do: Callable[[datetime], Awaitable[T]],
        undo: Callable[[datetime], Awaitable[Any]] | None,
        returns: Any,
        timeout_s: float | None,
    ) -> T:
        """Run a step outside the database; its undo is registered first, since it may fail half-way.

        Only where the host was never reached, and this is the operation's first run, is there nothing to undo.
        """
        step = self._recall(name)
        replaying = current.get().frame.replaying
        if step.state != DONE and not replaying:
            self._enter(name)
        begun = step.state == DONE or self.journal.resumed
        if undo is not None:

            async def undo_and_record(op: Operation, step: Step) -> None:
                if begun:
                    await undo(clock.now() + timedelta(seconds=PATIENCE_S))
                await op.journal.undo(step, None, ())

            self._register(name, undo_and_record)
        if step.state == DONE:
            return decode(step.result, returns)
        if replaying:
            raise Unwind(name)

        async def once() -> T:
            nonlocal begun
            try:
                return await do(until)
            except Unreachable:
                raise
            except BaseException:
                begun = True
                raise

        until = self.deadline
        if timeout_s is not None:
            until = min(until, clock.now() + timedelta(seconds=timeout_s))
        with self._failing():
            await insist(self.journal.flush, self.deadline, pause=self._pause)
            self._observe(f"before {name}", self)
            try:
                result = encoder(name)(await insist(once, until, pause=self._pause, failed=self._note(step)))
            except GaveUp as error:
                if until < self.deadline:
                    raise
                raise DeadlinePassed(f"{error.message}; that was the time limit of {self.kind}") from error
            begun = True
            self._observe(f"after {name}", self)
            self.journal.done_later(self.journal.steps.get(name, step), result)
        return decode(result, returns)

    async def _call(self, name: str, host: str, command: Command[R], until: datetime) -> R:
        limit = min(until, self.lease_expires_at - timedelta(seconds=LEASE_MARGIN_S))
        patience_s = min(PATIENCE_S, (until - clock.now()).total_seconds())
        caller = Caller(self.id, self.resource, name, self.journal.epoch, limit.timestamp(), self.request_id or "")
        call = asyncio.timeout(None)
        try:
            async with call:
                if not current.get().frame.closed:
                    self._calls.add(call)
                return await self.bus.call(host, command, caller, timeout_s=max(patience_s, 0.05))
        except TimeoutError:
            raise Unwind("told to turn back") from None
        finally:
            self._calls.discard(call)

    def _recall(self, name: str) -> Step:
        if name in self._names:
            raise RuntimeError(f"operation {self.kind} has two steps called {name!r}: each needs a name of its own")
        self._names.add(name)
        return self.journal.steps.get(name) or self.journal.new_step(name)

    def _enter(self, name: str) -> None:
        """Let a new step begin, or say why not."""
        if self.concluded:
            raise RuntimeError(f"operation {self.kind} goes on to {name!r} after its end")
        if current.get().frame.closed or self._turned_back.is_set():
            raise Unwind(name)
        with self._failing():
            if clock.now() >= self.deadline:
                raise DeadlinePassed(f"The time limit of {self.kind} passed before its step {name!r}; try again.")

    def _register(self, name: str, run: "Callable[[Operation, Step], Awaitable[None]]") -> None:
        current.get().undos.append(Undo(name, run))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Close the way forward when a step fails, whether or not the body lets the failure through."""
        try:
            yield
        except Exception as error:
            frame = current.get().frame
            frame.failure = frame.failure or error
            raise

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the operation is told to turn back."""
        sleep = asyncio.ensure_future(clock.sleep(seconds))
        told = asyncio.ensure_future(self._turned_back.wait())
        try:
            await asyncio.wait((sleep, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            told.cancel()
        if self._turned_back.is_set():
            raise Unwind("told to turn back")

    async def _look_again(self, error: Exception, attempts: int) -> None:
        """A connection that broke may have broken after the commit: see what the journal says."""
        if not isinstance(error, Unavailable):
            await self.journal.load()

    def _note(self, step: Step) -> Callable[[Exception, int], Awaitable[None]]:
        async def note(error: Exception, attempts: int) -> None:
            known = self.journal.steps.get(step.name, step)
            with contextlib.suppress(*PASSING):  # a note for the trace; the step itself goes on without it
                await self.journal.record(msgspec.structs.replace(known, attempts=attempts, error=sentence(error)))

        return note


async def _within(scope: Scope, branch: Coroutine[Any, Any, T]) -> T:
    current.set(scope)
    return await branch


async def _bounded(name: str, effect: Awaitable[T], until: datetime) -> T:
    left = max((until - clock.now()).total_seconds(), 0.001)
    try:
        async with asyncio.timeout(left):
            return await effect
    except TimeoutError as error:
        raise Unavailable(f"step {name!r} did not end within {left:.0f} s") from error
