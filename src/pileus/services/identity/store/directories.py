"""What is known of directories."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import Group, Membership, User
from pileus.services.identity.model.directories import DirectoryEntry
from pileus.services.identity.model.domain_configs import DomainOption


def get_entry(tx: Tx, id: str) -> DirectoryEntry | None:
    """Return the entry that a user or group comes of."""
    return tx.get(DirectoryEntry, id)


def entries_of(tx: Tx, domain_id: str, kind: str, ids: Collection[str] | None = None) -> dict[str, DirectoryEntry]:
    """Return what is known of a domain's directory, by id: all, or some."""
    statement = select(DirectoryEntry).where(DirectoryEntry.domain_id == domain_id, DirectoryEntry.kind == kind)
    if ids is not None:
        statement = statement.where(DirectoryEntry.id.in_(ids))
    return {row.id: row for row in tx.scalars(statement)}


def select_gone(domain_id: str, kind: str) -> Select[Any]:
    """Return the statement of the ids of what a directory had and has not any more."""
    row = DirectoryEntry
    return select(row.id).where(row.domain_id == domain_id, row.kind == kind, row.gone_at.is_not(None))


def rows_of(
    tx: Tx, table: type[User] | type[Group], domain_id: str, kind: str, ids: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the users or groups that stand for a directory's entries, by id: all, or some."""
    if ids is not None:
        return {row.id: row for row in tx.scalars(select(table).where(table.id.in_(ids)))}
    known = select(DirectoryEntry.id).where(DirectoryEntry.domain_id == domain_id, DirectoryEntry.kind == kind)
    return {row.id: row for row in tx.scalars(select(table).where(table.id.in_(known)))}


def names_in(
    tx: Tx, table: type[User] | type[Group], domain_id: str, names: Collection[str] | None = None
) -> dict[str, str]:
    """Return name to id of a domain's users or groups: all, or those of some names."""
    statement = select(table.name, table.id).where(table.domain_id == domain_id)
    if names is not None:
        statement = statement.where(table.name.in_(names))
    return {row.name: row.id for row in tx.execute(statement)}


def memberships_of(tx: Tx, group_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Return ``(user id, group id)`` of who is in these groups."""
    statement = select(Membership.user_id, Membership.group_id).where(Membership.group_id.in_(group_ids))
    return {(user_id, group_id) for user_id, group_id in tx.execute(statement)}


def groups_of(tx: Tx, domain_id: str, user_id: str) -> set[tuple[str, str]]:
    """Return ``(user id, group id)`` of the directory's groups that a user is in."""
    groups = select(DirectoryEntry.id).where(DirectoryEntry.domain_id == domain_id, DirectoryEntry.kind == "group")
    statement = select(Membership.group_id).where(Membership.user_id == user_id, Membership.group_id.in_(groups))
    return {(user_id, group_id) for group_id in tx.scalars(statement)}


def delete_entries(tx: Tx, *, domain_ids: Sequence[str] = (), ids: Sequence[str] = ()) -> None:
    """Forget what is known of domains' directories, or of single entries."""
    tx.execute(delete(DirectoryEntry).where(DirectoryEntry.domain_id.in_(domain_ids) | DirectoryEntry.id.in_(ids)))


def domains_with_driver(tx: Tx) -> list[str]:
    """Return the ids of the domains whose configuration names a driver."""
    return list(
        tx.scalars(
            select(DomainOption.domain_id).where(DomainOption.section == "identity", DomainOption.name == "driver")
        )
    )
