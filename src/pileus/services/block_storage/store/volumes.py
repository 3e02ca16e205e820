"""Volumes and what hangs on them: attachments and transfers."""

import operator
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, delete, func, select

from pileus.kernel.db import Tx, case_insensitive_like
from pileus.services.block_storage.model import (
    ATTACHED,
    AVAILABLE,
    CREATING,
    IN_USE,
    Attachment,
    Snapshot,
    Transfer,
    Volume,
)
from pileus.services.block_storage.store.listing import Window, containing, fetch, of_project

SORT_KEYS = {
    "id": Volume.id,
    "name": Volume.name,
    "display_name": Volume.name,
    "status": Volume.status,
    "size": Volume.size,
    "availability_zone": Volume.availability_zone,
    "bootable": Volume.bootable,
    "created_at": Volume.created_at,
    "updated_at": Volume.updated_at,
    "host": Volume.host,
    "user_id": Volume.user_id,
    "project_id": Volume.project_id,
    "volume_type_id": Volume.volume_type_id,
}


class VolumeFilter(msgspec.Struct, frozen=True):
    """Which volumes are wanted; None leaves a property open, ``project_id`` None means every project's."""

    project_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    name_like: str | None = None
    status: str | None = None
    availability_zone: str | None = None
    bootable: bool | None = None
    size: int | None = None
    volume_type_id: str | None = None
    group_id: str | None = None
    host: str | None = None
    metadata: Mapping[str, str] = {}
    image_metadata: Mapping[str, str] = {}
    created_at: tuple[tuple[str, datetime], ...] = ()
    """Comparisons, all of which must hold: ``("gt", time)``; so ``updated_at``."""
    updated_at: tuple[tuple[str, datetime], ...] = ()


COMPARE = {"gt": operator.gt, "gte": operator.ge, "eq": operator.eq, "neq": operator.ne, "lt": operator.lt,
           "lte": operator.le}  # fmt: skip
EQUAL = ("project_id", "user_id", "name", "status", "availability_zone", "bootable", "size", "volume_type_id",
         "group_id")  # fmt: skip


def get_volume(tx: Tx, id: str) -> Volume | None:
    """Return a volume, whoever owns it."""
    return tx.get(Volume, id)


def list_volumes(tx: Tx, wanted: VolumeFilter, window: Window) -> tuple[list[Volume], str | None]:
    """Return a page of volumes."""
    return fetch(tx, select(Volume).where(*_conditions(wanted)), Volume, window, of_project(Volume, wanted.project_id))


def count_volumes(tx: Tx, wanted: VolumeFilter) -> int:
    """Return how many volumes there are in all pages."""
    return tx.scalar(select(func.count()).select_from(Volume).where(*_conditions(wanted))) or 0


def _conditions(wanted: VolumeFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        getattr(Volume, name) == value for name in EQUAL if (value := getattr(wanted, name)) is not None
    ]
    if wanted.name_like is not None:
        found.append(case_insensitive_like(Volume.name, f"%{_literal(wanted.name_like)}%"))
    if wanted.host is not None:
        found.append(Volume.host.startswith(wanted.host, autoescape=True))
    found.extend(COMPARE[how](Volume.created_at, time) for how, time in wanted.created_at)
    found.extend(COMPARE[how](Volume.updated_at, time) for how, time in wanted.updated_at)
    found.extend(containing(Volume.properties, wanted.metadata))
    found.extend(containing(Volume.image_properties, wanted.image_metadata))
    return found


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def summarize(tx: Tx, project_id: str | None) -> tuple[int, int]:
    """Return (count, total GiB) of a project's volumes, or of all."""
    statement = select(func.count(), func.coalesce(func.sum(Volume.size), 0))
    if project_id is not None:
        statement = statement.where(Volume.project_id == project_id)
    count, size = tx.execute(statement).one()
    return count, int(size)


def distinct_metadata(tx: Tx, project_id: str | None) -> dict[str, list[str]]:
    """Return every metadata key in use with its distinct values."""
    statement = select(Volume.properties)
    if project_id is not None:
        statement = statement.where(Volume.project_id == project_id)
    found: dict[str, set[str]] = defaultdict(set)
    for properties in tx.scalars(statement):
        for key, value in properties.items():
            found[key].add(value)
    return {key: sorted(values) for key, values in sorted(found.items())}


def usage(tx: Tx, project_id: str, volume_type_id: str | None = None) -> tuple[int, int]:
    """Return (count, GiB) of what the quota counts of a project's volumes, of one type or of all."""
    statement = select(func.count(), func.coalesce(func.sum(Volume.quota_gib), 0)).where(
        Volume.project_id == project_id
    )
    if volume_type_id is not None:
        statement = statement.where(Volume.volume_type_id == volume_type_id)
    count, size = tx.execute(statement).one()
    return count, int(size)


