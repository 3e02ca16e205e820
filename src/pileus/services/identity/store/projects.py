"""Projects and domains."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import NO_DOMAIN, Group, Project, ProjectTag, User
from pileus.services.identity.store import endpoint_filter, limits


def get_project(tx: Tx, id: str) -> Project | None:
    """Return a project or a domain."""
    return tx.get(Project, id)


def get_domain(tx: Tx, id: str) -> Project | None:
    """Return a domain; a project that is none is not found."""
    row = tx.get(Project, id)
    return row if row is not None and row.is_domain else None


def find_project(tx: Tx, name: str, domain_id: str) -> Project | None:
    """Return the project of that name in a domain (``NO_DOMAIN``: the domain of that name)."""
    return tx.scalar(select(Project).where(Project.domain_id == domain_id, Project.name == name))


def find_domain(tx: Tx, name: str) -> Project | None:
    """Return the domain of that name."""
    return find_project(tx, name, NO_DOMAIN)


def select_projects(*, is_domain: bool | None = False) -> Select[Any]:
    """Return the statement of a listing; None lists both kinds."""
    statement = select(Project)
    return statement if is_domain is None else statement.where(Project.is_domain == is_domain)


def projects_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, Project]:
    """Return projects and domains by id."""
    wanted = set(ids)
    return {row.id: row for row in tx.scalars(select(Project).where(Project.id.in_(wanted)))} if wanted else {}


def parents(tx: Tx, project: Project) -> list[Project]:
    """Return what stands above a project, nearest first, its domain last."""
    above: list[Project] = []
    at = project
    while at.parent_id is not None:
        parent = tx.get(Project, at.parent_id)
        if parent is None:
            break
        above.append(parent)
        at = parent
    return above


def children(tx: Tx, ids: Sequence[str]) -> list[Project]:
    """Return what stands directly below any of ``ids``."""
    return list(tx.scalars(select(Project).where(Project.parent_id.in_(ids)).order_by(Project.name)))


def subtree(tx: Tx, project_id: str) -> list[Project]:
    """Return everything below a project, a level at a time: one query per level."""
    found: list[Project] = []
    level = [project_id]
    while level:
        rows = children(tx, level)
        found.extend(rows)
        level = [row.id for row in rows]
    return found


def in_domain(tx: Tx, domain_id: str) -> tuple[list[str], list[str], list[str]]:
    """Return the ids of a domain's projects, users and groups."""
    return (
        list(tx.scalars(select(Project.id).where(Project.domain_id == domain_id))),
        list(tx.scalars(select(User.id).where(User.domain_id == domain_id))),
        list(tx.scalars(select(Group.id).where(Group.domain_id == domain_id))),
    )


def tags_of(tx: Tx, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags of projects, sorted, by project id."""
    tags: dict[str, list[str]] = {}
    if ids:
        statement = select(ProjectTag).where(ProjectTag.project_id.in_(ids)).order_by(ProjectTag.name)
        for row in tx.scalars(statement):
            tags.setdefault(row.project_id, []).append(row.name)
    return tags


def set_tags(tx: Tx, project_id: str, tags: Iterable[str]) -> None:
    """Replace the tags of a project."""
    tx.execute(delete(ProjectTag).where(ProjectTag.project_id == project_id))
    tx.add_all(ProjectTag(project_id=project_id, name=name) for name in sorted(set(tags)))
    tx.flush()


def delete_projects(tx: Tx, ids: Sequence[str]) -> None:
    """Remove projects, their tags, their limits and what is tied to them."""
    endpoint_filter.delete_associations(tx, project_ids=ids)
    limits.delete_limits(tx, ids)
    tx.execute(delete(ProjectTag).where(ProjectTag.project_id.in_(ids)))
    tx.execute(delete(Project).where(Project.id.in_(ids)))
