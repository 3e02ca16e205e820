"""Beginning an operation, in the transaction of the request that wants it.

Rule: the row is the promise; if the transaction commits, the operation will come to an end.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import msgspec
from sqlalchemy import bindparam, insert, literal_column, null, select, update
from sqlalchemy.exc import IntegrityError

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx, after_commit
from pileus.kernel.errors import Conflict
from pileus.kernel.operations.declare import declaration
from pileus.kernel.operations.listeners import Claimed, listener_of
from pileus.kernel.operations.model import FAILED, LIVE, RUNNING, SUCCEEDED, UNDOING, OperationRow

_table: Any = OperationRow.__table__
_NEXT = "#next"
_encode = msgspec.json.Encoder().encode


class Requester(Protocol):
    """Who asked, as far as an operation remembers it."""

    @property
    def request_id(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def project_id(self) -> str | None: ...


_holder = _table.alias("holder")
_INSERT = (
    insert(_table)
    .from_select(
        [column.name for column in _table.columns],
        select(*(bindparam(column.name, type_=column.type) for column in _table.columns)).where(
            ~select(literal_column("1"))
            .select_from(_holder)
            .where(_holder.c.live_resource.in_([bindparam("busy_now"), bindparam("busy_next")]))
            .exists()
        ),
    )
    .execution_options(preserve_rowcount=True)
)


def begin(
    tx: Tx,
    ctx: Requester | None,
    kind: str,
    resource: str,
    input: msgspec.Struct,
    *,
    after: str | None = None,
    supersede: bool = False,
) -> str:
    """Record an operation on ``resource`` ("server/<id>") and return its id.

    It starts when the transaction has committed; with ``after``, when that operation has ended (in whatever
    way).  One live operation per resource: otherwise ``Conflict``, naming it.  With ``supersede`` the live one
    is undone first if its kind is cancellable, or waited for if not, and this one follows: how a server is
    deleted while it is being built.
    """
    declared = declaration(kind)
    if not isinstance(input, declared.input):
        raise TypeError(f"operation {kind} takes {declared.input.__name__}, not {type(input).__name__}")
    live_resource = resource
    if supersede and (live := find_live(tx, resource)) is not None:
        cancel(tx, live, f"superseded by {kind}")
        after, live_resource = live.id, resource + _NEXT
    now = clock.now()
    listener = listener_of(tx)
    lease = listener.offer(now) if listener is not None and after is None else None
    row: dict[str, Any] = {
        "id": ids.new_id(),
        "kind": kind,
        "resource": resource,
        "live_resource": live_resource,
        "input": _encode(input).decode(),
        "state": RUNNING,
        "epoch": 1 if lease else 0,
        "lease_owner": lease and lease[0],
        "lease_expires_at": lease and lease[1],
        "deadline": now + timedelta(seconds=declared.deadline_s),
        "next_attempt_at": now,
        "attempts": 0,
        "after": after,
        "progress": None,
        "error": None,
        "last_refusal": None,
        "tries": 0,
        "next_at": None,
        "alarm": None,
        "request_id": ctx and ctx.request_id,
        "user_id": ctx and ctx.user_id,
        "project_id": ctx and ctx.project_id,
        "created_at": now,
        "updated_at": now,
        "finished_at": None,
    }
    _insert(tx, row, queued=live_resource != resource)
    if listener is not None:
        if lease is not None:
            after_commit(tx, partial(listener.begun, _as_claimed(row)))
        else:
            after_commit(tx, partial(listener.waiting, row["id"], after))
    return row["id"]


def note_done(tx: Tx, ctx: Requester | None, kind: str, resource: str, *, begun_at: datetime | None = None) -> str:
    """Write down what has been done to ``resource`` by something else, as an operation that is over; return its id.

    It takes no lock and needs no declaration: a history that is read from the operations (instance actions) has it.
    """
    now = clock.now()
    row = OperationRow(
        id=ids.new_id(),
        kind=kind,
        resource=resource,
        input="{}",
        state=SUCCEEDED,
        epoch=0,
        deadline=now,
        next_attempt_at=now,
        request_id=ctx and ctx.request_id,
        user_id=ctx and ctx.user_id,
        project_id=ctx and ctx.project_id,
        created_at=begun_at or now,
        updated_at=now,
        finished_at=now,
    )
    tx.add(row)
    return row.id


def _insert(tx: Tx, row: dict[str, Any], *, queued: bool) -> None:
    taken = row["resource"] + _NEXT
    try:
        done = tx.connection().execute(
            _INSERT, {**row, "busy_now": taken if queued else row["resource"], "busy_next": taken}
        )
    except IntegrityError as error:
        raise Conflict(
            f"{_spoken(row['resource'])} is being changed by another request at this moment; try again when it is done."
        ) from error
    if done.rowcount != 1:
        raise _busy(tx, row["resource"])


def _busy(tx: Tx, resource: str) -> Conflict:
    live = find_live(tx, resource)
    what = f"operation {live.kind} ({live.id})" if live else "another operation"
    return Conflict(
        f"{_spoken(resource)} is busy: {what} is still at work on it; wait for its end and try again.",
        operation_id=live.id if live else None,
    )


def _spoken(resource: str) -> str:
    kind, _, id = resource.partition("/")
    return f"{kind.capitalize().replace('_', ' ')} {id}"


def _as_claimed(row: Mapping[str, Any]) -> Claimed:
    return Claimed(
        id=row["id"],
        kind=row["kind"],
        resource=row["resource"],
        input=row["input"],
        state=row["state"],
        epoch=row["epoch"],
        owner=row["lease_owner"],
        lease_expires_at=row["lease_expires_at"],
        deadline=row["deadline"],
        created_at=row["created_at"],
        request_id=row["request_id"],
        user_id=row["user_id"],
        project_id=row["project_id"],
        fresh=True,
    )


class Live(msgspec.Struct, frozen=True):
    """The live operation of a resource."""

    id: str
    kind: str
    state: str


_LIVE = (
    select(_table.c.id, _table.c.kind, _table.c.state)
    .where(_table.c.live_resource.in_([bindparam("now"), bindparam("next")]))
    .order_by(_table.c.live_resource.desc())
)
_CANCEL = (
    update(_table)
    .where(_table.c.id == bindparam("operation"), _table.c.state == RUNNING)
    .values(state=UNDOING, error=bindparam("reason"), updated_at=bindparam("now"), next_attempt_at=bindparam("now"))
)


def find_live(tx: Tx, resource: str) -> Live | None:
    """Return the operation that holds ``resource``, a waiting successor before the one at work."""
    row = tx.connection().execute(_LIVE, {"now": resource, "next": resource + _NEXT}).first()
    return Live(*row) if row else None


def cancel(tx: Tx, live: Live, reason: str) -> bool:
    """Have a running, cancellable operation undone; return whether it will be."""
    if live.state != RUNNING or not declaration(live.kind).cancellable:
        return False
    done = tx.connection().execute(_CANCEL, {"operation": live.id, "reason": reason, "now": clock.now()})
    if done.rowcount == 1 and (listener := listener_of(tx)) is not None:
        after_commit(tx, partial(listener.cancelled, live.id))
    return done.rowcount == 1


def outcome(tx: Tx, operation_id: str) -> tuple[str, str | None] | None:
    """Return (state, error) of an operation once it has ended; ``None`` while it lives."""
    row = tx.execute(select(_table.c.state, _table.c.error).where(_table.c.id == operation_id)).first()
    if row is None:
        return FAILED, f"operation {operation_id} does not exist"
    return None if row.state in LIVE else (row.state, row.error)


def release(**extra: Any) -> dict[str, Any]:
    """Return the column values that let go of an operation's lease."""
    return {"lease_owner": null(), "lease_expires_at": null(), **extra}
