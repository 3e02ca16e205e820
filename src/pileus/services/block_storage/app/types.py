"""What may be done to volume types."""

from collections.abc import Mapping

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.block_storage.model import DEFAULT_TYPE, VolumeType
from pileus.services.block_storage.store import types


def free_name(tx: Tx, name: str) -> str:
    """Return the name without blanks around it; raise Conflict when another type has it."""
    name = name.strip()
    if not name:
        raise Invalid("Invalid input: Name has 0 characters, at least 1 is required.")
    if types.name_is_taken(tx, name):
        raise Conflict(f"Volume Type {name} already exists.")
    return name


def spec_of(specs: Mapping[str, str], type_id: str, key: str) -> str:
    """Return one extra spec; raise NotFound."""
    if key not in specs:
        raise NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
    return specs[key]


def ensure_default_type(tx: Tx) -> None:
    """Add the type that volumes get which ask for none."""
    if types.name_is_taken(tx, DEFAULT_TYPE):
        return
    tx.add(
        VolumeType(
            id=ids.new_id(),
            name=DEFAULT_TYPE,
            description="Default Volume Type",
            is_public=True,
            extra_specs={},
            qos_specs_id=None,
            created_at=clock.now(),
            updated_at=None,
        )
    )
