"""Roles, what they imply, and who has which where."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, delete, or_, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import Assignment, ImpliedRole, Role
from pileus.services.identity.store import users


def get_role(tx: Tx, id: str) -> Role | None:
    """Return a role."""
    return tx.get(Role, id)


def find_role(tx: Tx, name: str, domain_id: str) -> Role | None:
    """Return the role of that name in a domain (``NO_DOMAIN``: the global one)."""
    return tx.scalar(select(Role).where(Role.domain_id == domain_id, Role.name == name))


def select_roles() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Role)


def roles_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, Role]:
    """Return roles by id."""
    wanted = set(ids)
    return {row.id: row for row in tx.scalars(select(Role).where(Role.id.in_(wanted)))} if wanted else {}


def all_roles(tx: Tx) -> dict[str, Role]:
    """Return every role by id."""
    return {row.id: row for row in tx.scalars(select(Role))}


def implications(tx: Tx) -> dict[str, list[str]]:
    """Return the ids of the roles that each prior role implies directly."""
    implied: dict[str, list[str]] = {}
    for prior, other in tx.execute(select(ImpliedRole.prior_role_id, ImpliedRole.implied_role_id)):
        implied.setdefault(prior, []).append(other)
    return implied


def get_implied(tx: Tx, prior_id: str, implied_id: str) -> ImpliedRole | None:
    """Return one inference rule."""
    return tx.get(ImpliedRole, (prior_id, implied_id))


def delete_role(tx: Tx, role: Role) -> None:
    """Remove a role, its assignments and the inference rules it is part of."""
    tx.execute(delete(Assignment).where(Assignment.role_id == role.id))
    tx.execute(
        delete(ImpliedRole).where((ImpliedRole.prior_role_id == role.id) | (ImpliedRole.implied_role_id == role.id))
    )
    tx.delete(role)
    tx.flush()


def get_assignment(tx: Tx, actor_id: str, target_id: str, role_id: str, inherited: bool) -> Assignment | None:
    """Return one assignment."""
    return tx.get(Assignment, (actor_id, target_id, role_id, inherited))


def roles_between(tx: Tx, actor_id: str, target_id: str, inherited: bool) -> list[Role]:
    """Return the roles directly given to an actor on a target."""
    statement = select(Role).join(Assignment, Assignment.role_id == Role.id)
    return list(
        tx.scalars(
            statement.where(
                Assignment.actor_id == actor_id, Assignment.target_id == target_id, Assignment.inherited == inherited
            ).order_by(Role.name)
        )
    )


def _actors(user_id: str) -> Any:
    return or_(Assignment.actor_id == user_id, Assignment.actor_id.in_(users.groups_with(user_id)))


def targets_of(tx: Tx, user_id: str) -> list[tuple[str, str, bool]]:
    """Return ``(target_kind, target_id, inherited)`` wherever a user or one of its groups has any role."""
    statement = select(Assignment.target_kind, Assignment.target_id, Assignment.inherited)
    found = tx.execute(statement.where(_actors(user_id)).distinct())
    return [(kind, target_id, inherited) for kind, target_id, inherited in found]


def list_assignments(tx: Tx, *conditions: Any) -> list[Assignment]:
    """Return assignments that meet every condition."""
    return list(tx.scalars(select(Assignment).where(*conditions)))


def delete_assignments(tx: Tx, *, actor_ids: Sequence[str] = (), target_ids: Sequence[str] = ()) -> None:
    """Remove every assignment of these actors or on these targets."""
    tx.execute(delete(Assignment).where(Assignment.actor_id.in_(actor_ids) | Assignment.target_id.in_(target_ids)))
