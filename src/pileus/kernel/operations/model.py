"""The rows of durable operations.  Rule: only ``journal``, ``begin``, ``claims`` and ``alarms`` write them."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row

RUNNING = "running"
UNDOING = "undoing"
STUCK = "stuck"
SUCCEEDED = "succeeded"
FAILED = "failed"
LIVE = (RUNNING, UNDOING, STUCK)

STARTED = "started"
DONE = "done"


class OperationRow(Row):
    """One durable operation, from the request that began it to its end.

    ``live_resource`` repeats ``resource`` while the operation lives and is null afterwards: a unique index
    lets any number of nulls stand side by side on every engine, so it is the lock "one live operation per
    resource" without partial indexes.  A successor that waits for the live one to be undone holds
    ``resource#next`` until then.  Operations that take turns hold ``resource#<turn>``: their lock is the order of
    their turns (``turns.py``), and the index sees to it that no two of them take the same one.
    """

    __tablename__ = "operations"
    __table_args__ = (Index("ix_operations_state_finished_at", "state", "finished_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(80))
    resource: Mapped[str] = mapped_column(String(160), index=True)
    live_resource: Mapped[str | None] = mapped_column(String(180), unique=True)
    part: Mapped[str | None] = mapped_column(String(80))
    """What of the resource it changes, ``volume/<id>``; null where that is all of it."""
    turn: Mapped[int] = mapped_column(default=0)
    """Its place in the resource's line, from 1; 0 for operations that take no turns."""
    input: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    epoch: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime | None]
    deadline: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    after: Mapped[str | None] = mapped_column(String(36))
    progress: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    last_refusal: Mapped[str | None] = mapped_column(Text)
    """Why the step under way was refused when it was last tried, in words that a user may read."""
    tries: Mapped[int] = mapped_column(default=0)
    """How often that step has been refused in this run."""
    next_at: Mapped[datetime | None]
    """When it is tried again; null when nothing is being tried again."""
    alarm: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(64), index=True)
    user_id: Mapped[str | None] = mapped_column(String(64))
    project_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class StepRow(Row):
    """What is known of one step: its result once done, its last failure while it is being retried.

    ``command`` and ``host`` say, of a step on a host, who was told what: for the trace, not for the journal.
    """

    __tablename__ = "operation_steps"

    operation_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    position: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    result: Mapped[str | None] = mapped_column(Text)
    undone: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it has failed so far."""
    error: Mapped[str | None] = mapped_column(Text)
    command: Mapped[str | None] = mapped_column(String(120))
    host: Mapped[str | None] = mapped_column(String(255))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
