"""Finding things for whoever asks.  One rule: what is absent and what is somebody else's read the same."""

from typing import TypeVar

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.services.block_storage.model import Attachment, Backup, Snapshot, Transfer, Volume, VolumeType
from pileus.services.block_storage.store import snapshots, types, volumes

R = TypeVar("R", Volume, Snapshot, Attachment, Backup)


def get_volume(tx: Tx, ctx: Context, id: str) -> Volume:
    """Return a volume; raise NotFound, in the words clients look for."""
    return _visible(ctx, volumes.get_volume(tx, id), f"Volume {id} could not be found.")


def get_snapshot(tx: Tx, ctx: Context, id: str) -> Snapshot:
    """Return a snapshot; raise NotFound."""
    return _visible(ctx, snapshots.get_snapshot(tx, id), f"Snapshot {id} could not be found.")


def get_attachment(tx: Tx, ctx: Context, id: str) -> Attachment:
    """Return an attachment; raise NotFound."""
    return _visible(
        ctx, tx.get(Attachment, id), f"Volume attachment could not be found with filter: attachment_id = {id}."
    )


def get_backup(tx: Tx, ctx: Context, id: str) -> Backup:
    """Return a backup; raise NotFound."""
    return _visible(ctx, tx.get(Backup, id), f"Backup {id} could not be found.")


def get_transfer(tx: Tx, id: str) -> Transfer:
    """Return an offer of a volume, whoever made it: the key decides who may take it."""
    found = tx.get(Transfer, id)
    if found is None:
        raise NotFound(f"Transfer {id} could not be found.")
    return found


def get_type(tx: Tx, ctx: Context, id: str) -> VolumeType:
    """Return a type the caller may use; raise NotFound."""
    found = types.get_type(tx, id, None if ctx.is_admin else ctx.project_id)
    if found is None:
        raise NotFound(f"Volume type {id} could not be found.")
    return found


def find_type(tx: Tx, ctx: Context, name_or_id: str) -> VolumeType:
    """Return a type the caller may use, by id or name; administrators may use every one."""
    found = types.find_type(tx, name_or_id, None if ctx.is_admin else ctx.project_id)
    if found is None:
        raise NotFound(f"Volume type with name {name_or_id} could not be found.")
    return found


def _visible(ctx: Context, row: R | None, sentence: str) -> R:
    if row is None or not (ctx.is_admin or row.project_id == ctx.project_id):
        raise NotFound(sentence)
    return row
