"""Offering a volume, taking it, withdrawing the offer."""

import hashlib
import hmac

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.block_storage import model
from pileus.services.block_storage.app import quotas
from pileus.services.block_storage.model import Transfer, Volume
from pileus.services.block_storage.store import snapshots, types, volumes


def offer(
    tx: Tx, ctx: Context, volume: Volume, name: str | None, *, no_snapshots: bool = False
) -> tuple[Transfer, str]:
    """Offer an available volume; return the offer and the key that takes it, which is kept nowhere."""
    if volume.status != model.AVAILABLE:
        raise Invalid(
            f"Invalid volume: status must be available to be offered, but volume {volume.id} is {volume.status}."
        )
    key, salt = ids.random_bytes(8).hex(), ids.random_bytes(8).hex()
    row = Transfer(
        id=ids.new_id(),
        volume_id=volume.id,
        name=name,
        project_id=volume.project_id,
        salt=salt,
        key_hash=_hash(salt, key),
        no_snapshots=no_snapshots,
        created_at=clock.now(),
    )
    tx.add(row)
    _set(tx, ctx, volume, model.AWAITING_TRANSFER)
    return row, key


def accept(tx: Tx, ctx: Context, transfer: Transfer, key: str) -> None:
    """Give the volume to the caller's project; raise Invalid for a wrong key, OverQuota when it does not fit."""
    if not hmac.compare_digest(transfer.key_hash, _hash(transfer.salt, key)):
        raise Invalid(f"Invalid auth key: attempt to transfer {transfer.id} with invalid auth key.")
    volume = volumes.get_volume(tx, transfer.volume_id)
    if volume is None or volume.status != model.AWAITING_TRANSFER:
        raise Invalid(f"Invalid volume: volume {transfer.volume_id} does not await a transfer any more.")
    moved = [] if transfer.no_snapshots else list(snapshots.snapshots_of(tx, volume.id))
    quotas.claim_transfer(tx, ctx.project_id, volume, types.type_names(tx)[volume.volume_type_id], len(moved))
    for row in (volume, *moved):
        row.project_id, row.user_id = ctx.project_id, ctx.user_id
    tx.delete(transfer)
    _set(tx, ctx, volume, model.AVAILABLE)


def withdraw(tx: Tx, ctx: Context, transfer: Transfer) -> None:
    """Take an offer back."""
    volume = volumes.get_volume(tx, transfer.volume_id)
    tx.delete(transfer)
    if volume is not None and volume.status == model.AWAITING_TRANSFER:
        _set(tx, ctx, volume, model.AVAILABLE)


def _hash(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def _set(tx: Tx, ctx: Context, volume: Volume, status: str) -> None:
    volume.previous_status, volume.status = volume.status, status
    volume.updated_at = clock.now()
    events.emit(tx, "block_storage.volume.updated", volume.id, ctx=ctx)
