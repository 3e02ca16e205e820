"""The backups resource."""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType, field

from pileus.kernel import clock, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody, Page, Request, Response, View, changes, json_response, since
from pileus.kernel.rest.references import referred
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import ListQuery, boolean, counted, project_of, window
from pileus.services.block_storage.api.references import SnapshotId, SomeSnapshot, SomeVolume, VolumeId
from pileus.services.block_storage.api.views import Link, links, moment, with_count
from pileus.services.block_storage.api.volumes import Metadata, Name
from pileus.services.block_storage.app import backups as app
from pileus.services.block_storage.model import Backup
from pileus.services.block_storage.store import backups

CREATE = Rule("backup:create", policy.ADMIN_OR_MEMBER)
SHOW = Rule("backup:get", policy.ADMIN_OR_READER)
LIST = Rule("backup:get_all", policy.ADMIN_OR_READER)
UPDATE = Rule("backup:update", policy.ADMIN_OR_MEMBER)
DELETE = Rule("backup:delete", policy.ADMIN_OR_MEMBER)
RESTORE = Rule("backup:restore", policy.ADMIN_OR_MEMBER)
SEE_PROJECT = Rule("backup:backup_project_attribute", policy.ADMIN)
RESET = Rule("volume_extension:backup_admin_actions:reset_status", policy.ADMIN)
FORCE_DELETE = Rule("volume_extension:backup_admin_actions:force_delete", policy.ADMIN)


class BackupSummary(View):
    id: str
    name: str | None
    links: list[Link]


class BackupView(BackupSummary):
    description: str | None
    status: str
    fail_reason: str | None
    volume_id: str
    snapshot_id: str | None
    size: int
    container: str
    object_count: int
    availability_zone: str
    is_incremental: bool
    has_dependent_backups: bool
    data_timestamp: str | None
    created_at: str
    updated_at: str | None
    project_id: Annotated[str | UnsetType, since("3.18")] = field(
        name="os-backup-project-attr:project_id", default=UNSET
    )
    metadata: Annotated[dict[str, str] | UnsetType, since("3.43")] = UNSET
    user_id: Annotated[str | UnsetType, since("3.56")] = UNSET


def backup_summary(ctx: Context, row: Backup) -> BackupSummary:
    """Return a backup for the short list."""
    return BackupSummary(id=row.id, name=row.name, links=links(ctx, "backups", row.id))


def backup_view(ctx: Context, row: Backup) -> BackupView:
    """Return a backup."""
    view = BackupView(
        id=row.id,
        name=row.name,
        links=links(ctx, "backups", row.id),
        description=row.description,
        status=row.status,
        fail_reason=row.fail_reason,
        volume_id=row.volume_id,
        snapshot_id=row.snapshot_id,
        size=row.size,
        container=row.container,
        object_count=row.object_count,
        availability_zone=row.availability_zone,
        is_incremental=False,
        has_dependent_backups=False,
        data_timestamp=moment(row.data_timestamp),
        created_at=clock.iso_micro(row.created_at),
        updated_at=moment(row.updated_at),
        metadata=row.properties,
        user_id=row.user_id,
    )
    if ctx.allows(SEE_PROJECT):
        view.project_id = row.project_id
    return view


class BackupListQuery(ListQuery):
    name: str | None = None
    status: str | None = None
    volume_id: SomeVolume | None = None
    snapshot_id: SomeSnapshot | None = None


class BackupCreate(OpenBody):
    volume_id: VolumeId
    name: Name | None = None
    description: Name | None = None
    container: str | None = None
    incremental: bool | str | None = None
    force: bool | str | None = None
    snapshot_id: SnapshotId | None = None
    metadata: Annotated[Metadata | None, since("3.43")] = None


class BackupUpdate(OpenBody):
    name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    metadata: Annotated[Metadata | UnsetType, since("3.43")] = UNSET


@api.get("/backups", LIST, wrap="backups")
def list_summaries(tx: Tx, ctx: Context, query: BackupListQuery) -> Page:
    rows, marker = backups.list_backups(tx, _filter(ctx, query), window(query, backups.SORT_KEYS))
    return Page([backup_summary(ctx, row) for row in rows], marker)


