"""The snapshots resource."""

from typing import Any

from msgspec import UNSET, UnsetType, field

from pileus.kernel import clock, events, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody, Page, Request, Response, changes, link_page
from pileus.kernel.rest.references import SomeUser, referred
from pileus.services.block_storage.api import views
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import (
    ListQuery,
    boolean,
    counted,
    mapping,
    project_of,
    refuse_unknown,
    window,
)
from pileus.services.block_storage.api.references import SomeVolume, VolumeId
from pileus.services.block_storage.api.volumes import Metadata, Name
from pileus.services.block_storage.app import snapshots as app
from pileus.services.block_storage.model import Snapshot, Volume
from pileus.services.block_storage.store import snapshots

CREATE = Rule("volume:create_snapshot", policy.ADMIN_OR_MEMBER)
SHOW = Rule("volume:get_snapshot", policy.ADMIN_OR_READER)
LIST = Rule("volume:get_all_snapshots", policy.ADMIN_OR_READER)
UPDATE = Rule("volume:update_snapshot", policy.ADMIN_OR_MEMBER)
DELETE = Rule("volume:delete_snapshot", policy.ADMIN_OR_MEMBER)
RESET = Rule("volume_extension:snapshot_admin_actions:reset_status", policy.ADMIN)
FORCE_DELETE = Rule("volume_extension:snapshot_admin_actions:force_delete", policy.ADMIN)
UPDATE_STATUS = Rule("snapshot_extension:snapshot_actions:update_snapshot_status", policy.ADMIN_OR_MEMBER)
ACTION = "/snapshots/{snapshot}/action"


class SnapshotListQuery(ListQuery):
    name: str | None = None
    display_name: str | None = None
    name_like: str | None = field(name="name~", default=None)
    status: str | None = None
    volume_id: SomeVolume | None = None
    user_id: SomeUser | None = None
    metadata: str | None = None
    availability_zone: str | None = None


FILTERS = frozenset(
    {"name", "name~", "display_name", "status", "volume_id", "metadata", "availability_zone", "project_id",
     "created_at", "updated_at", "consumes_quota"}
)  # fmt: skip


class SnapshotCreate(OpenBody):
    volume_id: VolumeId | None  # null names no volume, which is 404 and not 400
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    metadata: Metadata | None = None
    force: bool | str | None = None


class SnapshotUpdate(OpenBody):
    name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    display_name: Name | UnsetType | None = UNSET
    display_description: Name | UnsetType | None = UNSET


@api.get("/snapshots", LIST, wrap="snapshots")
def list_summaries(tx: Tx, ctx: Context, query: SnapshotListQuery, request: Request) -> Page | Response:
    return _list(tx, ctx, query, request, full=False)


@api.get("/snapshots/detail", LIST, wrap="snapshots")
def list_details(tx: Tx, ctx: Context, query: SnapshotListQuery, request: Request) -> Page | Response:
    return _list(tx, ctx, query, request, full=True)


def _list(tx: Tx, ctx: Context, query: SnapshotListQuery, request: Request, *, full: bool) -> Page | Response:
    refuse_unknown(ctx, request, FILTERS)
    wanted = snapshots.SnapshotFilter(
        project_id=project_of(ctx, query),
        user_id=query.user_id,
        name=query.name if query.name is not None else query.display_name,
        name_like=query.name_like if ctx.version >= (3, 31) else None,
        status=query.status,
        volume_id=query.volume_id,
        availability_zone=query.availability_zone,
        metadata=mapping(query.metadata, "metadata") if ctx.version >= (3, 22) else {},
    )
    rows, marker = snapshots.list_snapshots(tx, wanted, window(query, snapshots.SORT_KEYS))
    items: list[Any] = [views.snapshot_view(row, full=full) for row in rows]
    if not counted(ctx, query):
        return Page(items, marker)
    content = link_page("snapshots", items, marker, request, ctx)
    return views.with_count(content, snapshots.count_snapshots(tx, wanted), ctx)


@api.get("/snapshots/{snapshot}", SHOW, wrap="snapshot")
def show(snapshot: Snapshot) -> views.SnapshotView:
    return views.snapshot_view(snapshot)


@api.post("/snapshots", CREATE, wrap="snapshot", status=202)
def create(tx: Tx, ctx: Context, body: SnapshotCreate) -> views.SnapshotView:
    force = boolean(body.force, "force", default=False)
    if ctx.version >= (3, 66):
        if body.force is not None and not force:
            raise Invalid("Invalid input: 'force' cannot be false in version 3.66 and later: leave it out.")
        force = True
    if body.volume_id is None:
        raise NotFound("Volume None could not be found.")
    volume: Volume = referred(tx, "volume", body.volume_id)
    snapshot = app.create_snapshot(
        tx,
        ctx,
        volume,
        name=body.name if body.name is not None else body.display_name,
        description=body.description,
        metadata=body.metadata or {},
        force=force,
    )
    return views.snapshot_view(snapshot, full=False)


@api.put("/snapshots/{snapshot}", UPDATE, wrap="snapshot")
def update(tx: Tx, ctx: Context, snapshot: Snapshot, body: SnapshotUpdate) -> views.SnapshotView:
    given = changes(body)
    if not given:
        raise Invalid("Missing required element 'snapshot' in request body: give a name or a description.")
    for name, value in given.items():
        setattr(snapshot, name.removeprefix("display_"), value)
    snapshot.updated_at = clock.now()
    events.emit(tx, "block_storage.snapshot.updated", snapshot.id, ctx=ctx)
    return views.snapshot_view(snapshot, full=False)


@api.delete("/snapshots/{snapshot}", DELETE, status=202)
def delete(tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
    app.delete_snapshot(tx, ctx, snapshot)


@api.action(ACTION, "os-force_delete", FORCE_DELETE, status=202)
def force_delete(tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
    app.delete_snapshot(tx, ctx, snapshot, force=True)


class Status(OpenBody):
    status: str


class StatusAndProgress(Status):
    progress: str | None = None


@api.action(ACTION, "os-reset_status", RESET, status=202)
def reset_status(tx: Tx, ctx: Context, snapshot: Snapshot, body: Status) -> None:
    app.reset_status(tx, ctx, snapshot, body.status.lower())


@api.action(ACTION, "os-update_snapshot_status", UPDATE_STATUS, status=202)
def update_status(tx: Tx, ctx: Context, snapshot: Snapshot, body: StatusAndProgress) -> None:
    app.reset_status(tx, ctx, snapshot, body.status)
    if body.progress is not None:
        snapshot.progress = body.progress
