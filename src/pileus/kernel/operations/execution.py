"""One run of one operation, from its claim to its end.

Rule: a run ends in exactly one of four ways: succeeded, failed with nothing left, stuck with an alarm, or fenced.
"""

import logging
from datetime import timedelta

import msgspec

from pileus.kernel import clock, telemetry
from pileus.kernel.bus.base import Bus
from pileus.kernel.db import Database
from pileus.kernel.errors import ApiError
from pileus.kernel.operations.body import Observer, Operation, UndoFailed
from pileus.kernel.operations.declare import Declaration, declaration
from pileus.kernel.operations.journal import Fenced, Journal, Unwind
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.model import FAILED, STUCK, SUCCEEDED
from pileus.kernel.operations.patience import PASSING, insist, sentence
from pileus.kernel.operations.scopes import current

log = logging.getLogger("pileus.operations")

REST_OF_STUCK_S = 600.0
"""How long a stuck operation rests before its undo is tried again by itself; its alarm stays on meanwhile."""
CONCLUDE_PATIENCE_S = 60.0
"""How long the end is tried to be written before it is left to whoever claims the operation next."""


def no_observer(event: str, op: Operation) -> None:
    """Watch nothing."""


class Execution:
    """Runs the body, then whatever its end requires."""

    def __init__(self, db: Database, bus: Bus, claimed: Claimed, observe: Observer = no_observer) -> None:
        self.claimed = claimed
        self.journal = Journal(db, claimed)
        self.op = Operation(db, bus, claimed, self.journal, observe)
        self._observe = observe
        self._began = clock.monotonic()

    async def run(self) -> str | None:
        """Run or resume to the end and return the final state; ``None`` when another worker has taken over."""
        try:
            state = await self._run()
        except Fenced:
            log.info("operation %s goes on elsewhere", self.claimed.id, extra=self._fields())
            return None
        telemetry.OPERATIONS.labels(self.claimed.kind, state).inc()
        log.info("operation %s %s", self.claimed.kind, state, extra={**self._fields(), "state": state})
        return state

    async def _run(self) -> str:
        declared = declaration(self.claimed.kind)
        if not self.claimed.fresh:
            await self.journal.load()
        input = msgspec.json.decode(self.claimed.input, type=declared.input)
        current.set(self.op.scope)
        try:
            await declared.body(self.op, input)
            if self.op.frame.failure is not None:
                raise self.op.frame.failure
            if not self.journal.undoing:
                if not self.op.concluded:
                    await self._insist_on(lambda: self.journal.succeed(None, ()))
                return SUCCEEDED
            reason = self.journal.error
        except (Exception, Unwind) as error:
            if self.op.concluded:
                log.exception("operation %s failed after its end", self.claimed.id, extra=self._fields())
                return SUCCEEDED
            reason = await self._reason(error)
        return await self._unwind(declared, input, reason or "failed")

    async def _reason(self, error: BaseException) -> str:
        """Return why the operation fails, for its user; a defect of ours is logged with its traceback."""
        if self.journal.undoing:
            return self.journal.error or "failed"
        cause = self.op.frame.failure or error
        if isinstance(cause, Unwind):
            return await self.journal.reason() or "cancelled"
        if not isinstance(cause, ApiError):
            log.error("operation %s met a defect", self.claimed.kind, exc_info=cause, extra=self._fields())
        return sentence(cause)

    async def _unwind(self, declared: Declaration, input: msgspec.Struct, reason: str) -> str:
        hopeless = self.op.frame.failure if isinstance(self.op.frame.failure, UndoFailed) else None
        if not self.journal.undoing and next(self.op.scope.last_first(), None) is not None:
            await self._insist_on(lambda: self.journal.turn_back(reason))
        self.op.frame.undoing = True
        try:
            if hopeless is not None:
                raise hopeless
            await self.op.undo_all(self.op.scope)
            on_failure = declared.on_failure
            await self._insist_on(lambda: self.journal.fail(reason, on_failure, (input, reason)))
        except Exception as error:
            return await self._raise_alarm(error)
        self._observe("failed", self.op)
        return FAILED

    async def _raise_alarm(self, error: Exception) -> str:
        """Keep what cannot be undone in sight, and try again once in a while."""
        alarm = (
            f"{self.claimed.kind} on {self.claimed.resource}: {sentence(error)}. Mend the cause, then run "
            f"'pileus operations retry {self.claimed.id}'; or clean up by hand and run "
            f"'pileus operations abandon {self.claimed.id}'."
        )
        until = clock.now() + timedelta(seconds=REST_OF_STUCK_S)
        await self._insist_on(lambda: self.journal.park(STUCK, alarm, until))
        log.error("operation stuck: %s", alarm, extra=self._fields())
        return STUCK

    async def _insist_on(self, write) -> None:
        until = clock.now() + timedelta(seconds=CONCLUDE_PATIENCE_S)
        await insist(write, until, pause=clock.sleep, passing=PASSING)

    def _fields(self) -> dict[str, object]:
        claimed = self.claimed
        return {
            "operation_id": claimed.id,
            "kind": claimed.kind,
            "resource": claimed.resource,
            "request_id": claimed.request_id,
            "project_id": claimed.project_id,
            "epoch": self.journal.epoch,
            "duration_s": round(clock.monotonic() - self._began, 4),
            "age_s": round((clock.now() - claimed.created_at).total_seconds(), 4),
        }
