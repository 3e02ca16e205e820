"""Registered limits and limits."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import Project
from pileus.services.identity.model.limits import Limit, RegisteredLimit


def get_registered_limit(tx: Tx, id: str) -> RegisteredLimit | None:
    """Return a registered limit."""
    return tx.get(RegisteredLimit, id)


def find_registered_limit(tx: Tx, service_id: str, region_id: str, resource_name: str) -> RegisteredLimit | None:
    """Return the registered limit of a resource."""
    row = RegisteredLimit
    same = (row.service_id == service_id, row.region_id == region_id, row.resource_name == resource_name)
    return tx.scalar(select(row).where(*same))


def select_registered_limits() -> Select[Any]:
    """Return the statement of a listing."""
    return select(RegisteredLimit)


def registered_limits_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, RegisteredLimit]:
    """Return registered limits by id."""
    wanted = set(ids)
    rows = tx.scalars(select(RegisteredLimit).where(RegisteredLimit.id.in_(wanted))) if wanted else ()
    return {row.id: row for row in rows}


def is_overridden(tx: Tx, registered_limit_id: str) -> bool:
    """Tell whether any limit rests on a registered one."""
    return tx.scalar(select(Limit.id).where(Limit.registered_limit_id == registered_limit_id).limit(1)) is not None


def get_limit(tx: Tx, id: str) -> Limit | None:
    """Return a limit."""
    return tx.get(Limit, id)


def find_limit(tx: Tx, registered_limit_id: str, project_id: str, domain_id: str) -> Limit | None:
    """Return the limit of a project or a domain."""
    same = (Limit.project_id == project_id, Limit.domain_id == domain_id)
    return tx.scalar(select(Limit).where(Limit.registered_limit_id == registered_limit_id, *same))


def select_limits() -> Select[Any]:
    """Return the statement of a listing, each limit beside its registered one."""
    return select(Limit).join(RegisteredLimit, RegisteredLimit.id == Limit.registered_limit_id)


def within_domain(statement: Select[Any], domain_id: str) -> Select[Any]:
    """Narrow a listing to the limits of a domain and of its projects."""
    projects = select(Project.id).where(Project.domain_id == domain_id)
    return statement.where((Limit.domain_id == domain_id) | Limit.project_id.in_(projects))


def limits_below(tx: Tx, registered_limit_id: str, domain_id: str) -> list[Limit]:
    """Return the limits of a domain's projects."""
    projects = select(Project.id).where(Project.domain_id == domain_id)
    below = select(Limit).where(Limit.registered_limit_id == registered_limit_id, Limit.project_id.in_(projects))
    return list(tx.scalars(below))


def delete_limits(tx: Tx, project_ids: Sequence[str]) -> None:
    """Remove the limits of projects and domains that are gone."""
    tx.execute(delete(Limit).where(Limit.project_id.in_(project_ids) | Limit.domain_id.in_(project_ids)))
