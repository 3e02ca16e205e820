"""Create, delete, extend and revert a volume."""

import msgspec

from pileus.kernel import clock, events
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.operations import Operation, operation
from pileus.services.block_storage import commands, model
from pileus.services.block_storage.commands import Blank, FromSnapshot, FromVolume, ImageFile, Source
from pileus.services.block_storage.model import Snapshot, Volume
from pileus.services.block_storage.operations import backup_objects, images, scheduling
from pileus.services.block_storage.store import messages, volumes

BLANK_TIMEOUT_S = 300


class CreateVolume(msgspec.Struct, frozen=True):
    volume_id: str
    size_gib: int
    image_id: str | None = None
    image_format: str = "raw"
    backup_id: str | None = None
    by_admin: bool = True
    """Whose sight its sources are looked for with: an administrator's, or a member's of the volume's project."""


class DeleteVolume(msgspec.Struct, frozen=True):
    volume_id: str
    snapshot_ids: list[str] = []


class ExtendVolume(msgspec.Struct, frozen=True):
    """``before`` is the status the volume goes back to."""

    volume_id: str
    size_gib: int
    before: str


class RevertVolume(msgspec.Struct, frozen=True):
    volume_id: str
    snapshot_id: str


class Plan(msgspec.Struct, frozen=True):
    """Where a volume will live and what it is made from."""

    host: str
    source: Source


def fail(tx: Tx, volume_id: str, status: str, action: str, reason: str) -> None:
    """Put a volume into an error state and tell its owner why."""
    volume = volumes.get_volume(tx, volume_id)
    if volume is None:
        return
    volume.status = status
    volume.updated_at = clock.now()
    messages.add_message(
        tx,
        project_id=volume.project_id,
        request_id=None,
        resource_type="VOLUME",
        resource_id=volume_id,
        action=action,
        text=reason,
    )
    events.emit(tx, "block_storage.volume.updated", volume_id, project_id=volume.project_id, reason=reason)


def _not_created(tx: Tx, input: CreateVolume, reason: str) -> None:
    fail(tx, input.volume_id, model.ERROR, "VOLUME_001", f"create volume: {reason}")
    if input.backup_id is not None:
        backup_objects.release(tx, input.backup_id)


def _not_deleted(tx: Tx, input: DeleteVolume, reason: str) -> None:
    fail(tx, input.volume_id, model.ERROR_DELETING, "VOLUME_010", f"delete volume: {reason}")
    for snapshot_id in input.snapshot_ids:
        snapshot = tx.get(Snapshot, snapshot_id)
        if snapshot is not None:
            snapshot.status = model.ERROR_DELETING


def _not_extended(tx: Tx, input: ExtendVolume, reason: str) -> None:
    volume = volumes.get_volume(tx, input.volume_id)
    if volume is not None:
        volume.quota_gib = volume.size
    fail(tx, input.volume_id, model.ERROR_EXTENDING, "VOLUME_007", f"extend volume: {reason}")


def _not_reverted(tx: Tx, input: RevertVolume, reason: str) -> None:
    fail(tx, input.volume_id, model.ERROR, "VOLUME_018", f"revert volume: {reason}")
    _set_snapshot(tx, input.snapshot_id, model.AVAILABLE)


def plan(tx: Tx, input: CreateVolume) -> Plan:
    """Choose the host of a new volume and say from what it is made there, if that may be seen by now."""
    volume = _get(tx, input.volume_id)
    if input.image_id is not None:
        images.require_seen(tx, volume, input.image_id, admin=input.by_admin)
    source: Source = Blank()
    origin: Volume | None = None
    if volume.snapshot_id is not None:
        snapshot = tx.get(Snapshot, volume.snapshot_id)
        if snapshot is None:
            raise NotFound(f"Snapshot {volume.snapshot_id}, from which the volume was to be made, is gone.")
        source, origin = FromSnapshot(snapshot_id=snapshot.id), volumes.get_volume(tx, snapshot.volume_id)
    elif volume.source_volid is not None:
        origin = _get(tx, volume.source_volid)
        source = FromVolume(volume_id=origin.id, monitor=volumes.monitor_of(tx, origin.id))
    backend = scheduling.choose(tx, volume, near=origin.host if origin else None)
    volume.host = backend.pool
    return Plan(host=backend.host, source=source)


@operation("volume.create", input=CreateVolume, deadline_s=3600, on_failure=_not_created)
async def create_volume(op: Operation, input: CreateVolume) -> None:
    """Choose a host, fetch the image if there is one, make the file."""
    planned = await op.commit("plan", plan, input)
    source = planned.source
    if input.image_id is not None:
        path = await op.step("fetch image", images.fetch, op.db, input.image_id, op.id, undo=_drop_image)
        source = ImageFile(path=path, format=input.image_format)
    elif input.backup_id is not None:
        path = await op.step(
            "fetch backup", backup_objects.fetch, op.db, input.backup_id, op.id, undo=backup_objects.drop
        )
        source = ImageFile(path=path, format=backup_objects.FORMAT)
    await op.command(
        "make",
        planned.host,
        commands.EnsureVolume(volume_id=input.volume_id, size_gib=input.size_gib, source=source),
        undo=commands.EnsureVolumeGone(volume_id=input.volume_id),
        timeout_s=BLANK_TIMEOUT_S if isinstance(source, Blank) else None,
    )
    if isinstance(source, ImageFile):
        await op.step("drop image copy", images.drop, op.db, op.id)
    await op.finish(_made, input)


