"""What a token rests on, in as few statements as can be: they are built once and run for every unknown token.

Rule: these read past the session, so nothing that is pending in it counts; they run before handlers do.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.orm import aliased

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.services.identity.model import Assignment, Membership, Project, Revocation, User
from pileus.services.identity.model.federation import ExpiringMembership

_Domain = aliased(Project)


class UserFacts(NamedTuple):
    """A user and its domain."""

    id: str
    name: str
    domain_id: str
    enabled: bool
    password_expires_at: datetime | None
    domain_name: str
    domain_enabled: bool


class ProjectFacts(NamedTuple):
    """A project and its domain."""

    id: str
    name: str
    domain_id: str
    parent_id: str | None
    is_domain: bool
    enabled: bool
    domain_name: str
    domain_enabled: bool


_USER = (
    select(
        User.id,
        User.name,
        User.domain_id,
        User.enabled,
        User.password_expires_at,
        _Domain.name.label("domain_name"),
        _Domain.enabled.label("domain_enabled"),
    )
    .join(_Domain, _Domain.id == User.domain_id)
    .where(User.id == bindparam("id"))
)
_PROJECT = (
    select(
        Project.id,
        Project.name,
        Project.domain_id,
        Project.parent_id,
        Project.is_domain,
        Project.enabled,
        _Domain.name.label("domain_name"),
        _Domain.enabled.label("domain_enabled"),
    )
    .join(_Domain, _Domain.id == Project.domain_id)
    .where(Project.id == bindparam("id"))
)
_ROLE_IDS = (
    select(Assignment.role_id)
    .where(
        or_(
            Assignment.actor_id == bindparam("user_id"),
            Assignment.actor_id.in_(
                select(Membership.group_id)
                .where(Membership.user_id == bindparam("user_id"))
                .union_all(
                    select(ExpiringMembership.group_id).where(
                        ExpiringMembership.user_id == bindparam("user_id"),
                        ExpiringMembership.expires_at > bindparam("now"),
                    )
                )
            ),
        ),
        or_(
            and_(Assignment.target_id == bindparam("target_id"), Assignment.inherited.is_(False)),
            and_(Assignment.target_id.in_(bindparam("above", expanding=True)), Assignment.inherited.is_(True)),
        ),
    )
    .distinct()
)
_REVOKED = (
    select(Revocation.id)
    .where(
        or_(
            Revocation.audit_id == bindparam("audit_id"),
            Revocation.audit_chain_id == bindparam("audit_chain_id"),
            and_(
                Revocation.user_id.in_(bindparam("user_ids", expanding=True)),
                or_(Revocation.project_id.is_(None), Revocation.project_id == bindparam("project_id")),
            ),
            and_(Revocation.project_id == bindparam("project_id"), Revocation.user_id.is_(None)),
            Revocation.domain_id.in_(bindparam("domain_ids", expanding=True)),
        ),
        Revocation.issued_before >= bindparam("issued_at"),
    )
    .limit(1)
)


def user_facts(tx: Tx, id: str) -> UserFacts | None:
    """Return a user and its domain."""
    row = tx.connection().execute(_USER, {"id": id}).first()
    return None if row is None else UserFacts(*row)


def project_facts(tx: Tx, id: str) -> ProjectFacts | None:
    """Return a project and its domain."""
    row = tx.connection().execute(_PROJECT, {"id": id}).first()
    return None if row is None else ProjectFacts(*row)


def role_ids(tx: Tx, user_id: str, target_id: str, above: Collection[str]) -> set[str]:
    """Return the ids of a user's roles on a target: its own, its groups', and those inherited from ``above``."""
    values: dict[str, Any] = {"user_id": user_id, "target_id": target_id, "above": list(above), "now": clock.now()}
    return set(tx.connection().execute(_ROLE_IDS, values).scalars())


def is_revoked(
    tx: Tx,
    *,
    audit_id: str,
    audit_chain_id: str,
    user_ids: set[str],
    project_id: str | None,
    domain_ids: set[str],
    issued_at: datetime,
) -> bool:
    """Tell whether a revocation matches a token's facts."""
    values: dict[str, Any] = {
        "audit_id": audit_id,
        "audit_chain_id": audit_chain_id,
        "user_ids": list(user_ids),
        "project_id": project_id,
        "domain_ids": list(domain_ids),
        "issued_at": issued_at,
    }
    return tx.connection().execute(_REVOKED, values).first() is not None
