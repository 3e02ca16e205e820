"""What an operator can see of operations and do about stuck ones: list, trace, retry, abandon.

Rule: nothing here runs an operation; it only changes what the next worker finds.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec
from sqlalchemy import select

from pileus.kernel import clock
from pileus.kernel.db import Tx, after_commit
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.operations.declare import declaration
from pileus.kernel.operations.journal import read_steps
from pileus.kernel.operations.listeners import listener_of
from pileus.kernel.operations.model import FAILED, LIVE, STARTED, STUCK, OperationRow, StepRow
from pileus.kernel.operations.turns import InLine, names_of, waited_for

__all__ = [
    "InLine",
    "Trouble",
    "abandon",
    "get_operation",
    "list_operations",
    "list_steps",
    "names_of",
    "retry",
    "troubles_of",
    "waited_for",
]


def list_operations(
    tx: Tx, *, live: bool = True, stuck: bool = False, resource: str | None = None, limit: int = 100
) -> list[OperationRow]:
    """Return operations, newest first: live ones, only stuck ones, or (``live=False``) all that are remembered."""
    statement = select(OperationRow).order_by(OperationRow.created_at.desc()).limit(limit)
    if stuck:
        statement = statement.where(OperationRow.state == STUCK)
    elif live:
        statement = statement.where(OperationRow.live_resource.is_not(None))
    if resource is not None:
        statement = statement.where(OperationRow.resource == resource)
    return list(tx.scalars(statement))


def get_operation(tx: Tx, id: str) -> OperationRow:
    """Return one operation."""
    row = tx.get(OperationRow, id)
    if row is None:
        raise NotFound(f"Operation {id} could not be found.")
    return row


def list_steps(tx: Tx, id: str) -> list[StepRow]:
    """Return the trace of one operation: its steps in order, with results, failures and times."""
    return list(tx.scalars(select(StepRow).where(StepRow.operation_id == id).order_by(StepRow.position)))


class Trouble(msgspec.Struct, frozen=True):
    """A step that keeps failing."""

    step: str
    attempts: int
    error: str
    next_attempt_at: datetime | None

    def __str__(self) -> str:
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        when = f"; next try at {self.next_attempt_at:%H:%M:%S} UTC" if self.next_attempt_at else ""
        return f"step '{self.step}' has failed {times}, last: {self.error}{when}"


def troubles_of(tx: Tx, ids: Sequence[str]) -> dict[str, Trouble]:
    """Return what each of some live operations has failed at and tries again, by id."""
    failing = (StepRow.state == STARTED, StepRow.attempts > 0, StepRow.error.is_not(None))
    statement = select(StepRow).where(StepRow.operation_id.in_(list(ids)), *failing).order_by(StepRow.position)
    return {
        row.operation_id: Trouble(row.name, row.attempts, row.error or "", row.next_attempt_at)
        for row in (tx.scalars(statement) if ids else ())
    }


def retry(tx: Tx, id: str) -> None:
    """Have a stuck operation's undo tried again at once, after its cause has been mended."""
    row = get_operation(tx, id)
    if row.state != STUCK:
        raise Conflict(f"Operation {id} is not stuck but {row.state}: there is nothing to retry.")
    row.next_attempt_at = clock.now()
    if (listener := listener_of(tx)) is not None:
        after_commit(tx, partial(listener.waiting, id, ()))


def abandon(tx: Tx, id: str) -> list[str]:
    """End a live operation as it is and free its resource; return the names of the steps that were not undone.

    Whoever runs it is fenced off.  What its steps have made stays; reconcilers or an operator clean it up.
    """
    row = get_operation(tx, id)
    if row.state not in LIVE:
        raise Conflict(f"Operation {id} has ended ({row.state}): there is nothing to abandon.")
    left = [step.name for step in read_steps(tx, id).values() if not step.undone]
    reason = f"{row.error or 'It was given up'} (abandoned by an operator; not undone: {', '.join(left) or 'nothing'})"
    row.state, row.live_resource, row.error, row.alarm = FAILED, None, reason, None
    row.epoch += 1
    row.lease_owner = row.lease_expires_at = None
    row.finished_at = row.updated_at = clock.now()
    declared = declaration(row.kind)
    if declared.on_failure is not None:
        declared.on_failure(tx, msgspec.json.decode(row.input, type=declared.input), reason)
    return left
