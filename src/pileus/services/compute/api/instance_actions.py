"""Instance actions: what was done to a server, read from the journal of its operations."""

from typing import Annotated

from msgspec import UNSET, UnsetType, field

from pileus.kernel.clock import iso_micro
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.operations import OperationRow, alarms
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Query, View, page_size, since
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.api.server_views import host_id_of
from pileus.services.compute.lifecycle import action_of
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store

RESULTS = {"succeeded": "Success", "failed": "Error", "stuck": "Error"}


class EventView(View, kw_only=True):
    event: str
    start_time: str
    finish_time: str | None
    result: str | None
    traceback: str | UnsetType | None = UNSET
    host: Annotated[str | UnsetType, since("2.62")] = UNSET
    hostId: Annotated[str | UnsetType, since("2.62")] = UNSET
    details: Annotated[str | UnsetType | None, since("2.84")] = UNSET


class ActionView(View, kw_only=True):
    action: str
    instance_uuid: str
    request_id: str
    user_id: str
    project_id: str
    start_time: str
    message: str | None
    updated_at: Annotated[str, since("2.58")]
    events: list[EventView] | UnsetType = UNSET


class ActionQuery(Query, kw_only=True):
    strict_since = "2.58"

    limit: int | None = None
    marker: str | None = None
    changes_since: str | None = field(name="changes-since", default=None)
    changes_before: str | None = field(name="changes-before", default=None)


def _load(tx: Tx, ctx: Context, id: str, rule: Rule) -> Server:
    """Return a server whose actions the caller may read; those of deleted ones since 2.21."""
    server = store.get_server(tx, id)
    if server is None or (server.deleted_at is not None and ctx.version < (2, 21)):
        raise NotFound(f"Instance {id} could not be found.")
    if not ctx.allows(rule, server):
        ctx.require(rule)
        raise NotFound(f"Instance {id} could not be found.")
    return server


def _view(server: Server, row: OperationRow) -> ActionView:
    return ActionView(
        action=action_of(row.kind),
        instance_uuid=server.id,
        request_id=row.request_id or row.id,
        user_id=row.user_id or server.user_id,
        project_id=row.project_id or server.project_id,
        start_time=iso_micro(row.created_at),
        message="Error" if row.error else None,
        updated_at=iso_micro(row.finished_at or row.updated_at),
    )


@api.get("/servers/{id}/os-instance-actions", rules.ACTIONS_LIST, wrap="instanceActions", until="2.57", by_handler=True)
def list_actions(tx: Tx, ctx: Context, id: str) -> list[ActionView]:
    server = _load(tx, ctx, id, rules.ACTIONS_LIST)
    return [_view(server, row) for row in store.list_actions(tx, server.id)]


@api.get("/servers/{id}/os-instance-actions", rules.ACTIONS_LIST, wrap="instanceActions", since="2.58", by_handler=True)
def list_actions_paged(tx: Tx, ctx: Context, id: str, query: ActionQuery) -> Page:
    server = _load(tx, ctx, id, rules.ACTIONS_LIST)
    rows = store.list_actions(tx, server.id)
    since_text, before = _moment(query.changes_since), _moment(query.changes_before)
    views = [view for row in rows if since_text <= (view := _view(server, row)).updated_at[:19] <= (before or "9999")]
    if query.marker is not None:
        at = next((n for n, view in enumerate(views) if view.request_id == query.marker), None)
        if at is None:
            raise Invalid(f"marker [{query.marker}] not found: it must be the request id of an action.")
        views = views[at + 1 :]
    size = page_size(tx, query.limit)
    return Page(views[:size], views[size - 1].request_id if 0 < size < len(views) else None)


def _moment(text: str | None) -> str:
    return (text or "").replace("Z", "").replace(" ", "T")[:19]


@api.get("/servers/{id}/os-instance-actions/{request_id}", rules.ACTIONS_SHOW, wrap="instanceAction", by_handler=True)
def show_action(tx: Tx, ctx: Context, id: str, request_id: str) -> ActionView:
    server = _load(tx, ctx, id, rules.ACTIONS_SHOW)
    found = next((row for row in store.list_actions(tx, id) if request_id in (row.request_id, row.id)), None)
    if found is None:
        raise NotFound(f"Action for request_id {request_id} on instance {id} not found.")
    view = _view(server, found)
    if ctx.version >= (2, 51) or ctx.allows(rules.ACTIONS_EVENTS, server):
        view.events = [_event(ctx, server, found, _present(tx, found))]
    return view


def _present(tx: Tx, row: OperationRow) -> str | None:
    """Return why an operation that is at work has not ended: what it waits for, or keeps failing at."""
    if row.live_resource is None:
        return None
    if ahead := alarms.waited_for(tx, [row.id]).get(row.id):
        return f"It waits for {', '.join(action_of(one.kind) for one in ahead)}."
    trouble = alarms.trouble_of(row)
    return None if trouble is None else f"It is tried again: {trouble}."


def _event(ctx: Context, server: Server, row: OperationRow, present: str | None) -> EventView:
    """Return an operation as the one event of its action."""
    admin = ctx.allows(rules.ACTIONS_EVENTS, server)
    return EventView(
        event=f"compute_{action_of(row.kind)}",
        start_time=iso_micro(row.created_at),
        finish_time=iso_micro(row.finished_at) if row.finished_at else None,
        result=RESULTS.get(row.state) if row.finished_at else None,
        traceback=row.error if admin else UNSET,
        host=(server.host or "") if admin else UNSET,
        hostId=host_id_of(server.project_id, server.host),
        details=(row.error or present) if ctx.allows(rules.ACTIONS_DETAILS, server) else UNSET,
    )
