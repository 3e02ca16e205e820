"""Snapshots."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, func, select

from pileus.kernel.db import Tx, case_insensitive_like
from pileus.services.block_storage.model import Snapshot, Volume
from pileus.services.block_storage.store.listing import Window, containing, fetch, of_project

SORT_KEYS = {
    "id": Snapshot.id,
    "name": Snapshot.name,
    "display_name": Snapshot.name,
    "status": Snapshot.status,
    "volume_id": Snapshot.volume_id,
    "size": Snapshot.size,
    "volume_size": Snapshot.size,
    "created_at": Snapshot.created_at,
    "updated_at": Snapshot.updated_at,
    "user_id": Snapshot.user_id,
    "project_id": Snapshot.project_id,
}


class SnapshotFilter(msgspec.Struct, frozen=True):
    """Which snapshots are wanted; None leaves a property open."""

    project_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    name_like: str | None = None
    status: str | None = None
    volume_id: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = {}


EQUAL = ("project_id", "user_id", "name", "status", "volume_id")


def get_snapshot(tx: Tx, id: str) -> Snapshot | None:
    """Return a snapshot, whoever owns it."""
    return tx.get(Snapshot, id)


def list_snapshots(tx: Tx, wanted: SnapshotFilter, window: Window) -> tuple[list[Snapshot], str | None]:
    """Return a page of snapshots."""
    return fetch(
        tx, select(Snapshot).where(*_conditions(wanted)), Snapshot, window, of_project(Snapshot, wanted.project_id)
    )


def count_snapshots(tx: Tx, wanted: SnapshotFilter) -> int:
    """Return how many snapshots there are in all pages."""
    return tx.scalar(select(func.count()).select_from(Snapshot).where(*_conditions(wanted))) or 0


def _conditions(wanted: SnapshotFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        getattr(Snapshot, name) == value for name in EQUAL if (value := getattr(wanted, name)) is not None
    ]
    if wanted.name_like is not None:
        text = wanted.name_like.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        found.append(case_insensitive_like(Snapshot.name, f"%{text}%"))
    if wanted.availability_zone is not None:
        there = select(Volume.id).where(Volume.availability_zone == wanted.availability_zone)
        found.append(Snapshot.volume_id.in_(there))
    found.extend(containing(Snapshot.properties, wanted.metadata))
    return found


def snapshots_of(tx: Tx, volume_id: str) -> Sequence[Snapshot]:
    """Return a volume's snapshots, newest first."""
    return tx.scalars(
        select(Snapshot).where(Snapshot.volume_id == volume_id).order_by(Snapshot.created_at.desc(), Snapshot.id)
    ).all()


def usage(tx: Tx, project_id: str, volume_type_id: str | None = None) -> tuple[int, int]:
    """Return (count, GiB) of a project's snapshots, of one type or of all."""
    statement = select(func.count(), func.coalesce(func.sum(Snapshot.size), 0)).where(Snapshot.project_id == project_id)
    if volume_type_id is not None:
        statement = statement.where(Snapshot.volume_type_id == volume_type_id)
    count, size = tx.execute(statement).one()
    return count, int(size)
