"""Revision and revocations: what makes a token end before its time."""

from datetime import datetime

from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import NoResultFound

from pileus.kernel.db import Tx, remembered
from pileus.services.identity.model import Revision, Revocation

_REVISION = text("select value from identity_revision where id = 1")
_KNOWN = "identity_revision"


def revision(tx: Tx) -> int:
    """Return the number that moves with every change a validated token rests on; read once in a transaction."""
    value = tx.info.get(_KNOWN)
    if value is None:
        value = tx.info[_KNOWN] = remembered(tx, _KNOWN, _read_revision)
    return value


def _read_revision(tx: Tx) -> int:
    value = tx.connection().execute(_REVISION).scalar()
    if value is None:
        raise NoResultFound("identity_revision is empty: identity was not bootstrapped")
    return value


def move_revision(tx: Tx) -> None:
    """Make every node look again at each token before it trusts what it remembers."""
    tx.info.pop(_KNOWN, None)
    tx.execute(update(Revision).where(Revision.id == 1).values(value=Revision.value + 1))


def insert_revocation(
    tx: Tx,
    now: datetime,
    *,
    audit_id: str | None = None,
    audit_chain_id: str | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
    domain_id: str | None = None,
) -> None:
    """End the tokens issued up to ``now`` that match every given fact."""
    tx.add(
        Revocation(
            audit_id=audit_id,
            audit_chain_id=audit_chain_id,
            user_id=user_id,
            project_id=project_id,
            domain_id=domain_id,
            issued_before=now,
            revoked_at=now,
        )
    )
    move_revision(tx)


def list_revocations(tx: Tx, since: datetime | None) -> list[Revocation]:
    """Return the revocations, oldest first."""
    statement = select(Revocation).order_by(Revocation.id)
    if since is not None:
        statement = statement.where(Revocation.revoked_at >= since)
    return list(tx.scalars(statement))


def delete_revocations_before(tx: Tx, moment: datetime) -> None:
    """Forget revocations of tokens that have ended by themselves since."""
    tx.execute(delete(Revocation).where(Revocation.revoked_at < moment))
