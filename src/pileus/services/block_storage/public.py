"""All that other services may ask of block storage.  One rule: plain functions of the caller's transaction.

How Compute attaches a volume:

1. request: ``attachment_id = reserve(tx, ctx, volume_id, server_id)``; the volume is *reserved*.
2. operation: ``export = await connect(op, attachment_id, host)``; the volume is *attaching*, and the steps undo
   themselves.  ``LocalFile``: hand the file to QEMU; ``NbdSocket``: the socket.
3. operation: when the guest has the disk, ``op.commit(..., attached, attachment_id, device, monitor)``; *in-use*.
   ``monitor`` is a QMP socket of the guest's process kept for block storage alone (QEMU serves one client per
   monitor): snapshots, clones, uploads and growth of the attached volume go through it.

How it detaches one: ``begin_detaching`` in the request (*detaching*), in the operation take the disk from the
guest, ``await disconnect(op, attachment_id)``, and ``op.commit(..., release, attachment_id)`` (*available*);
``roll_detaching`` when the guest would not let go.
"""

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.operations import Operation, find_live
from pileus.services.block_storage import model
from pileus.services.block_storage.app import access, attachments, connections
from pileus.services.block_storage.app import snapshots as snapshots_app
from pileus.services.block_storage.app import volumes as volumes_app
from pileus.services.block_storage.app.volumes import NewVolume
from pileus.services.block_storage.commands import EnsureExport, EnsureExportGone, Export, LocalFile, NbdSocket
from pileus.services.block_storage.model import Attachment, Volume
from pileus.services.block_storage.store import volumes

__all__ = [
    "AttachmentFacts",
    "Export",
    "LocalFile",
    "NbdSocket",
    "NewVolume",
    "SnapshotFacts",
    "VolumeFacts",
    "attached",
    "attachments_of_server",
    "begin_detaching",
    "connect",
    "create_snapshot",
    "create_volume",
    "delete_volume",
    "disconnect",
    "get_snapshot",
    "get_volume",
    "release",
    "reserve",
    "roll_detaching",
]


class VolumeFacts(msgspec.Struct, frozen=True):
    """A volume, as other services see it."""

    id: str
    project_id: str
    name: str | None
    size_gib: int
    status: str
    bootable: bool
    multiattach: bool
    read_only: bool
    availability_zone: str
    host: str
    """The host that keeps the volume; empty while it has none."""
    image_properties: dict[str, str]


class SnapshotFacts(msgspec.Struct, frozen=True):
    """A snapshot, as other services see it."""

    id: str
    project_id: str
    volume_id: str
    size_gib: int
    status: str


class AttachmentFacts(msgspec.Struct, frozen=True):
    """A server's hold on a volume."""

    id: str
    volume_id: str
    server_id: str | None
    status: str
    device: str | None
    read_only: bool


def get_volume(tx: Tx, ctx: Context, volume_id: str) -> VolumeFacts:
    """Return a volume the caller may see; raise NotFound."""
    return _volume(access.get_volume(tx, ctx, volume_id))


def get_snapshot(tx: Tx, ctx: Context, snapshot_id: str) -> SnapshotFacts:
    """Return a snapshot the caller may see; raise NotFound."""
    row = access.get_snapshot(tx, ctx, snapshot_id)
    return SnapshotFacts(row.id, row.project_id, row.volume_id, row.size, row.status)


def create_volume(tx: Tx, ctx: Context, wanted: NewVolume) -> tuple[VolumeFacts, str]:
    """Begin to make a volume; return it and the operation to wait for (``op.wait``).

    Raises Invalid, NotFound, OverQuota.
    """
    volume = volumes_app.create_volume(tx, ctx, wanted)
    live = find_live(tx, f"volume/{volume.id}")
    assert live is not None, "creation has just begun"
    return _volume(volume), live.id


def create_snapshot(
    tx: Tx, ctx: Context, volume_id: str, *, name: str | None = None, metadata: dict[str, str] | None = None
) -> tuple[SnapshotFacts, str]:
    """Begin to take a snapshot, of a volume in use too; return it and the operation to wait for."""
    volume = access.get_volume(tx, ctx, volume_id)
    row = snapshots_app.create_snapshot(
        tx, ctx, volume, name=name, description=None, metadata=metadata or {}, force=True
    )
    live = find_live(tx, f"snapshot/{row.id}")
    assert live is not None, "creation has just begun"
    return SnapshotFacts(row.id, row.project_id, row.volume_id, row.size, row.status), live.id


def require_type(tx: Tx, ctx: Context, name_or_id: str) -> None:
    """Raise NotFound unless there is a volume type of that name or id that the caller may use."""
    access.find_type(tx, ctx, name_or_id)


def delete_volume(tx: Tx, ctx: Context, volume_id: str) -> None:
    """Begin to delete a volume; raise Invalid when its status or its snapshots forbid it."""
    volumes_app.delete_volume(tx, ctx, access.get_volume(tx, ctx, volume_id))


def reserve(
    tx: Tx, ctx: Context, volume_id: str, server_id: str, *, device: str | None = None, read_only: bool = False
) -> str:
    """Hold an available volume for a server and return the attachment's id; raise Invalid, NotFound."""
    volume = access.get_volume(tx, ctx, volume_id)
    mode = "ro" if read_only or volume.read_only else "rw"
    row = attachments.reserve(tx, volume, server_id=server_id, mode=mode, device=device, managed=True)
    tx.flush()
    return row.id


