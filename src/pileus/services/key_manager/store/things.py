"""What belongs to secrets and containers: access lists, consumers, references."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select

from pileus.kernel import clock, quota
from pileus.kernel.db import Tx, delete_with, rows_with
from pileus.kernel.quota import Limit
from pileus.services.key_manager.model import (
    Acl,
    AclUser,
    Container,
    ContainerConsumer,
    ContainerSecret,
    Order,
    Secret,
    SecretConsumer,
)

Consumer = SecretConsumer | ContainerConsumer


def _count(*rows: type[Any]) -> Callable[[Tx, str], int]:
    """Return the query of how many of some kinds a project has; expired secrets do not count."""

    def count(tx: Tx, project_id: str) -> int:
        found = 0
        for row in rows:
            there = [row.project_id == project_id, *([lasting()] if row is Secret else [])]
            found += tx.scalar(select(func.count()).select_from(row).where(*there)) or 0
        return found

    return count


COUNTED: dict[str, tuple[type[Any], ...]] = {
    "secrets": (Secret,),
    "orders": (Order,),
    "containers": (Container,),
    "consumers": (SecretConsumer, ContainerConsumer),
    "cas": (),
}
"""What is counted against each quota; there are no certificate authorities (``cas``) any more, upstream neither."""
LIMITS = {name: Limit("key_manager", name, -1, _count(*rows)) for name, rows in COUNTED.items()}


def lasting() -> ColumnElement[bool]:
    """Return that a secret has not expired."""
    return or_(Secret.expires_at.is_(None), Secret.expires_at > clock.now())


def claim(tx: Tx, project_id: str, name: str, amount: int = 1) -> None:
    """Raise OverQuota unless a project may have more of something."""
    quota.claim(tx, project_id, LIMITS, {name: amount})


def consumers_of(tx: Tx, kind: type[Any], things: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the consumers of secrets or containers, by thing, the oldest first."""
    found: dict[str, list[Any]] = {thing.id: [] for thing in things}
    for row in rows_with(tx, kind.thing_id, list(found), kind.created_at, kind.id):
        found[row.thing_id].append(row)
    return found


def find_consumer(tx: Tx, kind: type[Any], thing_id: str, values: dict[str, str]) -> Any:
    """Return the consumer of a thing with these values, None when there is none."""
    same = [getattr(kind, name) == value for name, value in values.items()]
    return tx.scalars(select(kind).where(kind.thing_id == thing_id, *same)).first()


def acl_of(tx: Tx, thing_id: str) -> tuple[Acl | None, list[str]]:
    """Return the access list of a thing and its users."""
    acl = tx.get(Acl, thing_id)
    users = select(AclUser.user_id).where(AclUser.thing_id == thing_id).order_by(AclUser.user_id)
    return acl, list(tx.scalars(users)) if acl is not None else []


def set_users(tx: Tx, thing_id: str, user_ids: Iterable[str]) -> None:
    """Replace the users of an access list."""
    tx.execute(delete(AclUser).where(AclUser.thing_id == thing_id))
    tx.add_all([AclUser(thing_id=thing_id, user_id=user_id) for user_id in sorted(set(user_ids))])


def drop_acl(tx: Tx, thing_id: str) -> None:
    """Delete the access list of a thing."""
    for row in (Acl, AclUser):
        tx.execute(delete(row).where(row.thing_id == thing_id))


def read_by(user_id: str) -> ColumnElement[bool]:
    """Return that a user is on a secret's access list."""
    return Secret.id.in_(select(AclUser.thing_id).where(AclUser.user_id == user_id))


def references(tx: Tx, container_ids: Sequence[str]) -> dict[str, list[ContainerSecret]]:
    """Return what containers hold, by container and name."""
    found: dict[str, list[ContainerSecret]] = {id: [] for id in container_ids}
    for row in rows_with(tx, ContainerSecret.container_id, container_ids, ContainerSecret.name):
        found[row.container_id].append(row)
    return found


def delete_secret(tx: Tx, row: Secret) -> None:
    """Delete a secret and what belongs to it; containers do not hold it any more."""
    delete_with(tx, ContainerSecret.secret_id, [row.id])
    delete_with(tx, SecretConsumer.thing_id, [row.id])
    drop_acl(tx, row.id)
    tx.delete(row)


def delete_container(tx: Tx, row: Container) -> None:
    """Delete a container and what belongs to it; its secrets stay."""
    delete_with(tx, ContainerSecret.container_id, [row.id])
    delete_with(tx, ContainerConsumer.thing_id, [row.id])
    drop_acl(tx, row.id)
    tx.delete(row)


def all_consumers(kind: type[Any], thing_id: str) -> Select[Any]:
    """Return the statement of the consumers of a thing."""
    return select(kind).where(kind.thing_id == thing_id)
