"""Trusts."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update

from pileus.kernel.db import Tx
from pileus.services.identity.model import Trust


def get_trust(tx: Tx, id: str) -> Trust | None:
    """Return a trust."""
    return tx.get(Trust, id)


def list_trusts(tx: Tx, trustor_user_id: str | None, trustee_user_id: str | None) -> list[Trust]:
    """Return the trusts of a trustor, for a trustee, or both; None means any."""
    statement = select(Trust).order_by(Trust.id)
    if trustor_user_id is not None:
        statement = statement.where(Trust.trustor_user_id == trustor_user_id)
    if trustee_user_id is not None:
        statement = statement.where(Trust.trustee_user_id == trustee_user_id)
    return list(tx.scalars(statement))


def take_use(tx: Tx, id: str) -> bool:
    """Count one use of a trust that has a number of them; tell whether any was left."""
    statement = update(Trust).where(Trust.id == id, Trust.remaining_uses > 0)
    done = tx.connection().execute(statement.values(remaining_uses=Trust.remaining_uses - 1))
    return done.rowcount == 1


def delete_trusts(
    tx: Tx, *, ids: Sequence[str] = (), user_ids: Sequence[str] = (), project_ids: Sequence[str] = ()
) -> None:
    """Remove trusts, and those that were handed on from them."""
    row = Trust
    found = select(row.id).where(
        row.id.in_(ids)
        | row.trustor_user_id.in_(user_ids)
        | row.trustee_user_id.in_(user_ids)
        | row.project_id.in_(project_ids)
    )
    level = list(tx.scalars(found))
    while level:
        below = list(tx.scalars(select(row.id).where(row.redelegated_trust_id.in_(level))))
        tx.execute(delete(row).where(row.id.in_(level)))
        level = below
