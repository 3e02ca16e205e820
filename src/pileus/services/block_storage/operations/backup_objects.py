"""The object a backup is.  One rule: it lies in the project's own account, under the volume's id and its own."""

from pileus.kernel import clock, events
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.runtime import runtime_of
from pileus.services.block_storage import model
from pileus.services.block_storage.model import Backup
from pileus.services.block_storage.operations import images
from pileus.services.block_storage.store import messages
from pileus.services.object_store import public as objects
from pileus.services.object_store.public import Arrived, Path

FORMAT = "qcow2"


def path_of(backup: Backup) -> Path:
    """Return where a backup's bytes are."""
    return Path(f"AUTH_{backup.project_id}", backup.container, f"volume_{backup.volume_id}/backup_{backup.id}")


def get(tx: Tx, backup_id: str) -> Backup:
    """Return a backup; raise NotFound."""
    backup = tx.get(Backup, backup_id)
    if backup is None:
        raise NotFound(f"Backup {backup_id} could not be found.")
    return backup


def set_status(tx: Tx, backup_id: str, status: str, reason: str | None = None) -> None:
    """Put a backup into a state, with the reason for its owner when it is an error."""
    backup = tx.get(Backup, backup_id)
    if backup is None:
        return
    backup.status, backup.fail_reason, backup.updated_at = status, reason, clock.now()
    if reason is not None:
        messages.add_message(
            tx,
            project_id=backup.project_id,
            request_id=None,
            resource_type="VOLUME_BACKUP",
            resource_id=backup_id,
            action="013",
            text=reason,
        )
    events.emit(tx, "block_storage.backup.updated", backup_id, project_id=backup.project_id)


async def store(db: Database, backup_id: str, name: str) -> None:
    """Make the operation's file the backup's object."""
    path = await db.write(_find_room, backup_id)

    def stored(tx: Tx, arrived: Arrived) -> None:
        get(tx, backup_id).object_count = 1

    await objects.put(runtime_of(db), path, images.blocks(images.path_for(db, name)), stored)


def _find_room(tx: Tx, backup_id: str) -> Path:
    path = path_of(get(tx, backup_id))
    objects.ensure_container(tx, path.account, path.container)
    return path


async def unstore(db: Database, backup_id: str, name: str) -> None:
    """Remove the object again."""
    await db.write(remove_object, backup_id)


def remove_object(tx: Tx, backup_id: str) -> None:
    """Remove the object with the caller's transaction."""
    backup = tx.get(Backup, backup_id)
    if backup is not None:
        objects.delete(tx, runtime_of(tx), path_of(backup))


async def fetch(db: Database, backup_id: str, name: str) -> str:
    """Put a backup's bytes into the operation's file and return its path."""
    path = await db.read(_find_object, backup_id)
    runtime = runtime_of(db)
    await images.receive(await objects.get(runtime, path), images.path_for(db, name))
    return str(images.path_for(db, name))


def _find_object(tx: Tx, backup_id: str) -> Path:
    return path_of(get(tx, backup_id))


async def drop(db: Database, backup_id: str, name: str) -> None:
    """Remove the operation's file."""
    await images.drop(db, name)


def release(tx: Tx, backup_id: str) -> None:
    """Note that a volume no longer needs the backup it was made from."""
    backup = tx.get(Backup, backup_id)
    if backup is not None and backup.status == model.RESTORING:
        set_status(tx, backup_id, model.AVAILABLE)
