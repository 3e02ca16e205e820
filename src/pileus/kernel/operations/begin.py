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
from pileus.kernel.db import Collided, Tx, after_commit
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import turns
from pileus.kernel.operations.declare import Declaration, declaration
from pileus.kernel.operations.listeners import Claimed, listener_of
from pileus.kernel.operations.model import FAILED, LIVE, RUNNING, SUCCEEDED, UNDOING, OperationRow

_table: Any = OperationRow.__table__
_NEXT = "#next"
SUPERSEDED = "superseded by "
"""How the reason begins of an operation that made way for another one."""
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
    way).  One live operation per resource: otherwise ``Conflict``, naming it.  A kind that queues waits for its
    turn instead, and its time begins when that has come.  With ``supersede`` those at work are undone first if
    their kind is cancellable, or waited for if not, and this one follows: how a server is deleted while it is
    being built.
    """
    declared = declaration(kind)
    if not isinstance(input, declared.input):
        raise TypeError(f"operation {kind} takes {declared.input.__name__}, not {type(input).__name__}")
    place = (_queue if declared.queues else _hold)(tx, declared, resource, input, supersede=supersede)
    waits_for = place.waits_for if after is None else (*place.waits_for, after)
    if place.waits_for and not declared.queues:
        (after,) = place.waits_for
    now = clock.now()
    listener = listener_of(tx)
    lease = listener.offer(now) if listener is not None and not waits_for else None
    row = _row(declared, resource, input, place, lease, ctx, now)
    row["after"] = after
    _insert(tx, row)
    if listener is not None:
        if lease is not None:
            after_commit(tx, partial(listener.begun, _as_claimed(row)))
        else:
            after_commit(tx, partial(listener.waiting, row["id"], waits_for))
    return row["id"]


def _row(
    declared: Declaration,
    resource: str,
    input: msgspec.Struct,
    place: "_Place",
    lease: tuple[str, datetime] | None,
    ctx: Requester | None,
    now: datetime,
) -> dict[str, Any]:
    """Return the row of an operation that begins ``now``, under a lease where its worker takes it at once."""
    return {
        "id": ids.new_id(),
        "kind": declared.kind,
        "resource": resource,
        "live_resource": place.live_resource,
        "part": place.part,
        "turn": place.turn,
        "input": _encode(input).decode(),
        "state": RUNNING,
        "epoch": 1 if lease else 0,
        "lease_owner": lease and lease[0],
        "lease_expires_at": lease and lease[1],
        "deadline": max(now, place.not_before or now) + timedelta(seconds=declared.deadline_s),
        "next_attempt_at": now,
        "attempts": 0,
        "after": None,
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


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a new operation stands among those of its resource."""

    live_resource: str
    part: str | None = None
    turn: int = 0
    waits_for: tuple[str, ...] = ()
    not_before: datetime | None = None
    """When the last of those it waits for will have had its time."""


def _hold(tx: Tx, declared: Declaration, resource: str, input: msgspec.Struct, *, supersede: bool) -> _Place:
    """Return the place of an operation that has its resource for itself, or follows the one that has."""
    if not supersede or (live := find_live(tx, resource)) is None:
        return _Place(live_resource=resource)
    cancel(tx, live, SUPERSEDED + declared.kind)
    return _Place(live_resource=resource + _NEXT, waits_for=(live.id,))


def _queue(tx: Tx, declared: Declaration, resource: str, input: msgspec.Struct, *, supersede: bool) -> _Place:
    """Return the last place in the resource's line."""
    line = turns.line_of(tx, resource)
    turn = line[-1].turn + 1 if line else 1
    part = None if declared.part is None else declared.part(input)
    ahead = turns.ahead_of(line, part)
    if supersede:
        for one in ahead:
            cancel(tx, Live(one.id, one.kind, one.state), SUPERSEDED + declared.kind)
    return _Place(
        live_resource=f"{resource}#{turn}",
        part=part,
        turn=turn,
        waits_for=tuple(one.id for one in ahead),
        not_before=max((one.deadline for one in ahead), default=None),
    )


def _insert(tx: Tx, row: dict[str, Any]) -> None:
    following = row["live_resource"] != row["resource"]
    taken = row["live_resource"] if row["turn"] else row["resource"] + _NEXT
    try:
        done = tx.connection().execute(
            _INSERT, {**row, "busy_now": taken if following else row["resource"], "busy_next": taken}
        )
    except IntegrityError as error:
        if row["turn"]:
            raise Collided(f"two operations took turn {row['turn']} of {row['resource']}") from error
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
    .where(_table.c.resource == bindparam("of"), _table.c.live_resource.is_not(None))
    .order_by(_table.c.turn.desc(), _table.c.live_resource.desc())
)
_CANCEL = (
    update(_table)
    .where(_table.c.id == bindparam("operation"), _table.c.state == RUNNING)
    .values(state=UNDOING, error=bindparam("reason"), updated_at=bindparam("now"), next_attempt_at=bindparam("now"))
)


def find_live(tx: Tx, resource: str) -> Live | None:
    """Return the operation that holds ``resource``, the last in its line where several wait for each other."""
    row = tx.connection().execute(_LIVE, {"of": resource}).first()
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
