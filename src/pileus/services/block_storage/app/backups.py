"""What may be done to backups."""

from collections.abc import Mapping

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.operations import begin
from pileus.services.block_storage import model, operations
from pileus.services.block_storage.app import quotas
from pileus.services.block_storage.app import volumes as volumes_app
from pileus.services.block_storage.model import Backup, Snapshot, Volume

CONTAINER = "volumebackups"


def create_backup(
    tx: Tx,
    ctx: Context,
    volume: Volume,
    snapshot: Snapshot | None,
    *,
    name: str | None,
    description: str | None,
    container: str | None,
    metadata: Mapping[str, str],
    force: bool,
) -> Backup:
    """Record a backup of a volume, or of one of its snapshots, and begin to make it."""
    source: Volume | Snapshot = snapshot or volume
    if snapshot is not None and snapshot.volume_id != volume.id:
        raise Invalid(f"Invalid snapshot: snapshot {snapshot.id} is not of volume {volume.id}.")
    allowed = {model.AVAILABLE, model.IN_USE} if force and snapshot is None else {model.AVAILABLE}
    if source.status not in allowed:
        what = "Snapshot" if snapshot else "Volume"
        raise Invalid(
            f"Invalid {what.lower()}: {what} {source.id} to be backed up must be {' or '.join(sorted(allowed))} but "
            f'the current status is "{source.status}".'
        )
    quotas.claim_backup(tx, ctx.project_id, source.size)
    now = clock.now()
    backup = Backup(
        id=ids.new_id(),
        volume_id=volume.id,
        snapshot_id=snapshot.id if snapshot else None,
        project_id=ctx.project_id,
        user_id=ctx.user_id,
        name=name,
        description=description,
        status=model.CREATING,
        fail_reason=None,
        size=source.size,
        container=container or CONTAINER,
        object_count=0,
        availability_zone=volume.availability_zone,
        properties=dict(metadata),
        volume_type_id=volume.volume_type_id,
        volume_properties=volume.properties,
        image_properties=volume.image_properties,
        bootable=volume.bootable,
        data_timestamp=snapshot.created_at if snapshot else now,
        created_at=now,
        updated_at=None,
    )
    tx.add(backup)
    make = operations.CreateBackup(
        backup_id=backup.id, volume_id=volume.id, before=source.status, snapshot_id=backup.snapshot_id
    )
    source.status, source.updated_at = model.BACKING_UP, now
    tx.flush()
    begin(tx, ctx, "backup.create", f"backup/{backup.id}", make)
    events.emit(tx, "block_storage.backup.created", backup.id, ctx=ctx)
    return backup


def delete_backup(tx: Tx, ctx: Context, backup: Backup, *, force: bool = False) -> None:
    """Begin to delete a backup."""
    if not force and backup.status not in model.DELETABLE_BACKUP:
        raise Invalid(f"Invalid backup: Backup status must be available or error, but {backup.id} is {backup.status}.")
    backup.status, backup.updated_at = model.DELETING, clock.now()
    forget = operations.DeleteBackup(backup_id=backup.id)
    begin(tx, ctx, "backup.delete", f"backup/{backup.id}", forget, supersede=True)


def restore_backup(tx: Tx, ctx: Context, backup: Backup, volume: Volume | None, name: str | None) -> Volume:
    """Begin to restore a backup, into a volume that is there or into a new one."""
    _check_restorable(backup)
    if volume is None:
        wanted = volumes_app.NewVolume(backup_id=backup.id, name=name or f"restore_backup_{backup.id}")
        return volumes_app.create_volume(tx, ctx, wanted)
    if volume.status != model.AVAILABLE:
        raise Invalid(
            f"Invalid volume: Volume to be restored to must be available, but {volume.id} is {volume.status}."
        )
    if volume.size < backup.size:
        raise Invalid(
            f"Invalid volume: volume size {volume.size} is too small to restore backup of size {backup.size}."
        )
    volume.previous_status, volume.status = volume.status, model.RESTORING_BACKUP
    backup.status = model.RESTORING
    restore = operations.RestoreBackup(backup_id=backup.id, volume_id=volume.id, size_gib=volume.size)
    begin(tx, ctx, "backup.restore", f"volume/{volume.id}", restore)
    return volume


def _check_restorable(backup: Backup) -> None:
    if backup.status != model.AVAILABLE:
        raise Invalid(f"Invalid backup: Backup status must be available, but {backup.id} is {backup.status}.")


def reset_status(tx: Tx, ctx: Context, backup: Backup, status: str) -> None:
    """Put a backup into a state by an administrator's word."""
    if status not in model.BACKUP_STATES:
        known = ", ".join(sorted(model.BACKUP_STATES))
        raise Invalid(f"Invalid input: '{status}' is not a backup status; known: {known}.")
    backup.status, backup.updated_at = status, clock.now()
    events.emit(tx, "block_storage.backup.updated", backup.id, ctx=ctx)
