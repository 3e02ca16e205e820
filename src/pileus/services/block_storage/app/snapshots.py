"""What may be done to a snapshot."""

from collections.abc import Mapping

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.operations import begin
from pileus.services.block_storage import model, operations
from pileus.services.block_storage.app import quotas
from pileus.services.block_storage.model import Snapshot, Volume
from pileus.services.block_storage.store import types, volumes


def create_snapshot(
    tx: Tx,
    ctx: Context,
    volume: Volume,
    *,
    name: str | None,
    description: str | None,
    metadata: Mapping[str, str],
    force: bool,
) -> Snapshot:
    """Record a snapshot and begin to take it; a volume in use needs ``force`` (always given from 3.66 on)."""
    allowed = {model.AVAILABLE, model.IN_USE} if force else {model.AVAILABLE}
    if volume.status not in allowed:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} status must be {' or '.join(sorted(allowed))} for snapshot, "
            f"but current status is: {volume.status}."
        )
    type_name = types.type_names(tx)[volume.volume_type_id]
    quotas.claim_snapshot(tx, volume, type_name)
    snapshot = Snapshot(
        id=ids.new_id(),
        volume_id=volume.id,
        volume_type_id=volume.volume_type_id,
        project_id=volume.project_id,
        user_id=ctx.user_id,
        name=name,
        description=description,
        size=volume.size,
        status=model.CREATING,
        progress="0%",
        properties=dict(metadata),
        created_at=clock.now(),
        updated_at=None,
    )
    tx.add(snapshot)
    tx.flush()
    take = operations.CreateSnapshot(snapshot_id=snapshot.id, volume_id=volume.id)
    begin(tx, ctx, "snapshot.create", f"snapshot/{snapshot.id}", take)
    events.emit(tx, "block_storage.snapshot.created", snapshot.id, ctx=ctx)
    return snapshot


def delete_snapshot(tx: Tx, ctx: Context, snapshot: Snapshot, *, force: bool = False) -> None:
    """Begin to delete a snapshot; volumes made from it stay."""
    if not force and snapshot.status not in model.DELETABLE_SNAPSHOT:
        raise Invalid(
            f"Invalid snapshot: Snapshot {snapshot.id} status must be available or error, but is {snapshot.status}."
        )
    if (child := volumes.in_creation_from(tx, snapshot_id=snapshot.id)) is not None:
        raise Invalid(f"Invalid snapshot: volume {child} is being made from snapshot {snapshot.id}: wait for it.")
    snapshot.status = model.DELETING
    snapshot.updated_at = clock.now()
    remove = operations.DeleteSnapshot(snapshot_id=snapshot.id, volume_id=snapshot.volume_id)
    begin(tx, ctx, "snapshot.delete", f"snapshot/{snapshot.id}", remove, supersede=True)
    events.emit(tx, "block_storage.snapshot.updated", snapshot.id, ctx=ctx)


def reset_status(tx: Tx, ctx: Context, snapshot: Snapshot, status: str) -> None:
    """Put a snapshot into a state by an administrator's word."""
    if status not in model.SNAPSHOT_STATES:
        known = ", ".join(sorted(model.SNAPSHOT_STATES))
        raise Invalid(f"Invalid input: '{status}' is not a snapshot status; known: {known}.")
    snapshot.status = status
    snapshot.updated_at = clock.now()
    events.emit(tx, "block_storage.snapshot.updated", snapshot.id, ctx=ctx)
