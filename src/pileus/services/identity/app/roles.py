"""Which roles somebody has somewhere: direct ones, those of groups, inherited ones, implied ones."""

from collections.abc import Iterable, Mapping

from pileus.kernel.db import Tx
from pileus.services.identity.model import NO_DOMAIN, SYSTEM, Project, Role
from pileus.services.identity.store import facts
from pileus.services.identity.store import projects as project_rows
from pileus.services.identity.store import roles as role_rows
from pileus.services.identity.store.facts import ProjectFacts


def expand(ids: Iterable[str], implied: Mapping[str, list[str]]) -> set[str]:
    """Return the roles and all they imply, however far; circles do no harm."""
    found = set(ids)
    pending = list(found)
    while pending:
        for other in implied.get(pending.pop(), ()):
            if other not in found:
                found.add(other)
                pending.append(other)
    return found


def with_implied(tx: Tx, ids: Iterable[str]) -> list[Role]:
    """Return the global roles that these stand for, by name; a domain's own role counts by what it implies."""
    direct = set(ids)
    if not direct:
        return []
    rows = role_rows.roles_by_id(tx, expand(direct, role_rows.implications(tx)))
    return sorted((row for row in rows.values() if row.domain_id == NO_DOMAIN), key=lambda row: row.name)


def on_project(tx: Tx, user_id: str, project: Project | ProjectFacts) -> set[str]:
    """Return the ids of the roles given to a user on a project, not yet expanded."""
    above = [project.domain_id]
    if project.parent_id not in (None, project.domain_id):
        row = project if isinstance(project, Project) else project_rows.get_project(tx, project.id)
        above = [other.id for other in project_rows.parents(tx, row)] if row is not None else above
    return facts.role_ids(tx, user_id, project.id, above)


def held_on_project(tx: Tx, user_id: str, project_id: str | None) -> set[str]:
    """Return the ids of a user's roles on a project, implied ones included; none where there is no project."""
    project = project_rows.get_project(tx, project_id) if project_id else None
    if project is None:
        return set()
    given = on_project(tx, user_id, project)
    return given | {role.id for role in with_implied(tx, given)}


def on_domain(tx: Tx, user_id: str, domain_id: str) -> set[str]:
    """Return the ids of the roles given to a user on a domain."""
    return facts.role_ids(tx, user_id, domain_id, [])


def on_system(tx: Tx, user_id: str) -> set[str]:
    """Return the ids of the roles given to a user on the system."""
    return facts.role_ids(tx, user_id, SYSTEM, [])
