"""What the rules for accounts and passwords remember."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model.accounts import Account, FormerPassword


def find_account(tx: Tx, user_id: str) -> Account | None:
    """Return what is remembered of a user."""
    return tx.get(Account, user_id)


def get_account(tx: Tx, user_id: str) -> Account:
    """Return what is remembered of a user, a new row when that is nothing."""
    row = tx.get(Account, user_id)
    if row is None:
        row = Account(user_id=user_id, failures=0, chose_password=False)
        tx.add(row)
    return row


def accounts_by_id(tx: Tx, user_ids: Iterable[str]) -> dict[str, Account]:
    """Return what is remembered of users by id."""
    wanted = set(user_ids)
    rows = tx.scalars(select(Account).where(Account.user_id.in_(wanted))) if wanted else ()
    return {row.user_id: row for row in rows}


def former_passwords(tx: Tx, user_id: str, count: int) -> list[FormerPassword]:
    """Return the last passwords a user had before the present one, newest first."""
    row = FormerPassword
    return list(tx.scalars(select(row).where(row.user_id == user_id).order_by(row.id.desc()).limit(count)))


def insert_former_password(tx: Tx, user_id: str, hashed: str, keep: int) -> None:
    """Remember a password that is replaced, and forget all but the last ``keep``."""
    tx.add(FormerPassword(user_id=user_id, hashed=hashed))
    tx.flush()
    kept = [row.id for row in former_passwords(tx, user_id, keep)]
    tx.execute(delete(FormerPassword).where(FormerPassword.user_id == user_id, FormerPassword.id.not_in(kept)))


def delete_accounts(tx: Tx, user_ids: Sequence[str]) -> None:
    """Forget users that are gone."""
    tx.execute(delete(Account).where(Account.user_id.in_(user_ids)))
    tx.execute(delete(FormerPassword).where(FormerPassword.user_id.in_(user_ids)))
