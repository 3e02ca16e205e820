"""Users, groups and who is in which."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Select, bindparam, delete, select, union_all, update

from pileus.kernel import clock
from pileus.kernel.db import Tx, load_one
from pileus.services.identity.model import Group, Membership, User
from pileus.services.identity.model.federation import ExpiringMembership


def get_user(tx: Tx, id: str) -> User | None:
    """Return a user."""
    return tx.get(User, id)


_FIND = select(User).where(User.domain_id == bindparam("domain_id"), User.name == bindparam("name"))


def find_user(tx: Tx, name: str, domain_id: str) -> User | None:
    """Return the user of that name in a domain."""
    return load_one(tx, User, _FIND, {"domain_id": domain_id, "name": name})


_RECORD = select(*User.__table__.columns).where(
    User.domain_id == bindparam("domain_id"), User.name == bindparam("name")
)


def find_record(tx: Tx, name: str, domain_id: str) -> User | None:
    """Return the user of that name as a record that cannot be changed: log-ins need no more, and it costs half."""
    found: Any = tx.connection().execute(_RECORD, {"domain_id": domain_id, "name": name}).first()
    return found


def select_users() -> Select[Any]:
    """Return the statement of a listing."""
    return select(User)


def users_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, User]:
    """Return users by id."""
    wanted = set(ids)
    return {row.id: row for row in tx.scalars(select(User).where(User.id.in_(wanted)))} if wanted else {}


def get_group(tx: Tx, id: str) -> Group | None:
    """Return a group."""
    return tx.get(Group, id)


def find_group(tx: Tx, name: str, domain_id: str) -> Group | None:
    """Return the group of that name in a domain."""
    return tx.scalar(select(Group).where(Group.domain_id == domain_id, Group.name == name))


def select_groups() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Group)


def groups_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, Group]:
    """Return groups by id."""
    wanted = set(ids)
    return {row.id: row for row in tx.scalars(select(Group).where(Group.id.in_(wanted)))} if wanted else {}


def groups_with(user_id: str) -> CompoundSelect[str]:
    """Return the statement of the ids of the groups a user is in, whoever put it there."""
    lasting = ExpiringMembership.expires_at > clock.now()
    return union_all(
        select(Membership.group_id).where(Membership.user_id == user_id),
        select(ExpiringMembership.group_id).where(ExpiringMembership.user_id == user_id, lasting),
    )


def users_with(group_ids: Sequence[str]) -> CompoundSelect[str, str]:
    """Return the statement of ``(user id, group id)`` of all who are in groups, whoever put them there."""
    lasting = ExpiringMembership.expires_at > clock.now()
    return union_all(
        select(Membership.user_id, Membership.group_id).where(Membership.group_id.in_(group_ids)),
        select(ExpiringMembership.user_id, ExpiringMembership.group_id).where(
            ExpiringMembership.group_id.in_(group_ids), lasting
        ),
    )


def select_groups_of(user_id: str) -> Select[Any]:
    """Return the statement of the groups a user is in."""
    return select(Group).where(Group.id.in_(groups_with(user_id)))


def select_users_in(group_id: str) -> Select[Any]:
    """Return the statement of the users in a group."""
    members = users_with([group_id]).subquery()
    return select(User).where(User.id.in_(select(members.c.user_id)))


def get_membership(tx: Tx, user_id: str, group_id: str) -> Membership | None:
    """Return the membership of a user in a group."""
    return tx.get(Membership, (user_id, group_id))


def group_ids_of(tx: Tx, user_id: str) -> list[str]:
    """Return the ids of the groups a user is in."""
    return list(dict.fromkeys(tx.scalars(groups_with(user_id))))


def members_of(tx: Tx, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the users in each group."""
    members: dict[str, list[str]] = {}
    for user_id, group_id in dict.fromkeys(tuple(row) for row in tx.execute(users_with(group_ids))):
        members.setdefault(group_id, []).append(user_id)
    return members


def delete_memberships(tx: Tx, *, user_ids: Sequence[str] = (), group_ids: Sequence[str] = ()) -> None:
    """Remove every membership of these users or in these groups."""
    tx.execute(delete(Membership).where(Membership.user_id.in_(user_ids) | Membership.group_id.in_(group_ids)))


def delete_people(tx: Tx, user_ids: Sequence[str], group_ids: Sequence[str]) -> None:
    """Remove users and groups."""
    tx.execute(delete(User).where(User.id.in_(user_ids)))
    tx.execute(delete(Group).where(Group.id.in_(group_ids)))


def forget_default_project(tx: Tx, project_ids: Sequence[str]) -> None:
    """Leave nobody with a default project that is gone."""
    tx.execute(update(User).where(User.default_project_id.in_(project_ids)).values(default_project_id=None))
