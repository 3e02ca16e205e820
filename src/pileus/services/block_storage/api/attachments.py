"""The attachments resource (3.27 and later) and the two older calls that tell how to reach a volume."""

from typing import Any

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page
from pileus.kernel.rest.references import SomeServer
from pileus.kernel.runtime import Runtime
from pileus.services.block_storage import commands
from pileus.services.block_storage.api import views
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import ListQuery, project_of, window
from pileus.services.block_storage.api.references import SomeVolume
from pileus.services.block_storage.app import access, attachments, connections
from pileus.services.block_storage.commands import Export
from pileus.services.block_storage.model import Attachment, Volume
from pileus.services.block_storage.store import volumes

CREATE = Rule("volume:attachment_create", policy.ADMIN_OR_MEMBER)
UPDATE = Rule("volume:attachment_update", policy.ADMIN_OR_MEMBER)
DELETE = Rule("volume:attachment_delete", policy.ADMIN_OR_MEMBER)
COMPLETE = Rule("volume:attachment_complete", policy.ADMIN_OR_MEMBER)
SHOW = Rule("volume:attachment_get", policy.ADMIN_OR_READER)
LIST = Rule("volume:attachment_get_all", policy.ADMIN_OR_READER)
INITIALIZE = Rule("volume_extension:volume_actions:initialize_connection", policy.ADMIN_OR_MEMBER)
TERMINATE = Rule("volume_extension:volume_actions:terminate_connection", policy.ADMIN_OR_MEMBER)


class AttachmentListQuery(ListQuery):
    volume_id: SomeVolume | None = None
    instance_id: SomeServer | None = None
    status: str | None = None
    attach_status: str | None = None


class AttachmentCreate(OpenBody):
    volume_uuid: SomeVolume
    instance_uuid: SomeServer | None = None
    connector: Extra | None = None
    mode: str | None = None


class AttachmentUpdate(OpenBody):
    connector: Extra
    mode: str | None = None


@api.get("/attachments", LIST, wrap="attachments", since="3.27")
def list_summaries(tx: Tx, ctx: Context, query: AttachmentListQuery) -> Page:
    rows, marker = _list(tx, ctx, query)
    return Page([views.attachment_summary(row) for row in rows], marker)


@api.get("/attachments/detail", LIST, wrap="attachments", since="3.27")
def list_details(tx: Tx, ctx: Context, query: AttachmentListQuery) -> Page:
    rows, marker = _list(tx, ctx, query)
    return Page([views.attachment_view(row) for row in rows], marker)


def _list(tx: Tx, ctx: Context, query: AttachmentListQuery) -> tuple[list[Attachment], str | None]:
    wanted = volumes.AttachmentFilter(
        project_id=project_of(ctx, query),
        volume_id=query.volume_id,
        server_id=query.instance_id,
        status=query.status or query.attach_status,
    )
    return volumes.list_attachments(tx, wanted, window(query, volumes.ATTACHMENT_SORT_KEYS))


@api.get("/attachments/{attachment}", SHOW, wrap="attachment", since="3.27")
def show(attachment: Attachment) -> views.AttachmentView:
    return views.attachment_view(attachment)


@api.post("/attachments", CREATE, wrap="attachment", status=200, since="3.27")
async def create(ctx: Context, db: Database, runtime: Runtime, body: AttachmentCreate) -> views.AttachmentView:
    if not body.connector:
        return await db.write(_reserve_and_show, ctx, body)
    attachment_id = (await db.write(_reserve_and_show, ctx, body)).id
    try:
        return await _connect(ctx, db, runtime, attachment_id, body.connector, body.mode)
    except Exception:
        await db.write(_release, ctx, attachment_id)
        raise


def _reserve_and_show(tx: Tx, ctx: Context, body: AttachmentCreate) -> views.AttachmentView:
    volume = access.get_volume(tx, ctx, body.volume_uuid)
    mode = body.mode if ctx.version >= (3, 54) else None
    return views.attachment_view(attachments.reserve(tx, volume, server_id=body.instance_uuid, mode=mode))


async def _connect(
    ctx: Context, db: Database, runtime: Runtime, id: str, connector: dict[str, Any], mode: str | None
) -> views.AttachmentView:
    host, command = await db.read(_find_export, ctx, id, connector, mode)
    export: Export = await runtime.bus.call(host, command)
    return await db.write(_note_connection, ctx, id, connector, mode, export)