@api.get("/backups/detail", LIST, wrap="backups")
def list_details(tx: Tx, ctx: Context, query: BackupListQuery, request: Request) -> Page | Response:
    wanted = _filter(ctx, query)
    rows, marker = backups.list_backups(tx, wanted, window(query, backups.SORT_KEYS))
    items: list[Any] = [backup_view(ctx, row) for row in rows]
    if not counted(ctx, query):
        return Page(items, marker)
    return with_count(api.page("backups", items, marker, request, ctx), backups.count_backups(tx, wanted), ctx)


def _filter(ctx: Context, query: BackupListQuery) -> backups.BackupFilter:
    return backups.BackupFilter(
        project_id=project_of(ctx, query),
        name=query.name,
        status=query.status,
        volume_id=query.volume_id,
        snapshot_id=query.snapshot_id,
    )


@api.get("/backups/{backup}", SHOW, wrap="backup")
def show(ctx: Context, backup: Backup) -> BackupView:
    return backup_view(ctx, backup)


@api.post("/backups", CREATE, wrap="backup", status=202)
def create(tx: Tx, ctx: Context, body: BackupCreate) -> dict[str, Any]:
    if boolean(body.incremental, "incremental", default=False):
        raise Invalid("Invalid backup: this cloud makes full backups only: leave 'incremental' out.")
    if body.container is not None and ("/" in body.container or not 0 < len(body.container) <= 255):
        raise Invalid("Invalid input: 'container' must be a name of 1 to 255 characters without a slash.")
    force = boolean(body.force, "force", default=False)
    row = app.create_backup(
        tx,
        ctx,
        referred(tx, "volume", body.volume_id),
        referred(tx, "snapshot", body.snapshot_id) if body.snapshot_id else None,
        name=body.name,
        description=body.description,
        container=body.container,
        metadata=body.metadata or {},
        force=force,
    )
    return _short(ctx, row)


def _short(ctx: Context, row: Backup) -> dict[str, Any]:
    view: dict[str, Any] = {"id": row.id, "name": row.name, "links": links(ctx, "backups", row.id)}
    return {**view, "metadata": row.properties} if ctx.version >= (3, 43) else view


@api.put("/backups/{backup}", UPDATE, wrap="backup", since="3.9")
def update(ctx: Context, backup: Backup, body: BackupUpdate) -> dict[str, Any]:
    given = changes(body)
    if not given:
        raise Invalid("Missing required element 'backup' in request body: give a name, a description or metadata.")
    for name, value in given.items():
        setattr(backup, "properties" if name == "metadata" else name, value)
    backup.updated_at = clock.now()
    return _short(ctx, backup)


@api.delete("/backups/{backup}", DELETE, status=202)
def delete(tx: Tx, ctx: Context, backup: Backup) -> None:
    app.delete_backup(tx, ctx, backup)


class Restore(OpenBody):
    volume_id: VolumeId | None = None
    name: Name | None = None


@api.post("/backups/{backup}/restore", RESTORE, body="restore", status=202)
def restore(tx: Tx, ctx: Context, backup: Backup, body: Restore) -> Response:
    into = referred(tx, "volume", body.volume_id) if body.volume_id is not None else None
    volume = app.restore_backup(tx, ctx, backup, into, body.name)
    told = {"backup_id": backup.id, "volume_id": volume.id, "volume_name": volume.name or ""}
    return json_response({"restore": told}, 202)


class Status(OpenBody):
    status: str


@api.action("/backups/{backup}/action", "os-reset_status", RESET, status=202)
def reset_status(tx: Tx, ctx: Context, backup: Backup, body: Status) -> None:
    app.reset_status(tx, ctx, backup, body.status.lower())


@api.action("/backups/{backup}/action", "os-force_delete", FORCE_DELETE, status=202)
def force_delete(tx: Tx, ctx: Context, backup: Backup) -> None:
    app.delete_backup(tx, ctx, backup, force=True)
