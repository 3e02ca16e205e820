"""Offers of volumes to other projects."""

from pileus.kernel.db import Tx
from pileus.services.block_storage.model import Transfer
from pileus.services.block_storage.store.listing import Window, fetch, of_project

SORT_KEYS = {
    "id": Transfer.id,
    "name": Transfer.name,
    "volume_id": Transfer.volume_id,
    "created_at": Transfer.created_at,
}


def list_transfers(tx: Tx, project_id: str | None, window: Window) -> tuple[list[Transfer], str | None]:
    """Return a page of a project's open offers, or of all."""
    statement = of_project(Transfer, project_id)
    return fetch(tx, statement, Transfer, window, statement)
