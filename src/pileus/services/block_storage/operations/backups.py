"""Make, restore and delete backups: one object each in the project's own account."""

import msgspec

from pileus.kernel import clock, events
from pileus.kernel.db import Tx
from pileus.kernel.operations import Operation, operation
from pileus.services.block_storage import commands, model
from pileus.services.block_storage.commands import ImageFile
from pileus.services.block_storage.model import Backup, Snapshot
from pileus.services.block_storage.operations import images
from pileus.services.block_storage.operations.backup_objects import (
    FORMAT,
    drop,
    fetch,
    get,
    remove_object,
    set_status,
    store,
    unstore,
)
from pileus.services.block_storage.operations.volumes import fail, find_place
from pileus.services.block_storage.store import volumes


class CreateBackup(msgspec.Struct, frozen=True):
    """``before`` is the status its source, the volume or the snapshot, goes back to."""

    backup_id: str
    volume_id: str
    before: str
    snapshot_id: str | None = None


class DeleteBackup(msgspec.Struct, frozen=True):
    backup_id: str


class RestoreBackup(msgspec.Struct, frozen=True):
    backup_id: str
    volume_id: str
    size_gib: int


def _let_go(tx: Tx, input: CreateBackup) -> None:
    """Give the volume or snapshot its status back."""
    source = tx.get(Snapshot, input.snapshot_id) if input.snapshot_id else volumes.get_volume(tx, input.volume_id)
    if source is not None and source.status == model.BACKING_UP:
        before = input.before
        source.status = before if isinstance(source, Snapshot) else volumes.status_again(tx, source, before)
        source.updated_at = clock.now()


def _not_created(tx: Tx, input: CreateBackup, reason: str) -> None:
    _let_go(tx, input)
    set_status(tx, input.backup_id, model.ERROR, f"create backup: {reason}")


def _not_deleted(tx: Tx, input: DeleteBackup, reason: str) -> None:
    set_status(tx, input.backup_id, model.ERROR_DELETING, f"delete backup: {reason}")


def _not_restored(tx: Tx, input: RestoreBackup, reason: str) -> None:
    fail(tx, input.volume_id, model.ERROR_RESTORING, "VOLUME_014", f"restore backup: {reason}")
    set_status(tx, input.backup_id, model.AVAILABLE)


@operation("backup.create", input=CreateBackup, deadline_s=7200, on_failure=_not_created)
async def create_backup(op: Operation, input: CreateBackup) -> None:
    """Write the source into a file, store the file as an object, remove it."""
    place = await op.commit("find place", find_place, input.volume_id)
    path = await op.step("make room", images.room, op.db, op.id, undo=images.drop)
    await op.command(
        "write",
        place.host,
        commands.WriteImage(
            volume_id=input.volume_id,
            path=path,
            format=FORMAT,
            monitor=place.monitor,
            snapshot_id=input.snapshot_id,
        ),
    )
    await op.step("store", store, op.db, input.backup_id, op.id, undo=unstore)
    await op.step("clean up", images.drop, op.db, op.id)
    await op.finish(_created, input)


def _created(tx: Tx, input: CreateBackup) -> None:
    _let_go(tx, input)
    set_status(tx, input.backup_id, model.AVAILABLE)


@operation("backup.delete", input=DeleteBackup, cancellable=False, on_failure=_not_deleted)
async def delete_backup(op: Operation, input: DeleteBackup) -> None:
    """Remove the object and the row, in one transaction."""
    await op.finish(_forget, input.backup_id)


def _forget(tx: Tx, backup_id: str) -> None:
    backup = tx.get(Backup, backup_id)
    if backup is not None:
        remove_object(tx, backup_id)
        tx.delete(backup)
        events.emit(tx, "block_storage.backup.deleted", backup_id, project_id=backup.project_id)


@operation("backup.restore", input=RestoreBackup, deadline_s=7200, cancellable=False, on_failure=_not_restored)
async def restore_backup(op: Operation, input: RestoreBackup) -> None:
    """Replace a volume by what the backup holds, keeping the volume's size."""
    place = await op.commit("find place", find_place, input.volume_id)
    path = await op.step("fetch", fetch, op.db, input.backup_id, op.id, undo=drop)
    await op.command("clear", place.host, commands.EnsureVolumeGone(volume_id=input.volume_id))
    source = ImageFile(path=path, format=FORMAT)
    make = commands.EnsureVolume(volume_id=input.volume_id, size_gib=input.size_gib, source=source)
    await op.command("fill", place.host, make)
    await op.step("clean up", images.drop, op.db, op.id)
    await op.finish(_restored, input)


def _restored(tx: Tx, input: RestoreBackup) -> None:
    volume, backup = volumes.get_volume(tx, input.volume_id), get(tx, input.backup_id)
    if volume is not None:
        volume.status, volume.updated_at = model.AVAILABLE, clock.now()
        volume.bootable, volume.image_properties = backup.bootable, backup.image_properties
        volume.properties = {**volume.properties, **backup.volume_properties}
        events.emit(tx, "block_storage.volume.updated", volume.id, project_id=volume.project_id)
    set_status(tx, input.backup_id, model.AVAILABLE)