def _find_export(
    tx: Tx, ctx: Context, id: str, connector: dict[str, Any], mode: str | None
) -> tuple[str, commands.EnsureExport]:
    volume = access.get_volume(tx, ctx, access.get_attachment(tx, ctx, id).volume_id)
    if not connector.get("host"):
        raise Invalid("Invalid input: the connector must name the 'host' that will use the volume.")
    return connections.host_of(volume), connections.export_for(volume, connector["host"], mode)


def _note_connection(
    tx: Tx, ctx: Context, id: str, connector: dict[str, Any], mode: str | None, export: Export
) -> views.AttachmentView:
    attachment = access.get_attachment(tx, ctx, id)
    volume = access.get_volume(tx, ctx, attachment.volume_id)
    attachments.connect(attachment, volume, connector, connections.describe(attachment, export), mode)
    return views.attachment_view(attachment)


def _release(tx: Tx, ctx: Context, id: str) -> None:
    attachment = access.get_attachment(tx, ctx, id)
    attachments.release(tx, attachment, access.get_volume(tx, ctx, attachment.volume_id))


@api.put("/attachments/{attachment}", UPDATE, wrap="attachment", since="3.27")
async def update(
    ctx: Context, db: Database, runtime: Runtime, attachment: Attachment, body: AttachmentUpdate
) -> views.AttachmentView:
    attachments.refuse_if_managed(attachment)
    mode = body.mode if ctx.version >= (3, 54) else None
    return await _connect(ctx, db, runtime, attachment.id, body.connector, mode)


@api.action("/attachments/{attachment}/action", "os-complete", COMPLETE, status=204, since="3.44")
def complete(tx: Tx, ctx: Context, attachment: Attachment) -> None:
    attachments.complete(tx, attachment, access.get_volume(tx, ctx, attachment.volume_id))


@api.delete("/attachments/{attachment}", DELETE, wrap="attachments", status=200, since="3.27")
async def delete(ctx: Context, db: Database, runtime: Runtime, attachment: Attachment) -> list[views.AttachmentSummary]:
    attachments.refuse_if_managed(attachment)
    if (attachment.connection_info or {}).get("driver_volume_type") == "nbd":
        host, gone = await db.read(_find_own_export, attachment.volume_id)
        await runtime.bus.call(host, gone)
    return await db.write(_release_and_list, ctx, attachment.id)


def _find_own_export(tx: Tx, volume_id: str) -> tuple[str, commands.EnsureExportGone]:
    """Return the host of a volume and the command that ends its export there, which Compute's guests do not use."""
    volume = volumes.get_volume(tx, volume_id)
    if volume is None:
        raise NotFound(f"Volume {volume_id} could not be found.")
    attachments.refuse_if_held(tx, volume)
    return connections.host_of(volume), commands.EnsureExportGone(volume_id=volume.id)


def _release_and_list(tx: Tx, ctx: Context, id: str) -> list[views.AttachmentSummary]:
    volume_id = access.get_attachment(tx, ctx, id).volume_id
    _release(tx, ctx, id)
    rest = volumes.attachments_of(tx, [volume_id]).get(volume_id, [])
    return [views.attachment_summary(row) for row in rest if row.id != id]


class Connector(OpenBody):
    connector: Extra


@api.action("/volumes/{volume}/action", "os-initialize_connection", INITIALIZE, status=200, wrap="connection_info")
async def initialize_connection(ctx: Context, runtime: Runtime, volume: Volume, body: Connector) -> dict[str, Any]:
    if not volume.host:
        raise Invalid(f"Invalid volume: volume {volume.id} is {volume.status} and has no data on any host yet.")
    mode = "ro" if volume.read_only else "rw"
    command = connections.export_for(volume, body.connector.get("host"), mode)
    export: Export = await runtime.bus.call(connections.host_of(volume), command)
    return connections.connection(volume.id, export)


@api.action("/volumes/{volume}/action", "os-terminate_connection", TERMINATE, status=202)
async def terminate_connection(db: Database, runtime: Runtime, volume: Volume, body: Connector) -> None:
    host, gone = await db.read(_find_own_export, volume.id)
    if host:
        await runtime.bus.call(host, gone)
