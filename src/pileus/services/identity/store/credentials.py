"""Credentials."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import Credential


def get_credential(tx: Tx, id: str) -> Credential | None:
    """Return a credential."""
    return tx.get(Credential, id)


def select_credentials() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Credential)


def list_credentials(tx: Tx, user_id: str, type: str) -> list[Credential]:
    """Return a user's credentials of one type."""
    row = Credential
    return list(tx.scalars(select(row).where(row.user_id == user_id, row.type == type).order_by(row.id)))


def delete_credentials(tx: Tx, *, user_ids: Sequence[str] = (), project_ids: Sequence[str] = ()) -> None:
    """Remove the credentials of users or for projects."""
    tx.execute(delete(Credential).where(Credential.user_id.in_(user_ids) | Credential.project_id.in_(project_ids)))
