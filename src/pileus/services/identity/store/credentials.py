"""Credentials."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Select, delete, select, update

from pileus.kernel.db import Tx
from pileus.services.identity.model import Credential, SpentPasscode


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


def spend_passcode(tx: Tx, credential_id: str, step: int) -> bool:
    """Take the passcode of one step of time; False when it, or a later one, was taken before."""
    row = SpentPasscode
    statement = update(row).where(row.credential_id == credential_id, row.step < step).values(step=step)
    if cast(CursorResult[Any], tx.execute(statement)).rowcount:
        return True
    if tx.get(row, credential_id) is not None:
        return False
    tx.add(row(credential_id=credential_id, step=step))
    tx.flush()
    return True


def forget_spent(tx: Tx) -> None:
    """Forget the passcodes of credentials that are gone."""
    tx.execute(delete(SpentPasscode).where(SpentPasscode.credential_id.not_in(select(Credential.id))))
