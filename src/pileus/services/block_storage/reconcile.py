"""Files against rows.  One rule: what nobody claims is put aside, never destroyed; its owner is told what is lost."""

import logging

import msgspec

from pileus.kernel import clock, events
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unavailable
from pileus.kernel.operations import find_live
from pileus.kernel.reconcile import World, reconciler
from pileus.services.block_storage import model
from pileus.services.block_storage.commands import Inventory, Kind, ListInventory, QuarantineFile
from pileus.services.block_storage.model import Snapshot, Volume
from pileus.services.block_storage.store import backends, messages, volumes

log = logging.getLogger("pileus.block_storage")

AT_REST = (model.AVAILABLE, model.IN_USE, model.RESERVED)


class Stray(msgspec.Struct, frozen=True):
    """A file without a row."""

    kind: Kind
    id: str


class Claims(msgspec.Struct, frozen=True):
    """What the rows say should be on a host or in one pool; read before the host is asked, and again after."""

    volumes: set[str]
    snapshots: set[str]


def list_up(tx: Tx) -> list[tuple[str, str]]:
    """Return (host, pool) of every backend that answers and has told which pool it is."""
    there = (backend for backend in backends.list_backends(tx) if backend.up and backend.facts.known)
    return [(backend.host, backend.pool) for backend in there]


def claims_of(tx: Tx, place: str) -> Claims:
    """Return the volumes and snapshots that live in a pool, or in any pool of a host."""
    return Claims(volumes.ids_of_volumes(tx, place), volumes.ids_of_snapshots(tx, place))


@reconciler("block_storage.files", every_s=600, on=("host.up",))
async def settle_files(world: World) -> None:
    """Compare every pool with the rows.

    A file counts as stray only if its row was absent before the host listed its files and still is afterwards,
    and nothing is at work on it: an operation writes the row long before the file, and removes it after.  Whichever
    pool of the host a row names, its file is not stray: what a host says of its pool may be wrong for a while.
    """
    for host, pool in await world.db.read(list_up):
        claims, before = await world.db.read(claims_of, host), await world.db.read(claims_of, pool)
        try:
            found = await world.bus.call(host, ListInventory())
        except Unavailable as error:
            log.info("host %s does not list its volumes now: %s", host, error)
            continue
        for stray in await world.db.read(find_strays, host, claims, found):
            log.warning("%s %s on host %s belongs to nobody: put into quarantine", stray.kind, stray.id, host)
            await world.bus.call(host, QuarantineFile(kind=stray.kind, id=stray.id))
        await world.db.write(tell_losses, pool, before, found)


def find_strays(tx: Tx, host: str, before: Claims, found: Inventory) -> list[Stray]:
    """Return the files nobody claims."""
    after = claims_of(tx, host)
    strays = [Stray("volume", facts.id) for facts in found.volumes if facts.id not in before.volumes | after.volumes]
    strays += [
        Stray("snapshot", facts.id) for facts in found.snapshots if facts.id not in before.snapshots | after.snapshots
    ]
    return [stray for stray in strays if find_live(tx, f"{stray.kind}/{stray.id}") is None]


def tell_losses(tx: Tx, pool: str, before: Claims, found: Inventory) -> None:
    """Put volumes and snapshots whose files are gone into error, and say so to their owners."""
    for id in before.volumes - {facts.id for facts in found.volumes}:
        volume = volumes.get_volume(tx, id)
        if volume is not None and volume.status in AT_REST and find_live(tx, f"volume/{id}") is None:
            _lost(tx, volume, pool, "VOLUME")
    for id in before.snapshots - {facts.id for facts in found.snapshots}:
        snapshot = tx.get(Snapshot, id)
        if snapshot is not None and snapshot.status == model.AVAILABLE and find_live(tx, f"snapshot/{id}") is None:
            _lost(tx, snapshot, pool, "VOLUME_SNAPSHOT")


def _lost(tx: Tx, row: Volume | Snapshot, pool: str, kind: str) -> None:
    log.error("the file of %s %s is gone from pool %s", kind.lower(), row.id, pool)
    row.status, row.updated_at = model.ERROR, clock.now()
    messages.add_message(
        tx,
        project_id=row.project_id,
        request_id=None,
        resource_type=kind,
        resource_id=row.id,
        action="000",
        text=f"Its data has disappeared from {pool}: restore it from a snapshot or a backup, then delete it.",
    )
    what = "volume" if isinstance(row, Volume) else "snapshot"
    events.emit(tx, f"block_storage.{what}.updated", row.id, project_id=row.project_id)


@reconciler("block_storage.messages", every_s=3600)
async def forget_old_messages(world: World) -> None:
    """Delete the messages whose time is over."""
    await world.db.write(messages.prune)
