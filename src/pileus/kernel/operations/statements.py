"""The journal's statements, compiled once.

Rule: each names the lease it is written under; its row count says whether that lease still holds.
"""

from typing import Any

from sqlalchemy import bindparam, func, insert, literal_column, null, select, update

from pileus.kernel.operations.begin import release
from pileus.kernel.operations.model import RUNNING, UNDOING, OperationRow, StepRow

_operations: Any = OperationRow.__table__
_steps: Any = StepRow.__table__

_mine = (
    _operations.c.id == bindparam("fence_id"),
    _operations.c.epoch == bindparam("fence_epoch"),
    _operations.c.lease_owner == bindparam("fence_owner"),
)
_running = _operations.c.state == RUNNING
_columns = [column.name for column in _steps.columns]
_values = [bindparam(f"s_{name}", type_=_steps.c[name].type) for name in _columns]
_forward = select(*_values).where(*_mine, _running).select_from(_operations)
_anyway = select(*_values).where(*_mine).select_from(_operations)
INSERT_STEP = {
    True: insert(_steps).from_select(_columns, _forward).execution_options(preserve_rowcount=True),
    False: insert(_steps).from_select(_columns, _anyway).execution_options(preserve_rowcount=True),
}
_SET = {name: bindparam(f"s_{name}", type_=_steps.c[name].type) for name in _columns[2:]}


def _update(*fence: Any) -> Any:
    return (
        update(_steps)
        .where(
            _steps.c.operation_id == bindparam("s_operation_id"),
            _steps.c.name == bindparam("s_name"),
            select(literal_column("1")).select_from(_operations).where(*fence).exists(),
        )
        .values(_SET)
    )


UPDATE_STEP = {True: _update(*_mine, _running), False: _update(*_mine)}
CONCLUDE = (
    update(_operations)
    .where(*_mine)
    .values(
        release(
            state=bindparam("new_state"),
            live_resource=None,
            error=func.coalesce(_operations.c.error, bindparam("new_error")),
            alarm=None,
            next_at=null(),
            updated_at=bindparam("now"),
            finished_at=bindparam("now"),
        )
    )
)
SUCCEED = CONCLUDE.where(_running)
TURN_BACK = (
    update(_operations)
    .where(*_mine)
    .values(
        state=UNDOING,
        epoch=bindparam("new_epoch"),
        error=func.coalesce(_operations.c.error, bindparam("new_error")),
        updated_at=bindparam("now"),
    )
)
PARK = (
    update(_operations)
    .where(*_mine)
    .values(
        release(
            state=bindparam("new_state"),
            alarm=bindparam("new_alarm"),
            attempts=_operations.c.attempts + 1,
            next_attempt_at=bindparam("next_attempt_at"),
            next_at=bindparam("next_attempt_at"),
            updated_at=bindparam("now"),
        )
    )
)
NOTE_REFUSAL = (
    update(_operations)
    .where(*_mine)
    .values(
        last_refusal=bindparam("refusal"),
        tries=bindparam("times"),
        next_at=bindparam("again_at", type_=_operations.c.next_at.type),
        updated_at=bindparam("now"),
    )
)
RAISE_EPOCH = update(_operations).where(*_mine).values(epoch=bindparam("new_epoch"))
TELL_PROGRESS = update(_operations).where(*_mine).values(progress=bindparam("text"), updated_at=bindparam("now"))
PRESENT = select(_operations.c.epoch, _operations.c.lease_owner, _operations.c.state, _operations.c.error)
PRESENT = PRESENT.where(_operations.c.id == bindparam("id"))
READ_STEPS = select(_steps).where(_steps.c.operation_id == bindparam("id")).order_by(_steps.c.position)
