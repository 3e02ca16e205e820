"""All that other services may ask of identity, as functions of their own transaction."""

from collections.abc import Iterable

from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import administration
from pileus.services.identity.app.federation.openid import OpenIds
from pileus.services.identity.app.roles import with_implied
from pileus.services.identity.app.standings import Person, Standing, find_person
from pileus.services.identity.model import DEFAULT_DOMAIN, NO_DOMAIN
from pileus.services.identity.store import projects, roles, users

__all__ = [
    "Person",
    "Standing",
    "administration",
    "expand_roles",
    "find_person",
    "find_project_id",
    "find_user_id",
    "project_exists",
    "project_names",
    "sign_on_choices",
    "user_names",
]


def project_exists(tx: Tx, project_id: str) -> bool:
    """Tell whether there is such a project."""
    return projects.get_project(tx, project_id) is not None


def project_names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of projects and domains by id; those that are gone are absent."""
    return {id: row.name for id, row in projects.projects_by_id(tx, ids).items()}


def user_names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of users by id; those that are gone are absent."""
    return {id: row.name for id, row in users.users_by_id(tx, ids).items()}


def find_project_id(tx: Tx, name: str, domain_id: str = DEFAULT_DOMAIN) -> str | None:
    """Return the id of the project of that name."""
    row = projects.find_project(tx, name, domain_id)
    return row.id if row is not None else None


def find_user_id(tx: Tx, name: str, domain_id: str = DEFAULT_DOMAIN) -> str | None:
    """Return the id of the user of that name."""
    row = users.find_user(tx, name, domain_id)
    return row.id if row is not None else None


def expand_roles(tx: Tx, names: Iterable[str]) -> frozenset[str]:
    """Return the names of these global roles and of all they imply."""
    found = (roles.find_role(tx, name, NO_DOMAIN) for name in names)
    return frozenset(row.name for row in with_implied(tx, [row.id for row in found if row is not None]))


def sign_on_choices(tx: Tx, runtime: Runtime) -> list[tuple[str, str]]:
    """Return ``(identity provider, protocol)`` of whom a browser can be sent to in order to log in."""
    return runtime.part(OpenIds).all_choices(tx)
