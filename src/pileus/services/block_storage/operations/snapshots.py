"""Take and delete a snapshot."""

import msgspec

from pileus.kernel import clock, events
from pileus.kernel.db import Tx
from pileus.kernel.operations import Operation, operation
from pileus.services.block_storage import commands, model
from pileus.services.block_storage.model import Snapshot
from pileus.services.block_storage.operations.volumes import find_place, host_of
from pileus.services.block_storage.store import messages


class CreateSnapshot(msgspec.Struct, frozen=True):
    snapshot_id: str
    volume_id: str


class DeleteSnapshot(msgspec.Struct, frozen=True):
    snapshot_id: str
    volume_id: str


def _fail(tx: Tx, snapshot_id: str, status: str, action: str, reason: str) -> None:
    snapshot = tx.get(Snapshot, snapshot_id)
    if snapshot is None:
        return
    snapshot.status = status
    snapshot.updated_at = clock.now()
    messages.add_message(
        tx,
        project_id=snapshot.project_id,
        request_id=None,
        resource_type="VOLUME_SNAPSHOT",
        resource_id=snapshot_id,
        action=action,
        text=reason,
    )
    events.emit(tx, "block_storage.snapshot.updated", snapshot_id, project_id=snapshot.project_id, reason=reason)


def _not_created(tx: Tx, input: CreateSnapshot, reason: str) -> None:
    _fail(tx, input.snapshot_id, model.ERROR, "008", f"create snapshot: {reason}")


def _not_deleted(tx: Tx, input: DeleteSnapshot, reason: str) -> None:
    _fail(tx, input.snapshot_id, model.ERROR_DELETING, "009", f"delete snapshot: {reason}")


@operation("snapshot.create", input=CreateSnapshot, deadline_s=3600, on_failure=_not_created)
async def create_snapshot(op: Operation, input: CreateSnapshot) -> None:
    """Copy what the volume holds at this moment, through its user's process when it is in use."""
    place = await op.commit("find place", find_place, input.volume_id)
    await op.command(
        "take",
        place.host,
        commands.EnsureSnapshot(snapshot_id=input.snapshot_id, volume_id=input.volume_id, monitor=place.monitor),
        undo=commands.EnsureSnapshotGone(snapshot_id=input.snapshot_id),
    )
    await op.finish(_available, input.snapshot_id)


def _available(tx: Tx, snapshot_id: str) -> None:
    snapshot = tx.get(Snapshot, snapshot_id)
    if snapshot is not None:
        snapshot.status, snapshot.progress = model.AVAILABLE, "100%"
        snapshot.updated_at = clock.now()
        events.emit(tx, "block_storage.snapshot.updated", snapshot_id, project_id=snapshot.project_id)


@operation("snapshot.delete", input=DeleteSnapshot, deadline_s=600, cancellable=False, on_failure=_not_deleted)
async def delete_snapshot(op: Operation, input: DeleteSnapshot) -> None:
    """Remove the snapshot's file and row."""
    host = await op.commit("find host", host_of, input.volume_id)
    if host is not None:
        await op.command("remove", host, commands.EnsureSnapshotGone(snapshot_id=input.snapshot_id))
    await op.finish(_forget, input.snapshot_id)


def _forget(tx: Tx, snapshot_id: str) -> None:
    snapshot = tx.get(Snapshot, snapshot_id)
    if snapshot is not None:
        tx.delete(snapshot)
        events.emit(tx, "block_storage.snapshot.deleted", snapshot_id, project_id=snapshot.project_id)
