"""What a token is for: nothing, a project, a domain, the system, or a trust's project.

Rule: a scope without a role in it is refused, in the same words as one that is not there.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Invalid, Unauthenticated
from pileus.kernel.rest import Extra, Text
from pileus.kernel.rest.references import Refers
from pileus.services.identity.app import roles, trusts
from pileus.services.identity.app.fernet import REFUSAL, Payload
from pileus.services.identity.app.references import TrustId
from pileus.services.identity.model import Project, User
from pileus.services.identity.store import application_credentials, projects

# Of any length: whoever is unknown for whatever reason is answered alike.
DomainId = Annotated[Text, Refers("domain", loaded=False)]
ProjectId = Annotated[Text, Refers("project", loaded=False)]


class DomainReference(msgspec.Struct):
    """A domain by id or by name."""

    id: DomainId | None = None
    name: str | None = None


class ProjectReference(msgspec.Struct):
    """A project by id, or by its name and domain."""

    id: ProjectId | None = None
    name: str | None = None
    domain: DomainReference | None = None


class TrustReference(msgspec.Struct):
    """A trust by its id."""

    id: TrustId


class Scope(msgspec.Struct):
    """The member ``auth.scope``."""

    project: ProjectReference | None = None
    domain: DomainReference | None = None
    system: Extra | None = None
    unscoped: Any = UNSET
    trust: TrustReference | None = msgspec.field(default=None, name="OS-TRUST:trust")


def find_domain(tx: Tx, given: DomainReference) -> Project | None:
    if "\0" in (given.id or given.name or ""):
        return None  # none is called so, and not every database can be asked
    return projects.get_domain(tx, given.id) if given.id else projects.find_domain(tx, given.name or "")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A scope: its kind and id as in a token's payload, and whose token it will be."""

    kind: str
    id: str
    user_id: str
    trust_id: str | None = None
    application_credential_id: str | None = None
    access_token_id: str | None = None
    thumbprint: str | None = None


def check_rescoping(parent: Payload, asked: Scope | str | UnsetType | None, *, scoped_allowed: bool) -> None:
    """Raise Forbidden where a token may not make another one for this scope."""
    if parent.trust_id is not None:
        raise Forbidden("A token of a trust makes no other tokens: the trustee logs in again.")
    if parent.scope and not scoped_allowed:
        raise Forbidden("A token with a scope makes no other tokens here (allow_rescope_scoped_token): log in again.")
    if parent.scope == "s" and isinstance(asked, Scope) and (asked.project or asked.domain):
        raise Forbidden("A token of the system makes none of a project or a domain: log in for that one.")


def choose(tx: Tx, user: User, asked: Scope | str | UnsetType | None, credential_id: str | None) -> Chosen:
    """Return what a new token is for; raise Unauthenticated where the user has no role."""
    if credential_id is not None:
        project_id = _credential_project(tx, asked, credential_id)
        return Chosen("p", project_id, user.id, application_credential_id=credential_id)
    if isinstance(asked, Scope) and asked.trust is not None:
        trust = trusts.use(tx, user, asked.trust.id)
        giver = trust.trustor_user_id if trust.impersonation else user.id
        return Chosen("p" if trust.project_id else "", trust.project_id or "", giver, trust.id)
    kind, id = _plain(tx, user, asked)
    return Chosen(kind, id, user.id)


def _plain(tx: Tx, user: User, asked: Scope | str | UnsetType | None) -> tuple[str, str]:
    if asked is UNSET or asked is None:
        return _default_scope(tx, user)
    if isinstance(asked, str) or asked.unscoped is not UNSET:
        if isinstance(asked, str) and asked != "unscoped":
            raise Invalid(f"auth.scope must be an object or 'unscoped', not {asked[:64]!r}.")
        return "", ""
    chosen = [part for part in (asked.project, asked.domain, asked.system) if part is not None]
    if len(chosen) != 1:
        raise Invalid("auth.scope must have exactly one of project, domain and system.")
    if asked.project is not None:
        return "p", _project_scope(tx, user, asked.project)
    if asked.domain is not None:
        domain = find_domain(tx, asked.domain)
        if domain is None or not domain.enabled or not roles.on_domain(tx, user.id, domain.id):
            raise _no_access("the domain asked for")
        return "d", domain.id
    if (asked.system or {}).get("all") is not True:
        raise Invalid('auth.scope.system must be {"all": true}.')
    if not roles.on_system(tx, user.id):
        raise _no_access("the system")
    return "s", "all"


def _no_access(where: str) -> Unauthenticated:
    return Unauthenticated(
        f"The user has no role on {where}, or it does not exist or is disabled. Ask for another scope, or for a role."
    )


def _project_scope(tx: Tx, user: User, asked: ProjectReference) -> str:
    project = _find_project(tx, asked)
    if project is None or not project.enabled or not roles.on_project(tx, user.id, project):
        raise _no_access("the project asked for")
    return project.id


def _find_project(tx: Tx, asked: ProjectReference) -> Project | None:
    if "\0" in (asked.id or asked.name or ""):
        return None
    if asked.id:
        found = projects.get_project(tx, asked.id)
        return found if found is not None and not found.is_domain else None
    if not asked.name or asked.domain is None:
        raise Invalid("auth.scope.project must have an id, or a name and a domain.")
    domain = find_domain(tx, asked.domain)
    return projects.find_project(tx, asked.name, domain.id) if domain is not None else None


def _default_scope(tx: Tx, user: User) -> tuple[str, str]:
    """Return the user's default project where it may go there, else nothing."""
    project = projects.get_project(tx, user.default_project_id) if user.default_project_id else None
    if project is None or not project.enabled or not roles.on_project(tx, user.id, project):
        return "", ""
    domain = projects.get_domain(tx, project.domain_id)
    return ("p", project.id) if domain is not None and domain.enabled else ("", "")


def _credential_project(tx: Tx, asked: Scope | str | UnsetType | None, credential_id: str) -> str:
    row = application_credentials.get_application_credential(tx, credential_id)
    if row is None:
        raise Unauthenticated(REFUSAL)
    if isinstance(asked, Scope):
        project = _find_project(tx, asked.project) if asked.project is not None else None
        if project is None or project.id != row.project_id:
            raise Forbidden("An application credential is for its own project only; leave auth.scope out.")
    return row.project_id
