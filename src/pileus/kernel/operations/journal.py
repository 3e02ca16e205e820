"""The journal of one run: every write is fenced by (epoch, owner), every database step commits with its entry.

Rule: whoever lost the lease writes nothing; it learns so from the row count of its own statement.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from pileus.kernel import clock
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import Unavailable
from pileus.kernel.operations import statements
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.model import (
    DONE,
    FAILED,
    RUNNING,
    STARTED,
    SUCCEEDED,
)

T = TypeVar("T")


class Fenced(BaseException):
    """Another worker has taken this operation over: the run stops without a word.

    Like ``Unwind`` not an ``Exception``, so that no body catches it by accident.
    """


class Unwind(BaseException):
    """The way forward is closed: the body is left so that its steps can be undone."""


class _LeaseLost(Exception):
    """``Fenced``, while it travels through the database layer."""


class _ToldToTurnBack(Exception):
    """``Unwind``, while it travels through the database layer."""


class Step(msgspec.Struct):
    """What the journal knows of one step."""

    name: str
    position: int
    state: str
    result: str | None = None
    undone: bool = False
    attempts: int = 0
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    command: str | None = None
    host: str | None = None
    stored: bool = False


class Journal:
    """The steps of one operation, in memory and in the database, for as long as its lease is held."""

    def __init__(self, db: Database, claimed: Claimed) -> None:
        self.db = db
        self.id = claimed.id
        self.epoch = claimed.epoch
        self.owner = claimed.owner
        self.steps: dict[str, Step] = {}
        self.pending: list[Step] = []
        """Host steps done but not written yet: the next transaction takes them along."""
        self._writing = asyncio.Lock()
        self._refused: str | None = None
        """The step whose refusal stands with the operation, until it is done."""
        self._settled = False
        self.resumed = not claimed.fresh
        """Whether somebody has run it before: steps without an entry may have been begun."""
        self.undoing = claimed.state != RUNNING
        self.error = claimed.error
        self._request_id = claimed.request_id

    async def load(self) -> None:
        """Read what earlier runs have recorded."""
        self.steps = await self.db.read(read_steps, self.id)

    async def reason(self) -> str | None:
        """Return why the operation is to turn back, if somebody else has told it to."""
        row = await self.db.read(lambda tx: tx.connection().execute(statements.PRESENT, {"id": self.id}).first())
        return None if row is None else row.error

    def new_step(self, name: str) -> Step:
        """Return a fresh entry, not written yet."""
        return Step(name, len(self.steps), STARTED, started_at=clock.now())

    async def commit(
        self, step: Step, work: Callable[..., Any], args: tuple[Any, ...], encode: Callable[[Any], str]
    ) -> None:
        """Run a database step and record it, in one transaction."""

        def transaction(tx: Tx) -> str:
            result = encode(work(tx, *args))
            self._write(tx, [_done(step, result)], forward=True)
            return result

        self._keep(_done(step, await self._transact(transaction)))

    async def record(self, *steps: Step, rise: bool = False) -> None:
        """Write entries, and those that were waiting; ``rise`` makes hosts refuse what was sent before."""

        def transaction(tx: Tx) -> None:
            self._write(tx, steps, forward=True)
            if rise:
                self._execute(tx, statements.RAISE_EPOCH, new_epoch=self.epoch + 1)

        await self._transact(transaction)
        self.epoch += rise
        for step in steps:
            self._keep(step)

    async def refused(self, step: Step, refusal: str, next_at: datetime, *, forward: bool = True) -> None:
        """Record that a step was refused and is tried again; ``refusal`` is for users, ``step.error`` for operators."""

        def transaction(tx: Tx) -> None:
            if forward:
                self._write(tx, [step], forward=True)
            self._note_refusal(tx, refusal, step.attempts, next_at)

        self._refused, self._settled = step.name, False
        await self._transact(transaction, forward=forward)
        if forward:
            self._keep(step)

    def _note_refusal(self, tx: Tx, refusal: str | None, tries: int, next_at: datetime | None) -> None:
        self._execute(tx, statements.NOTE_REFUSAL, refusal=refusal, times=tries, again_at=next_at, now=clock.now())

    def done_later(self, step: Step, result: str) -> None:
        """Take note of a finished host step, to be written with whatever comes next."""
        done = _done(step, result)
        self._settled = self._settled or self._refused == step.name
        self.steps[done.name] = done
        self.pending.append(done)

    async def flush(self) -> None:
        """Write what is waiting, before anything outside the database builds on it."""
        if self.pending:
            await self.record()

    async def undo(self, step: Step, work: Callable[..., Any] | None, args: tuple[Any, ...]) -> None:
        """Run a database undo, if one is given, and mark the step undone, in one transaction."""
        undone = msgspec.structs.replace(step, undone=True)

        def transaction(tx: Tx) -> None:
            if work is not None:
                work(tx, *args)
            self._write(tx, [undone], forward=False)

        await self._transact(transaction, forward=False)
        self._keep(undone)

    async def succeed(self, work: Callable[..., Any] | None, args: tuple[Any, ...]) -> None:
        """Conclude the operation together with its last database step."""

        def transaction(tx: Tx) -> None:
            if work is not None:
                work(tx, *args)
            self._execute(tx, statements.SUCCEED, new_state=SUCCEEDED, new_error=None, now=clock.now())

        await self._transact(transaction)

    async def fail(self, error: str, work: Callable[..., Any] | None, args: tuple[Any, ...]) -> None:
        """Conclude an operation of which nothing is left."""

        def transaction(tx: Tx) -> None:
            if work is not None:
                work(tx, *args)
            self._execute(tx, statements.CONCLUDE, new_state=FAILED, new_error=error, now=clock.now())

        await self._transact(transaction, forward=False)

    async def turn_back(self, error: str) -> None:
        """Make unwinding the operation's state; the epoch rises, so that hosts refuse what was sent before."""

        def transaction(tx: Tx) -> None:
            self._execute(tx, statements.TURN_BACK, new_epoch=self.epoch + 1, new_error=error, now=clock.now())

        await self._transact(transaction, forward=False)
        self.epoch += 1
        self.undoing = True
        self.error = error

    async def park(self, state: str, alarm: str | None, until: datetime) -> None:
        """Let go of the lease until later."""

        def transaction(tx: Tx) -> None:
            self._execute(tx, statements.PARK, new_state=state, new_alarm=alarm, next_attempt_at=until, now=clock.now())

        await self._transact(transaction, forward=False)

    async def progress(self, text: str) -> None:
        """Say how far it has come."""

        def transaction(tx: Tx) -> None:
            self._execute(tx, statements.TELL_PROGRESS, text=text, now=clock.now())

        await self._transact(transaction)

    async def _transact(self, transaction: Callable[[Tx], T], *, forward: bool = True) -> T:
        """Commit ``transaction`` together with the host steps that wait to be written."""
        async with self._writing:
            carried, settled = list(self.pending), self._settled

            def whole(tx: Tx) -> T:
                tx.info["request_id"] = self._request_id  # what its steps tell is that request's doing
                if carried:
                    self._write(tx, carried, forward=forward)
                if settled:
                    self._note_refusal(tx, None, 0, None)
                return transaction(tx)

            result = await self._write_out(whole)
            if settled:
                self._refused, self._settled = None, False
            for step in carried:
                step.stored = True
            if carried:
                self.pending = [step for step in self.pending if not step.stored]
            return result

    async def _write_out(self, transaction: Callable[[Tx], T]) -> T:
        try:
            return await self.db.write(transaction)
        except _LeaseLost as lost:
            raise Fenced(self.id) from lost
        except _ToldToTurnBack as told:
            raise Unwind(str(told)) from told
        except Unavailable:
            raise
        except Exception as error:
            # The work runs before the fence is asked: what it stumbled over may be the doing of who runs this now.
            if await self.db.read(self._present) is None:
                raise Fenced(self.id) from error
            raise

    def _present(self, tx: Tx) -> Any:
        """Return the operation as it is while it is ours, None when another worker has it or it has ended."""
        present = tx.connection().execute(statements.PRESENT, {"id": self.id}).first()
        ours = present is not None and (present.epoch, present.lease_owner) == (self.epoch, self.owner)
        return present if ours else None

    def _fence(self) -> dict[str, Any]:
        return {"fence_id": self.id, "fence_epoch": self.epoch, "fence_owner": self.owner}

    def _write(self, tx: Tx, steps: Iterable[Step], *, forward: bool) -> None:
        connection = tx.connection()
        for step in steps:
            statement = (statements.UPDATE_STEP if step.stored else statements.INSERT_STEP)[forward]
            if connection.execute(statement, {**self._fence(), **_parameters(self.id, step)}).rowcount != 1:
                self._lost(tx)

    def _execute(self, tx: Tx, statement: Any, **values: Any) -> None:
        if tx.connection().execute(statement, {**self._fence(), **values}).rowcount != 1:
            self._lost(tx)

    def _lost(self, tx: Tx) -> None:
        """Raise what a fence that did not hold means: taken over, or told to turn back."""
        if (present := self._present(tx)) is not None:
            raise _ToldToTurnBack(present.error or "cancelled")
        raise _LeaseLost(self.id)

    def _keep(self, step: Step) -> None:
        step.stored = True
        self.steps[step.name] = step


def read_steps(tx: Tx, id: str) -> dict[str, Step]:
    """Return the journal of one operation, by name, in order."""
    rows = tx.connection().execute(statements.READ_STEPS, {"id": id})
    return {
        row.name: Step(
            row.name,
            row.position,
            row.state,
            row.result,
            row.undone,
            row.attempts,
            row.error,
            row.started_at,
            row.finished_at,
            row.command,
            row.host,
            stored=True,
        )
        for row in rows
    }


def _done(step: Step, result: str) -> Step:
    return msgspec.structs.replace(step, state=DONE, result=result, error=None, finished_at=clock.now())


def _parameters(id: str, step: Step) -> dict[str, Any]:
    return {
        "s_operation_id": id,
        "s_name": step.name,
        "s_position": step.position,
        "s_state": step.state,
        "s_result": step.result,
        "s_undone": step.undone,
        "s_attempts": step.attempts,
        "s_error": step.error,
        "s_command": step.command,
        "s_host": step.host,
        "s_started_at": step.started_at,
        "s_finished_at": step.finished_at,
    }
