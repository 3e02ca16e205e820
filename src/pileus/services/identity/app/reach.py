"""Where somebody can go: the projects, domains and system on which a user has any role."""

from pileus.kernel.db import Tx
from pileus.services.identity.model import SYSTEM, Project
from pileus.services.identity.store import projects as project_rows
from pileus.services.identity.store import roles as role_rows


def held_projects(tx: Tx, user_id: str) -> dict[str, Project]:
    """Return the projects on which a user has any role, disabled ones too, by id."""
    direct, above = set(), set()
    for kind, target_id, inherited in role_rows.targets_of(tx, user_id):
        if inherited:
            above.add(target_id)
        elif kind == "project":
            direct.add(target_id)
    found = project_rows.projects_by_id(tx, direct)
    for target_id in above:
        found.update({row.id: row for row in project_rows.subtree(tx, target_id)})
    return found


def projects(tx: Tx, user_id: str) -> list[Project]:
    """Return the enabled projects of enabled domains a user may ask a token for, by name."""
    found = held_projects(tx, user_id)
    domains = project_rows.projects_by_id(tx, {row.domain_id for row in found.values()})
    usable = {row.id for row in domains.values() if row.enabled}
    return sorted((row for row in found.values() if row.enabled and row.domain_id in usable), key=lambda row: row.name)


def domains(tx: Tx, user_id: str) -> list[Project]:
    """Return the enabled domains a user may ask a token for, by name."""
    ids = {id for kind, id, inherited in role_rows.targets_of(tx, user_id) if kind == "domain" and not inherited}
    return sorted((row for row in project_rows.projects_by_id(tx, ids).values() if row.enabled), key=lambda r: r.name)


def system(tx: Tx, user_id: str) -> bool:
    """Tell whether a user has any role on the system."""
    return any(kind == SYSTEM for kind, _, _ in role_rows.targets_of(tx, user_id))