class PoolUse(msgspec.Struct):
    """What one project keeps in a pool."""

    project_id: str
    volumes: int = 0
    volume_gib: int = 0
    snapshots: int = 0
    snapshot_gib: int = 0


def use_of_pool(tx: Tx, pool: str) -> list[PoolUse]:
    """Return what each project keeps in a pool."""
    found: dict[str, PoolUse] = {}
    kept = select(Volume.project_id, func.count(), func.sum(Volume.size)).where(Volume.host == pool)
    for project_id, count, size in tx.execute(kept.group_by(Volume.project_id)):
        found[project_id] = PoolUse(project_id, count, int(size))
    taken = (
        select(Snapshot.project_id, func.count(), func.sum(Snapshot.size))
        .join(Volume, Volume.id == Snapshot.volume_id)
        .where(Volume.host == pool)
    )
    for project_id, count, size in tx.execute(taken.group_by(Snapshot.project_id)):
        use = found.setdefault(project_id, PoolUse(project_id))
        use.snapshots, use.snapshot_gib = count, int(size)
    return sorted(found.values(), key=lambda use: use.project_id)


def in_creation_from(tx: Tx, *, volume_id: str | None = None, snapshot_id: str | None = None) -> str | None:
    """Return a volume that is being made from that volume or snapshot at this moment."""
    statement = select(Volume.id).where(Volume.status == CREATING)
    if volume_id is not None:
        statement = statement.where(Volume.source_volid == volume_id)
    if snapshot_id is not None:
        statement = statement.where(Volume.snapshot_id == snapshot_id)
    return tx.scalar(statement.limit(1))


def delete_volume(tx: Tx, volume: Volume) -> None:
    """Delete the row and those that mean nothing without it."""
    tx.execute(delete(Attachment).where(Attachment.volume_id == volume.id))
    tx.execute(delete(Transfer).where(Transfer.volume_id == volume.id))
    tx.delete(volume)


def ids_of_volumes(tx: Tx, place: str) -> set[str]:
    """Return the ids of all volumes that live in a pool, or in any pool of a host."""
    return set(tx.scalars(select(Volume.id).where(_lives_in(place))))


def ids_of_snapshots(tx: Tx, place: str) -> set[str]:
    """Return the ids of all snapshots whose volume lives there."""
    return set(tx.scalars(select(Snapshot.id).join(Volume, Volume.id == Snapshot.volume_id).where(_lives_in(place))))


def _lives_in(place: str) -> ColumnElement[bool]:
    return Volume.host == place if "@" in place else Volume.host.startswith(f"{place}@", autoescape=True)


def status_again(tx: Tx, volume: Volume, before: str) -> str:
    """Return the status of a volume after what it was used for meanwhile; its server may have let go of it."""
    if before == IN_USE and not attachments_of(tx, [volume.id]):
        return AVAILABLE
    return before


def attachments_of(tx: Tx, volume_ids: Collection[str]) -> Mapping[str, Sequence[Attachment]]:
    """Return the attachments of some volumes, by volume."""
    found: dict[str, list[Attachment]] = defaultdict(list)
    if volume_ids:
        for row in tx.scalars(select(Attachment).where(Attachment.volume_id.in_(volume_ids)).order_by(Attachment.id)):
            found[row.volume_id].append(row)
    return found


def monitor_of(tx: Tx, volume_id: str) -> str | None:
    """Return the QMP socket of the process that has the volume open, None when nobody has.

    Compute puts it into the attachment's connector when it attaches the volume.
    """
    for connector in tx.scalars(
        select(Attachment.connector).where(Attachment.volume_id == volume_id, Attachment.status == ATTACHED)
    ):
        if connector is not None and connector.get("monitor"):
            return connector["monitor"]
    return None


ATTACHMENT_SORT_KEYS = {"id": Attachment.id, "created_at": Attachment.created_at, "status": Attachment.status}


class AttachmentFilter(msgspec.Struct, frozen=True):
    """Which attachments are wanted."""

    project_id: str | None = None
    volume_id: str | None = None
    server_id: str | None = None
    status: str | None = None


def list_attachments(tx: Tx, wanted: AttachmentFilter, window: Window) -> tuple[list[Attachment], str | None]:
    """Return a page of attachments."""
    conditions = [
        getattr(Attachment, name) == value
        for name in wanted.__struct_fields__
        if (value := getattr(wanted, name)) is not None
    ]
    return fetch(
        tx, select(Attachment).where(*conditions), Attachment, window, of_project(Attachment, wanted.project_id)
    )


def attachments_of_server(tx: Tx, server_id: str) -> list[Attachment]:
    """Return what a server holds, oldest first."""
    return list(
        tx.scalars(
            select(Attachment).where(Attachment.server_id == server_id).order_by(Attachment.created_at, Attachment.id)
        )
    )