async def connect(op: Operation, attachment_id: str, host: str, *, name: str | None = None) -> Export:
    """Make a reserved volume reachable on ``host``; steps undone with the operation.

    ``name`` begins the steps' names; by default they are named after the attachment.
    """
    prefix = name or f"volume attachment {attachment_id}"
    place = await op.commit(f"{prefix}: find", _place, attachment_id, host)
    export = await op.command(
        f"{prefix}: export",
        place.host,
        place.command,
        undo=EnsureExportGone(volume_id=place.command.volume_id) if place.command.nbd else None,
    )
    await op.commit(f"{prefix}: connect", _connected, attachment_id, host, export)
    return export


def attached(tx: Tx, attachment_id: str, device: str | None = None, monitor: str | None = None) -> None:
    """Note that the server has the disk; ``monitor`` is the QMP socket for block storage's own use."""
    row, volume = _get(tx, attachment_id)
    row.connector = {**(row.connector or {}), "monitor": monitor}
    attachments.complete(tx, row, volume, device, managed=True)


def begin_detaching(tx: Tx, ctx: Context, volume_id: str, server_id: str) -> str:
    """Mark the volume *detaching* and return the attachment's id; raise Invalid when it is not attached there."""
    volume = access.get_volume(tx, ctx, volume_id)
    row = next((a for a in attachments_of_server(tx, server_id) if a.volume_id == volume_id), None)
    if row is None:
        raise NotFound(f"Volume {volume_id} is not attached to server {server_id}.")
    if volume.status not in (model.IN_USE, model.DETACHING):
        raise Invalid(f"Invalid volume: volume {volume_id} is {volume.status}; to be detached it must be in-use.")
    attachments.move(volume, frozenset({model.IN_USE, model.DETACHING}), model.DETACHING, "detach")
    return row.id


def roll_detaching(tx: Tx, attachment_id: str) -> None:
    """Take a *detaching* back: the guest still has the disk."""
    row = tx.get(Attachment, attachment_id)
    volume = volumes.get_volume(tx, row.volume_id) if row is not None else None
    if volume is not None and volume.status == model.DETACHING:
        attachments.move(volume, frozenset({model.DETACHING}), model.IN_USE, "keep")


async def disconnect(op: Operation, attachment_id: str, *, name: str | None = None, undo: bool = False) -> None:
    """Stop serving the volume to where it was attached; call it once the guest has let go.

    ``undo``: serve it again if the operation fails later, to a guest that will have it back.
    """
    prefix = name or f"volume attachment {attachment_id}"
    place = await op.commit(f"{prefix}: find export", _served, attachment_id)
    if place is not None:
        gone = EnsureExportGone(volume_id=place.command.volume_id)
        await op.command(f"{prefix}: end export", place.host, gone, undo=place.command if undo else None)


def release(tx: Tx, attachment_id: str) -> None:
    """End the hold in whatever state it is; nothing happens when it has ended already."""
    row = tx.get(Attachment, attachment_id)
    if row is None:
        return
    volume = volumes.get_volume(tx, row.volume_id)
    if volume is None:
        tx.delete(row)
    else:
        attachments.release(tx, row, volume, managed=True)
    tx.flush()


def attachments_of_server(tx: Tx, server_id: str) -> list[AttachmentFacts]:
    """Return what a server holds, oldest first."""
    return [
        AttachmentFacts(row.id, row.volume_id, row.server_id, row.status, row.device, row.mode == "ro")
        for row in volumes.attachments_of_server(tx, server_id)
    ]


class _Request(msgspec.Struct, frozen=True):
    host: str
    command: EnsureExport


def _place(tx: Tx, attachment_id: str, host: str) -> _Request:
    row, volume = _get(tx, attachment_id)
    if not volume.host:
        raise Invalid(f"Invalid volume: volume {volume.id} is {volume.status} and has no data on any host.")
    return _Request(connections.host_of(volume), connections.export_for(volume, host, row.mode))


def _connected(tx: Tx, attachment_id: str, host: str, export: Export) -> None:
    row, volume = _get(tx, attachment_id)
    attachments.connect(row, volume, {"host": host}, connections.describe(row, export), managed=True)


def _served(tx: Tx, attachment_id: str) -> _Request | None:
    row = tx.get(Attachment, attachment_id)
    volume = volumes.get_volume(tx, row.volume_id) if row is not None else None
    if row is None or volume is None or (row.connection_info or {}).get("driver_volume_type") != "nbd":
        return None
    export = EnsureExport(volume_id=volume.id, nbd=True, read_only=row.mode == "ro")
    return _Request(connections.host_of(volume), export)


def _volume(row: Volume) -> VolumeFacts:
    return VolumeFacts(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        size_gib=row.size,
        status=row.status,
        bootable=row.bootable,
        multiattach=row.multiattach,
        read_only=bool(row.read_only),
        availability_zone=row.availability_zone,
        host=connections.host_of(row),
        image_properties=row.image_properties or {},
    )


def _get(tx: Tx, attachment_id: str) -> tuple[Attachment, Volume]:
    row = tx.get(Attachment, attachment_id)
    volume = volumes.get_volume(tx, row.volume_id) if row is not None else None
    if row is None or volume is None:
        raise NotFound(f"Volume attachment {attachment_id} could not be found: its hold has ended.")
    return row, volume
