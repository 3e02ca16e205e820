"""``GET /v1/requests/{id}``: what a request did and why, for whoever sent it and for admins.

Rule: a request of somebody else's project is 404, as if it had never been.
"""

from datetime import datetime
from typing import Any

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound, without_paths
from pileus.kernel.events import Event
from pileus.kernel.operations.model import OperationRow, StepRow
from pileus.kernel.policy import Rule
from pileus.kernel.requests import Answered, Trace, trace
from pileus.kernel.rest.routing import Api
from pileus.kernel.rest.schema import View

MOUNT = "v1"
SHOW = Rule(
    "pileus:requests:show",
    f"is_admin:True or ({policy.READER}) or user_id:%(user_id)s",
    "See what a request did: its operations, steps and events.",
    scopes=policy.EVERY_SCOPE,
)

api = Api("pileus")


class StepView(View):
    """One step of an operation: in the database, on a host, or elsewhere."""

    name: str
    state: str
    """started, done, or undone"""
    command: str | None
    """What a host was told, of steps on hosts."""
    host: str | None
    """Which host; only admins see it."""
    attempts: int
    """How often it failed."""
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None


class OperationView(View):
    """One durable operation that the request began."""

    id: str
    kind: str
    resource: str
    state: str
    progress: str | None
    error: str | None
    alarm: str | None
    last_refusal: str | None
    """Why the step under way was last refused, while it is being tried again."""
    tries: int
    next_at: datetime | None
    """When it is tried again."""
    created_at: datetime
    deadline: datetime
    finished_at: datetime | None
    seconds: float | None
    steps: list[StepView]


class EventView(View):
    """One change that was told to whoever watches."""

    sequence: int
    kind: str
    resource_id: str
    at: datetime


class RequestView(View):
    """One request, from its arrival to the end of all it began."""

    id: str
    method: str | None
    path: str | None
    status: int | None
    refusal: str | None
    """Why it was refused; of refused requests only."""
    replays: str | None
    """The request whose answer was given again under its Idempotency-Key."""
    project_id: str | None
    user_id: str | None
    at: datetime | None
    seconds: float | None
    state: str
    """answered, refused, running, stuck, failed or succeeded: of the operations it began, the worst."""
    operations: list[OperationView]
    events: list[EventView]


@api.get("/requests/{request_id}", SHOW, wrap="request", by_handler=True)
def show_request(tx: Tx, ctx: Context, request_id: str, runtime: Any) -> RequestView:
    """Show what a request did: its operations with their steps, the commands to hosts, its events."""
    found = trace(tx, request_id, runtime.app.recent)
    if found is None or not _may_see(ctx, found):
        raise NotFound(
            f"Request {request_id} could not be found: requests are remembered for a week, those that changed nothing "
            "only until newer ones of the same server displace them."
        )
    return request_view(found, hosts=ctx.is_admin)


def _may_see(ctx: Context, found: Trace) -> bool:
    project_id, user_id = found.owners
    return ctx.allows(SHOW, {"project_id": project_id, "user_id": user_id})


def request_view(found: Trace, *, hosts: bool) -> RequestView:
    """Return a trace as it is shown; ``hosts``: with the names of the cloud's machines."""
    answered = found.answered or Answered(found.id, "", "", 0, *found.owners, at=_first_time(found))
    return RequestView(
        id=found.id,
        method=answered.method or None,
        path=answered.path or None,
        status=answered.status or None,
        refusal=answered.refusal,
        replays=answered.replays,
        project_id=answered.project_id,
        user_id=answered.user_id,
        at=answered.at,
        seconds=answered.seconds,
        state=_state(answered, [operation for operation, _ in found.operations]),
        operations=[_operation(operation, steps, hosts) for operation, steps in found.operations],
        events=[_event(event) for event in found.events],
    )


def _first_time(found: Trace) -> datetime:
    return found.operations[0][0].created_at if found.operations else found.events[0].at


def _state(answered: Answered, operations: list[OperationRow]) -> str:
    states = {operation.state for operation in operations}
    for state in ("stuck", "undoing", "running", "failed", "succeeded"):
        if state in states:
            return state
    return "refused" if answered.status >= 400 else "answered"


def _operation(row: OperationRow, steps: list[StepRow], hosts: bool) -> OperationView:
    return OperationView(
        id=row.id,
        kind=row.kind,
        resource=row.resource,
        state=row.state,
        progress=row.progress,
        error=row.error,
        alarm=row.alarm,
        created_at=row.created_at,
        deadline=row.deadline,
        finished_at=row.finished_at,
        seconds=_between(row.created_at, row.finished_at),
        last_refusal=row.last_refusal,
        tries=row.tries,
        next_at=row.next_at,
        steps=[_step(step, hosts) for step in steps],
    )


def _step(row: StepRow, hosts: bool) -> StepView:
    return StepView(
        name=row.name,
        state="undone" if row.undone else row.state,
        command=row.command,
        host=row.host if hosts else None,
        attempts=row.attempts,
        error=row.error if hosts or row.error is None else without_paths(row.error),
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=_between(row.started_at, row.finished_at),
    )


def _event(row: Event) -> EventView:
    return EventView(sequence=row.sequence, kind=row.kind, resource_id=row.resource_id, at=row.at)


def _between(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds(), 6)
