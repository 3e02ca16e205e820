"""The machinery under an operation's body: entering steps, trying again, talking to hosts, undoing.

Rule: a step's failure closes the way forward, whatever the body makes of it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.bus.base import Bus, Caller, Unreachable
from pileus.kernel.db import Database
from pileus.kernel.errors import ApiError, Unavailable
from pileus.kernel.operations import patience
from pileus.kernel.operations.journal import Journal, Step, Unwind
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.model import DONE
from pileus.kernel.operations.patience import PASSING, GaveUp, StillRefused, full_sentence, insist, sentence
from pileus.kernel.operations.results import decode, encoder
from pileus.kernel.operations.scopes import Frame, Scope, Undo, current

log = logging.getLogger("pileus.operations")
T = TypeVar("T")
R = TypeVar("R")
Observer = Callable[[str, Any], None]
"""Called with ("before guest", op) and the like."""

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


class Steps:
    """One run of an operation, as far as its body does not see it."""

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
        self._turned_back = False
        self._awake = asyncio.Event()
        self._calls: dict[asyncio.Timeout, None] = {}
        self._observe = observe
        self._names: set[str] = set()
        self.resting: Callable[[int], None] = lambda change: None
        """Told +1 and -1 around every pause: an operation that only waits takes nobody's place."""

    def turn_back(self) -> None:
        """Take the way forward no further than the step under way; stop waiting for hosts and pauses now."""
        self._turned_back = True
        self._awake.set()
        while self._calls:
            self._calls.popitem()[0].reschedule(0)

    async def tell(self, host: str, command: Command[R]) -> R:
        """Have ``host`` carry out a command within a step, or an undo, that is made of several.

        Whoever calls it is run again until it succeeds, so every command must be one that may be repeated; the same
        command joins the first, as a step's does.
        """
        content = blake2b(msgspec.msgpack.encode(command), digest_size=8).hexdigest()
        name = f"{type(command).__name__} {content}"
        return await self._call(name, host, command, clock.now() + timedelta(seconds=PATIENCE_S))

    async def undo_all(self, scope: Scope) -> None:
        """Undo every step of ``scope`` that was begun, last first; raises ``UndoFailed`` at the first hopeless one."""
        for undo in scope.last_first():
            step = self.journal.steps.get(undo.step) or self.journal.new_step(undo.step)
            if step.undone:
                continue

            async def once(undo: Undo = undo, step: Step = step) -> None:
                self._observe(f"undo {undo.step}", self)
                await undo.run(step)

            try:
                until = clock.now() + timedelta(seconds=self.undo_patience_s)
                noted = self._note(step, forward=False)
                await insist(once, until, pause=self._rest, passing=(Exception,), failed=noted)
            except Exception as error:
                raise UndoFailed(undo.step, sentence(error)) from error
            self._observe(f"undone {undo.step}", self)

    async def _effect(
        self,
        name: str,
        do: Callable[[datetime], Awaitable[T]],
        undo: Callable[[datetime], Awaitable[Any]] | None,
        returns: Any,
        timeout_s: float | None,
        *,
        told: tuple[str, str] | None = None,
    ) -> T:
        """Run a step outside the database; its undo is registered first, since it may fail half-way.

        ``told``: command and host.  Only where a first run never reached the host is there nothing to undo.
        """
        step = self._recall(name)
        if told is not None:
            step.command, step.host = told
        replaying = current.get().frame.replaying
        if step.state != DONE and not replaying:
            self._enter(name)
        begun = step.state == DONE or self.journal.resumed
        if undo is not None:

            async def undo_and_record(step: Step) -> None:
                if begun:
                    await undo(clock.now() + timedelta(seconds=PATIENCE_S))
                await self.journal.undo(step, None, ())

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
                note = self._note(step)
                made = await insist(once, until, pause=self._pause, failed=note, refusals_s=patience.REFUSALS_S)
                result = encoder(name)(made)
            except GaveUp as error:
                if until < self.deadline or isinstance(error, StillRefused):
                    raise
                raise DeadlinePassed(f"{error.message}; that was the time limit of {self.kind}") from error
            except ApiError as error:
                await self._keep_words(step, error)
                raise
            begun = True
            self._observe(f"after {name}", self)
            self.journal.done_later(self.journal.steps.get(name, step), result)
        return decode(result, returns)

    async def _call(self, name: str, host: str, command: Command[R], until: datetime, *, final: bool = False) -> R:
        limit = min(until, self.lease_expires_at - timedelta(seconds=LEASE_MARGIN_S))
        patience_s = min(PATIENCE_S, (until - clock.now()).total_seconds())
        caller = Caller(
            self.id, self.resource, name, self.journal.epoch, limit.timestamp(), self.request_id or "", final
        )
        call = asyncio.timeout(None)
        try:
            async with call:
                if not current.get().frame.closed:
                    self._calls[call] = None
                return await self.bus.call(host, command, caller, timeout_s=max(patience_s, 0.05))
        except TimeoutError:
            raise Unwind("told to turn back") from None
        finally:
            self._calls.pop(call, None)

    def _recall(self, name: str) -> Step:
        if name in self._names:
            raise RuntimeError(f"operation {self.kind} has two steps called {name!r}: each needs a name of its own")
        self._names.add(name)
        return self.journal.steps.get(name) or self.journal.new_step(name)

    def _enter(self, name: str) -> None:
        """Let a new step begin, or say why not."""
        if self.concluded:
            raise RuntimeError(f"operation {self.kind} goes on to {name!r} after its end")
        if current.get().frame.closed or self._turned_back:
            raise Unwind(name)
        with self._failing():
            if clock.now() >= self.deadline:
                raise DeadlinePassed(f"The time limit of {self.kind} passed before its step {name!r}; try again.")

    def _register(self, name: str, run: Callable[[Step], Awaitable[None]]) -> None:
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

    def wake(self) -> None:
        """End a pause early: what was waited for may have come."""
        self._awake.set()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until woken or told to turn back."""
        if not self._turned_back:
            await self._rest(seconds)
        if self._turned_back:
            raise Unwind("told to turn back")

    async def _rest(self, seconds: float) -> None:
        """Wait until the time is over or something was heard that makes another try worth while."""
        sleep = asyncio.ensure_future(clock.sleep(seconds))
        self._awake.clear()
        woken = asyncio.ensure_future(self._awake.wait())
        self.resting(+1)
        try:
            await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.resting(-1)
            sleep.cancel()
            woken.cancel()

    async def _look_again(self, error: Exception, attempts: int, wait: float) -> None:
        """A connection that broke may have broken after the commit: see what the journal says."""
        if not isinstance(error, Unavailable):
            await self.journal.load()

    def _note(self, step: Step, *, forward: bool = True) -> Callable[[Exception, int, float], Awaitable[None]]:
        told: str | None = None

        async def note(error: Exception, attempts: int, wait: float) -> None:
            nonlocal told
            if (words := full_sentence(error)) != told:
                told = words
                said = "%s of %s waits at %r and tries again: %s"
                about = {"operation_id": self.id, "step": step.name, "request_id": self.request_id}
                log.warning(said, self.kind, self.resource, step.name, words, extra=about)
            known = self.journal.steps.get(step.name, step)
            tried = msgspec.structs.replace(known, attempts=attempts, error=words)
            next_at = clock.now() + timedelta(seconds=wait)
            with contextlib.suppress(*PASSING):  # a note for the trace; the step itself goes on without it
                await self.journal.refused(tried, sentence(error), next_at, forward=forward)

        return note

    async def _keep_words(self, step: Step, error: ApiError) -> None:
        """Write down for operators what a host said in words that the operation's own reason does not repeat."""
        if error.told_by_host is not None and error.told_by_host != error.message:
            known = self.journal.steps.get(step.name, step)
            with contextlib.suppress(*PASSING):
                await self.journal.record(msgspec.structs.replace(known, error=error.told_by_host))
