"""Who may run an operation: leases, taken by compare-and-swap and kept alive by a heartbeat.

Rule: taking a lease raises the epoch, so that whoever held it before can write nothing more.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, or_, select, update

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.operations import turns
from pileus.kernel.operations.begin import release
from pileus.kernel.operations.declare import declaration
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.model import LIVE, RUNNING, STUCK, UNDOING, OperationRow

_table: Any = OperationRow.__table__
_before = _table.alias("before")
_live = _table.c.live_resource.is_not(None)
_due = and_(
    or_(
        _table.c.after.is_(None),
        ~select(_before.c.id).where(_before.c.id == _table.c.after, _before.c.state.in_(LIVE)).exists(),
    ),
    ~turns.hindered,
)
_overdue = and_(_table.c.turn > 0, or_(_table.c.state != RUNNING, _table.c.deadline <= bindparam("now")))
"""Of those that take turns: what was told to turn back, or has waited for too long, need not wait to be given up."""
_ready = (_live, _table.c.next_attempt_at <= bindparam("now"), or_(_due, _overdue))
_free = or_(_table.c.lease_owner.is_(None), _table.c.lease_expires_at < bindparam("now"))
_FREE = select(_table.c.id, _table.c.epoch).where(*_ready, _free).order_by(_table.c.created_at)
_DEAD = (
    select(_table.c.id, _table.c.epoch)
    .where(*_ready, or_(_free, _table.c.lease_owner.in_(bindparam("dead", expanding=True))))
    .order_by(_table.c.created_at)
)
_OWNERS = select(_table.c.lease_owner).where(_live, _table.c.lease_owner.is_not(None)).distinct()
_CLAIM = (
    update(_table)
    .where(_table.c.id == bindparam("operation"), _table.c.epoch == bindparam("seen"), _live)
    .values(
        epoch=bindparam("seen") + 1,
        live_resource=case((_table.c.turn > 0, _table.c.live_resource), else_=_table.c.resource),
        lease_owner=bindparam("owner"),
        lease_expires_at=bindparam("until"),
    )
)
_CLAIMED = select(_table).where(_table.c.id == bindparam("operation"))
_SET_OUT = (
    update(_table)
    .where(_table.c.id == bindparam("operation"))
    .values(deadline=bindparam("until"), state=bindparam("new_state"), error=bindparam("reason"))
)
_mine = (_table.c.lease_owner == bindparam("owner"), _table.c.id.in_(bindparam("held", expanding=True)))
_EXTEND = update(_table).where(*_mine).values(lease_expires_at=bindparam("until"))
_HELD = select(_table.c.id, _table.c.state).where(*_mine)
_ROUSE = update(_table).where(_table.c.state == STUCK, _table.c.lease_owner.is_(None))
_ROUSE = _ROUSE.values(next_attempt_at=bindparam("now"))
_RELEASE = update(_table).where(*_mine).values(release())


def find_ready(tx: Tx, now: datetime, dead: Sequence[str], limit: int) -> list[tuple[str, int]]:
    """Return (id, epoch) of operations that nobody runs, oldest first; ``dead`` owners hold nothing."""
    if dead:
        rows = tx.connection().execute(_DEAD.limit(limit), {"now": now, "dead": list(dead)})
    else:
        rows = tx.connection().execute(_FREE.limit(limit), {"now": now})
    return [(row.id, row.epoch) for row in rows]


def find_owners(tx: Tx) -> list[str]:
    """Return everybody who holds a lease."""
    return [owner for (owner,) in tx.connection().execute(_OWNERS)]


def claim(tx: Tx, ready: Iterable[tuple[str, int]], owner: str, until: datetime) -> list[Claimed]:
    """Take the leases of operations found ready and return those that were still to be had."""
    return [claimed for id, seen in ready if (claimed := _claim(tx, id, seen, owner, until)) is not None]


def extend(tx: Tx, held: Sequence[str], owner: str, until: datetime) -> dict[str, bool]:
    """Extend the leases that are still ours; return for each whether it still goes forward."""
    values = {"held": list(held), "owner": owner, "until": until}
    tx.connection().execute(_EXTEND, values)
    rows = tx.connection().execute(_HELD, {"held": list(held), "owner": owner})
    return {row.id: row.state == RUNNING for row in rows}


def give_up(tx: Tx, held: Sequence[str], owner: str) -> None:
    """Let go of leases, so that the next worker need not wait for their end."""
    tx.connection().execute(_RELEASE, {"held": list(held), "owner": owner})


def rouse(tx: Tx, now: datetime) -> None:
    """Make stuck operations ready: something that they could not do without has changed."""
    tx.connection().execute(_ROUSE, {"now": now})


def _claim(tx: Tx, id: str, seen: int, owner: str, until: datetime) -> Claimed | None:
    values = {"operation": id, "seen": seen, "owner": owner, "until": until}
    if tx.connection().execute(_CLAIM, values).rowcount != 1:
        return None
    row = tx.connection().execute(_CLAIMED, {"operation": id}).one()
    if row.turn and row.epoch == 1 and row.state == RUNNING:
        row = _set_out(tx, row)
    return Claimed(
        id=row.id,
        kind=row.kind,
        resource=row.resource,
        input=row.input,
        state=row.state,
        epoch=row.epoch,
        owner=owner,
        lease_expires_at=until,
        deadline=row.deadline,
        created_at=row.created_at,
        error=row.error,
        request_id=row.request_id,
        user_id=row.user_id,
        project_id=row.project_id,
        fresh=row.epoch == 1,
    )


def _set_out(tx: Tx, row: Any) -> Any:
    """Give an operation whose turn has come the time of its kind; give up one that has waited for too long."""
    now, reason, state = clock.now(), row.error, RUNNING
    until = min(row.deadline, now + timedelta(seconds=declaration(row.kind).deadline_s))
    if row.deadline <= now and (ahead := turns.waited_for(tx, [row.id]).get(row.id)):
        state = UNDOING
        reason = f"Its turn did not come in time: it waited for {turns.names_of(ahead)}; nothing was done. Try again."
    elif until == row.deadline:
        return row
    tx.connection().execute(_SET_OUT, {"operation": row.id, "until": until, "new_state": state, "reason": reason})
    return tx.connection().execute(_CLAIMED, {"operation": row.id}).one()
