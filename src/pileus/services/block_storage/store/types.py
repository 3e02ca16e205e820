"""Volume types and who may use them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, or_, select, true

from pileus.kernel.db import Tx
from pileus.services.block_storage.model import DEFAULT_TYPE, Volume, VolumeType, VolumeTypeAccess
from pileus.services.block_storage.store.listing import Window, fetch

ZONES = "RESKEY:availability_zones"
SORT_KEYS = {
    "id": VolumeType.id,
    "name": VolumeType.name,
    "created_at": VolumeType.created_at,
    "updated_at": VolumeType.updated_at,
    "is_public": VolumeType.is_public,
}


def _usable(project_id: str | None) -> ColumnElement[bool]:
    """Return the condition that a project may use a type; None means an administrator, who sees all."""
    if project_id is None:
        return true()
    allowed = select(VolumeTypeAccess.volume_type_id).where(VolumeTypeAccess.project_id == project_id)
    return or_(VolumeType.is_public, VolumeType.id.in_(allowed))


def get_type(tx: Tx, id: str, project_id: str | None) -> VolumeType | None:
    """Return a type that the project may use (any, for None)."""
    return tx.scalars(select(VolumeType).where(VolumeType.id == id, _usable(project_id))).first()


def find_type(tx: Tx, name_or_id: str, project_id: str | None) -> VolumeType | None:
    """Return a type by its id or, failing that, its name."""
    found = tx.scalars(
        select(VolumeType).where(or_(VolumeType.id == name_or_id, VolumeType.name == name_or_id), _usable(project_id))
    ).all()
    return next((row for row in found if row.id == name_or_id), found[0] if found else None)


def type_of(tx: Tx, volume: Volume) -> VolumeType:
    """Return a volume's type; a type in use cannot be deleted."""
    return tx.scalars(select(VolumeType).where(VolumeType.id == volume.volume_type_id)).one()


def default_type(tx: Tx) -> VolumeType:
    """Return the type of volumes that ask for none; bootstrap made it and nobody can delete it."""
    return tx.scalars(select(VolumeType).where(VolumeType.name == DEFAULT_TYPE)).one()


def list_types(
    tx: Tx,
    project_id: str | None,
    window: Window,
    *,
    is_public: bool | None = None,
    name: str | None = None,
    extra_specs: Mapping[str, str] = {},
) -> tuple[list[VolumeType], str | None]:
    """Return a page of types that the project may use; ``extra_specs`` are those that a type must have."""
    statement = seen = select(VolumeType).where(_usable(project_id))
    if is_public is not None:
        statement = statement.where(VolumeType.is_public == is_public)
    if name is not None:
        statement = statement.where(VolumeType.name == name)
    if extra_specs:
        known = tx.execute(select(VolumeType.id, VolumeType.extra_specs))
        statement = statement.where(VolumeType.id.in_([id for id, specs in known if _has(specs, extra_specs)]))
    return fetch(tx, statement, VolumeType, window, seen)


def _has(specs: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Say whether a type has extra specs; of its availability zones, which are a list, a part is enough."""
    return all(
        value in specs.get(key, "") if key == ZONES else specs.get(key) == value for key, value in wanted.items()
    )


def type_names(tx: Tx) -> Mapping[str, str]:
    """Return every type's name by id."""
    rows = tx.execute(select(VolumeType.id, VolumeType.name))
    return {row.id: row.name for row in rows}


def is_used(tx: Tx, type_id: str) -> bool:
    """Tell whether a volume has the type."""
    return tx.scalar(select(Volume.id).where(Volume.volume_type_id == type_id).limit(1)) is not None


def access_of(tx: Tx, type_id: str) -> Sequence[VolumeTypeAccess]:
    """Return the projects that may use a private type."""
    return tx.scalars(
        select(VolumeTypeAccess).where(VolumeTypeAccess.volume_type_id == type_id).order_by(VolumeTypeAccess.project_id)
    ).all()


def delete_type(tx: Tx, row: VolumeType) -> None:
    """Delete a type and the list of who may use it."""
    tx.execute(delete(VolumeTypeAccess).where(VolumeTypeAccess.volume_type_id == row.id))
    tx.delete(row)


def name_is_taken(tx: Tx, name: str) -> bool:
    """Tell whether a type has the name."""
    return tx.scalar(select(VolumeType.id).where(VolumeType.name == name)) is not None
