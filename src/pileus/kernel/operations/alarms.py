"""What an operator can see of operations and do about stuck ones: list, trace, retry, abandon.

Rule: nothing here runs an operation; it only changes what the next worker finds.
"""

from functools import partial

import msgspec
from sqlalchemy import select

from pileus.kernel import clock
from pileus.kernel.db import Tx, after_commit
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.operations.declare import declaration
from pileus.kernel.operations.journal import read_steps
from pileus.kernel.operations.listeners import listener_of
from pileus.kernel.operations.model import FAILED, LIVE, STUCK, OperationRow, StepRow
from pileus.kernel.operations.turns import InLine, names_of, waited_for

__all__ = [
    "InLine",
    "abandon",
    "get_operation",
    "list_operations",
    "list_steps",
    "names_of",
    "retry",
    "trouble_of",
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


def trouble_of(row: OperationRow) -> str | None:
    """Return what a live operation fails at and tries again, in words that a user may read; None when nothing."""
    if row.live_resource is None or row.next_at is None:
        return None
    times = "once" if row.tries == 1 else f"{row.tries} times"
    told = f"failed {times}, last: {row.last_refusal.rstrip('.')}; " if row.last_refusal else ""
    return f"{told}next try at {row.next_at:%H:%M:%S} UTC"


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
