"""What the body of an operation can do.

Rule: every effect is a step with a name of its own; code between steps depends only on the input and on step
results, because after a crash the body is run again from the top and finished steps return what they returned.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid5

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.errors import Conflict, Unavailable
from pileus.kernel.operations.begin import outcome
from pileus.kernel.operations.journal import Step, Unwind
from pileus.kernel.operations.model import DONE, FAILED, SUCCEEDED, UNDOING
from pileus.kernel.operations.patience import insist, sentence
from pileus.kernel.operations.results import decode, encoder, result_type
from pileus.kernel.operations.scopes import Frame, Scope, current
from pileus.kernel.operations.steps import DeadlinePassed, Observer, Steps, UndoFailed

__all__ = ["DeadlinePassed", "Observer", "Operation", "Outcome", "UndoFailed"]

T = TypeVar("T")
R = TypeVar("R")


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """How an attempt ended: ``value`` if ``error`` is ``None``, else why it failed and was undone."""

    value: T | None = None
    error: str | None = None


class Operation(Steps):
    """One run of an operation's body; see ``docs/kernel-operations.md``."""

    def uuid(self, key: str) -> str:
        """Return the same fresh id for the same key however often the operation is resumed."""
        return str(uuid5(UUID(self.id), key))

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
            self._register(name, lambda step: self.journal.undo(step, undo, args))
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
            lambda until: self._call(name, host, command, until, final=True),
            None if undo is None else lambda until: self._call(f"undo {name}", host, undo, until),
            type(command).returns,
            timeout_s,
            told=(type(command).__name__, host),
        )

    async def command_read(
        self, name: str, host: str, kind: type[Command[R]], read: Callable[..., Command[R]], *args: Any
    ) -> R:
        """Have ``host`` carry out the command that ``read(tx, *args)`` returns each time it is sent.

        For what may be large or change meanwhile: the journal holds none of it.  A repeat that comes while the first
        is carried out, or after it, joins it; so ``read`` must only say how things are, and what changes afterwards be
        told by others.
        """

        async def call(until: datetime) -> R:
            return await self._call(name, host, await self.db.read(read, *args), until, final=True)

        return await self._effect(name, call, None, kind.returns, None, told=(kind.__name__, host))

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

    async def compensate(self, name: str, fn: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Have ``await fn(*args)`` run if the operation fails later, when all steps after this one are undone.

        ``fn`` is idempotent and may run although nothing was done yet.
        """
        await self.step(name, _nothing, undo=lambda: fn(*args))

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
                for task in (task for task in tasks if task in finished):
                    error = task.exception()
                    if error is not None and not isinstance(error, Exception | Unwind):
                        raise error
        finally:
            for task in tasks:
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

    async def _undo_attempt(self, step: Step, scope: Scope, reason: str) -> None:
        if not scope.frame.undoing:
            scope.frame.undoing = True
            step = msgspec.structs.replace(step, state=UNDOING, error=reason)
            await self.journal.record(step, rise=True)
        await self.undo_all(scope)
        await self.journal.record(msgspec.structs.replace(step, state=FAILED, finished_at=clock.now()))


async def _nothing() -> None:
    """What a compensation does on the way forward."""


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
