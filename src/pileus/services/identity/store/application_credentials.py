"""Application credentials and their access rules."""

from collections.abc import Sequence

from sqlalchemy import delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import AccessRule, ApplicationCredential


def get_application_credential(tx: Tx, id: str) -> ApplicationCredential | None:
    """Return an application credential."""
    return tx.get(ApplicationCredential, id)


def find_application_credential(tx: Tx, user_id: str, name: str) -> ApplicationCredential | None:
    """Return a user's application credential of that name."""
    row = ApplicationCredential
    return tx.scalar(select(row).where(row.user_id == user_id, row.name == name))


def list_application_credentials(tx: Tx, user_id: str, name: str | None = None) -> list[ApplicationCredential]:
    """Return a user's application credentials by name."""
    row = ApplicationCredential
    statement = select(row).where(row.user_id == user_id).order_by(row.name)
    return list(tx.scalars(statement if name is None else statement.where(row.name == name)))


def delete_application_credentials(
    tx: Tx, *, user_ids: Sequence[str] = (), project_ids: Sequence[str] = (), with_rules: bool = False
) -> None:
    """Remove the application credentials of users or on projects."""
    row = ApplicationCredential
    tx.execute(delete(row).where(row.user_id.in_(user_ids) | row.project_id.in_(project_ids)))
    if with_rules:
        tx.execute(delete(AccessRule).where(AccessRule.user_id.in_(user_ids)))


def get_access_rule(tx: Tx, id: str) -> AccessRule | None:
    """Return an access rule."""
    return tx.get(AccessRule, id)


def find_access_rule(tx: Tx, user_id: str, service: str, path: str, method: str) -> AccessRule | None:
    """Return a user's access rule of that content."""
    row = AccessRule
    return tx.scalar(
        select(row).where(row.user_id == user_id, row.service == service, row.path == path, row.method == method)
    )


def list_access_rules(tx: Tx, user_id: str) -> list[AccessRule]:
    """Return a user's access rules."""
    return list(tx.scalars(select(AccessRule).where(AccessRule.user_id == user_id).order_by(AccessRule.id)))


def access_rules_by_id(tx: Tx, ids: Sequence[str]) -> dict[str, AccessRule]:
    """Return access rules by id."""
    return {row.id: row for row in tx.scalars(select(AccessRule).where(AccessRule.id.in_(ids)))} if ids else {}
