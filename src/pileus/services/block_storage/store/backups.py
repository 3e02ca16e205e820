"""Backups."""

import msgspec
from sqlalchemy import ColumnElement, func, select

from pileus.kernel.db import Tx
from pileus.services.block_storage.model import Backup
from pileus.services.block_storage.store.listing import Window, fetch, of_project

SORT_KEYS = {
    "id": Backup.id,
    "name": Backup.name,
    "status": Backup.status,
    "size": Backup.size,
    "volume_id": Backup.volume_id,
    "container": Backup.container,
    "availability_zone": Backup.availability_zone,
    "created_at": Backup.created_at,
    "updated_at": Backup.updated_at,
    "data_timestamp": Backup.data_timestamp,
}


class BackupFilter(msgspec.Struct, frozen=True):
    """Which backups are wanted; None leaves a property open."""

    project_id: str | None = None
    name: str | None = None
    status: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None


def list_backups(tx: Tx, wanted: BackupFilter, window: Window) -> tuple[list[Backup], str | None]:
    """Return a page of backups."""
    return fetch(tx, select(Backup).where(*_conditions(wanted)), Backup, window, of_project(Backup, wanted.project_id))


def count_backups(tx: Tx, wanted: BackupFilter) -> int:
    """Return how many backups there are in all pages."""
    return tx.scalar(select(func.count()).select_from(Backup).where(*_conditions(wanted))) or 0


def _conditions(wanted: BackupFilter) -> list[ColumnElement[bool]]:
    return [
        getattr(Backup, name) == value
        for name in wanted.__struct_fields__
        if (value := getattr(wanted, name)) is not None
    ]


def usage(tx: Tx, project_id: str) -> tuple[int, int]:
    """Return (count, GiB) of a project's backups."""
    count, size = tx.execute(
        select(func.count(), func.coalesce(func.sum(Backup.size), 0)).where(Backup.project_id == project_id)
    ).one()
    return count, int(size)