def _made(tx: Tx, input: CreateVolume) -> None:
    _available(tx, input.volume_id)
    if input.backup_id is not None:
        backup_objects.release(tx, input.backup_id)


async def _drop_image(db: Database, image_id: str, name: str) -> None:
    await images.drop(db, name)


def _available(tx: Tx, volume_id: str) -> None:
    volume = _get(tx, volume_id)
    volume.status = model.AVAILABLE
    volume.updated_at = clock.now()
    events.emit(tx, "block_storage.volume.updated", volume_id, project_id=volume.project_id)


def host_of(tx: Tx, volume_id: str) -> str | None:
    """Return the name of the host that keeps the volume, None when it never got one."""
    volume = volumes.get_volume(tx, volume_id)
    return volume.host.partition("@")[0] if volume is not None and volume.host else None


@operation("volume.delete", input=DeleteVolume, deadline_s=3600, cancellable=False, on_failure=_not_deleted)
async def delete_volume(op: Operation, input: DeleteVolume) -> None:
    """Remove the snapshots given, then the volume, then their rows."""
    host = await op.commit("find host", host_of, input.volume_id)
    if host is not None:
        for snapshot_id in input.snapshot_ids:
            gone = commands.EnsureSnapshotGone(snapshot_id=snapshot_id)
            await op.command(f"remove snapshot {snapshot_id}", host, gone)
        await op.command("remove", host, commands.EnsureVolumeGone(volume_id=input.volume_id))
    await op.finish(forget, input.volume_id, input.snapshot_ids)


def forget(tx: Tx, volume_id: str, snapshot_ids: list[str]) -> None:
    """Remove the rows of a volume and of its snapshots, of which no host has anything any longer."""
    for snapshot_id in snapshot_ids:
        snapshot = tx.get(Snapshot, snapshot_id)
        if snapshot is not None:
            tx.delete(snapshot)
    volume = volumes.get_volume(tx, volume_id)
    if volume is not None:
        volumes.delete_volume(tx, volume)
        events.emit(tx, "block_storage.volume.deleted", volume_id, project_id=volume.project_id)


class Place(msgspec.Struct, frozen=True):
    """Where a volume is, and how to reach the process that has it open."""

    host: str
    monitor: str | None = None


def find_place(tx: Tx, volume_id: str) -> Place:
    """Return where a volume is; raise NotFound when it is nowhere."""
    host = host_of(tx, volume_id)
    if host is None:
        raise NotFound(f"Volume {volume_id} has no data on any host: delete it.")
    return Place(host=host, monitor=volumes.monitor_of(tx, volume_id))


@operation("volume.extend", input=ExtendVolume, deadline_s=600, cancellable=False, on_failure=_not_extended)
async def extend_volume(op: Operation, input: ExtendVolume) -> None:
    """Grow the file; a server that has it open sees the new size at once."""
    place = await op.commit("find place", find_place, input.volume_id)
    await op.command(
        "grow",
        place.host,
        commands.ExtendVolume(volume_id=input.volume_id, size_gib=input.size_gib, monitor=place.monitor),
    )
    await op.finish(_extended, input.volume_id, input.size_gib, input.before)


def _extended(tx: Tx, volume_id: str, size_gib: int, before: str) -> None:
    volume = _get(tx, volume_id)
    volume.size = size_gib
    volume.status = volumes.status_again(tx, volume, before)
    volume.updated_at = clock.now()
    events.emit(tx, "block_storage.volume.extended", volume_id, project_id=volume.project_id, size=size_gib)


@operation("volume.revert", input=RevertVolume, deadline_s=3600, cancellable=False, on_failure=_not_reverted)
async def revert_volume(op: Operation, input: RevertVolume) -> None:
    """Put the file back to the snapshot."""
    place = await op.commit("find place", find_place, input.volume_id)
    back = commands.RevertVolume(volume_id=input.volume_id, snapshot_id=input.snapshot_id)
    await op.command("revert", place.host, back)
    await op.finish(_reverted, input.volume_id, input.snapshot_id)


def _reverted(tx: Tx, volume_id: str, snapshot_id: str) -> None:
    _available(tx, volume_id)
    _set_snapshot(tx, snapshot_id, model.AVAILABLE)


def _set_snapshot(tx: Tx, snapshot_id: str, status: str) -> None:
    snapshot = tx.get(Snapshot, snapshot_id)
    if snapshot is not None:
        snapshot.status = status
        snapshot.updated_at = clock.now()


def _get(tx: Tx, volume_id: str) -> Volume:
    volume = volumes.get_volume(tx, volume_id)
    if volume is None:
        raise NotFound(f"Volume {volume_id} could not be found.")
    return volume
