"""What is remembered of requests, so that anybody can be told later what one of them did.

Rule: a write is remembered in its own transaction, for as long as its events; what changed nothing (reads, refusals)
only in the memory of the process that answered it, a fixed number of them.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import String, bindparam, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Row, Tx
from pileus.kernel.events import Event
from pileus.kernel.history import HistorySettings
from pileus.kernel.operations.model import OperationRow, StepRow
from pileus.kernel.reconcile import World, reconciler

RECENT = 5000
LONGEST_PATH = 1000
LONGEST_REFUSAL = 500
MOST_EVENTS = 1000


class RequestRow(Row):
    """One write that was answered; ``replays`` names the request whose answer was given again."""

    __tablename__ = "requests"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    method: Mapped[str] = mapped_column(String(10))
    path: Mapped[str] = mapped_column(String(LONGEST_PATH))
    status: Mapped[int]
    project_id: Mapped[str | None] = mapped_column(String(64))
    user_id: Mapped[str | None] = mapped_column(String(64))
    global_request_id: Mapped[str | None] = mapped_column(String(64))
    replays: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(index=True)


class Answered(msgspec.Struct, frozen=True):
    """One request that was answered, whether it changed anything or not."""

    id: str
    method: str
    path: str
    status: int
    project_id: str | None
    user_id: str | None
    at: datetime
    seconds: float | None = None
    refusal: str | None = None
    """The sentence it was refused with."""
    replays: str | None = None
    global_request_id: str | None = None


class Recent:
    """The last requests this process answered."""

    def __init__(self, size: int = RECENT) -> None:
        self._answered: deque[tuple[Any, ...]] = deque(maxlen=size)

    def add(self, ctx: Context, method: str, path: str, status: int, seconds: float) -> None:
        """Remember one; the oldest is forgotten for it."""
        caller = ctx.caller
        self._answered.append(
            (
                ctx.request_id,
                method,
                path[:LONGEST_PATH],
                status,
                caller.project_id,
                caller.user_id,
                clock.now(),
                seconds,
                None if ctx.refusal is None else ctx.refusal[:LONGEST_REFUSAL],
            )
        )

    def find(self, id: str) -> Answered | None:
        """Return a request of the recent ones."""
        found = next((one for one in reversed(self._answered) if one[0] == id), None)
        return None if found is None else Answered(*found)


_table: Any = RequestRow.__table__
_INSERT = insert(_table).values({column.name: bindparam(column.name) for column in _table.columns})


def remember(tx: Tx, ctx: Context, method: str, path: str, status: int, *, replays: str | None = None) -> None:
    """Write a request down in its own transaction."""
    tx.connection().execute(
        _INSERT,
        {
            "id": ctx.request_id,
            "method": method,
            "path": path[:LONGEST_PATH],
            "status": status,
            "project_id": ctx.caller.project_id,
            "user_id": ctx.caller.user_id,
            "global_request_id": ctx.global_request_id,
            "replays": replays,
            "at": clock.now(),
        },
    )


class Trace(msgspec.Struct):
    """A request and what came of it; ``answered`` is unknown for work that no request asked for."""

    id: str
    answered: Answered | None
    operations: list[tuple[OperationRow, list[StepRow]]]
    events: list[Event]

    @property
    def owners(self) -> tuple[str | None, str | None]:
        """The project and the user that asked."""
        source: Any = self.answered or (self.operations[0][0] if self.operations else None)
        if source is not None:
            return source.project_id, source.user_id
        return (self.events[0].project_id if self.events else None), None


def trace(tx: Tx, id: str, recent: Recent | None = None) -> Trace | None:
    """Return what is known of a request, None when nothing is."""
    row = tx.get(RequestRow, id)
    answered = recent.find(id) if recent is not None else None
    if row is not None:
        answered = Answered(
            id=row.id,
            method=row.method,
            path=row.path,
            status=row.status,
            project_id=row.project_id,
            user_id=row.user_id,
            at=row.at,
            seconds=answered.seconds if answered else None,
            replays=row.replays,
            global_request_id=row.global_request_id,
        )
    begun = list(
        tx.scalars(select(OperationRow).where(OperationRow.request_id == id).order_by(OperationRow.created_at))
    )
    steps: dict[str, list[StepRow]] = {operation.id: [] for operation in begun}
    if begun:
        of_these = select(StepRow).where(StepRow.operation_id.in_(list(steps)))
        for step in tx.scalars(of_these.order_by(StepRow.operation_id, StepRow.position)):
            steps[step.operation_id].append(step)
    told = list(tx.scalars(select(Event).where(Event.request_id == id).order_by(Event.sequence).limit(MOST_EVENTS)))
    if answered is None and not begun and not told:
        return None
    return Trace(id, answered, [(operation, steps[operation.id]) for operation in begun], told)


def forget(tx: Tx, kept: HistorySettings, limit: int) -> int:
    """Delete requests that are old enough, at most ``limit``; return how many there were."""
    before = clock.now() - timedelta(days=kept.requests_days)
    old = list(tx.scalars(select(RequestRow.id).where(RequestRow.at < before).order_by(RequestRow.at).limit(limit)))
    if old:
        tx.execute(delete(RequestRow).where(RequestRow.id.in_(old)))
    return len(old)


@reconciler("kernel.request_history", every_s=3600)
async def prune_requests(world: World) -> None:
    """Forget old requests."""
    await world.forget(forget, world.settings(HistorySettings))
