"""Everywhere somebody can act, and with which roles: what ``pileus policy explain`` judges.

Rule: a standing is what a token for that place would prove now; nothing is assumed beyond assignments.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pileus.kernel.context import Caller
from pileus.kernel.db import Tx
from pileus.services.identity.app import assignments
from pileus.services.identity.app.assignments import Entry, Wanted
from pileus.services.identity.model import DEFAULT_DOMAIN, Group, Project, Role, User
from pileus.services.identity.store import projects, roles, users


@dataclass(frozen=True)
class Standing:
    """One place, the caller that a token for it makes, and where each role comes from."""

    place: str
    caller: Caller
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """A user, what keeps it from logging in, and where it can act; the last standing is that without a scope."""

    user_id: str
    name: str
    domain: str
    hindrance: str
    standings: tuple[Standing, ...]


def find_user_row(tx: Tx, text: str) -> User | None:
    """Return the user that an id, a ``name`` (of the default domain) or a ``name@domain`` means."""
    row = users.get_user(tx, text) or users.find_user(tx, text, DEFAULT_DOMAIN)
    if row is None and "@" in text:
        name, _, named = text.rpartition("@")
        domain = projects.find_domain(tx, named) or projects.get_domain(tx, named)
        row = users.find_user(tx, name, domain.id) if domain is not None else None
    return row


def find_person(tx: Tx, text: str) -> Person | None:
    """Return who an id, a ``name`` (of the default domain) or a ``name@domain`` means."""
    row = find_user_row(tx, text)
    if row is None:
        return None
    domain = projects.get_domain(tx, row.domain_id)
    hindrance = "" if row.enabled else "the user is disabled"
    if domain is not None and not domain.enabled:
        hindrance = f"domain {domain.name} is disabled"
    return Person(row.id, row.name, domain.name if domain else row.domain_id, hindrance, _standings(tx, row))


def _standings(tx: Tx, user: User) -> tuple[Standing, ...]:
    entries = assignments.effective(tx, Wanted(user_id=user.id))
    places = projects.projects_by_id(tx, (entry.target_id for entry in entries if entry.target_kind != "system"))
    domains = projects.projects_by_id(tx, (row.domain_id for row in places.values() if row.domain_id))
    book = roles.all_roles(tx)
    groups = users.groups_by_id(tx, (entry.group_id for entry in entries if entry.group_id))
    given: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        given.setdefault((entry.target_kind, entry.target_id), []).append(entry)
    found = []
    for (kind, id), held in sorted(given.items()):
        row = places.get(id)
        if kind != "system" and (row is None or not _usable(row, domains)):
            continue
        origins = _origins(held, book, groups, places)
        names = frozenset(book[entry.role_id].name for entry in held if entry.role_id in book)
        found.append(Standing(_place(kind, row, domains), _caller(user, kind, row, names), origins))
    return (*found, Standing("nothing (unscoped)", _caller(user, "", None, frozenset()), ()))


def _usable(row: Project, domains: dict[str, Project]) -> bool:
    return row.enabled and (row.is_domain or (row.domain_id in domains and domains[row.domain_id].enabled))


def _place(kind: str, row: Project | None, domains: dict[str, Project]) -> str:
    if row is None:
        return "the system"
    within = domains.get(row.domain_id)
    return f"{kind} {row.name}" + (f" of domain {within.name}" if within and within.id != DEFAULT_DOMAIN else "")


def _caller(user: User, kind: str, row: Project | None, names: frozenset[str]) -> Caller:
    project = row if kind == "project" else None
    return Caller(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=user.domain_id,
        project_id=project.id if project else None,
        project_name=project.name if project else None,
        project_domain_id=project.domain_id if project else None,
        domain_id=row.id if row is not None and kind == "domain" else None,
        system=kind == "system",
        roles=names,
    )


def _origins(
    held: Iterable[Entry], book: dict[str, Role], groups: dict[str, Group], places: dict[str, Project]
) -> tuple[str, ...]:
    """Return every role with where it comes from, each once."""
    found: dict[str, str] = {}
    for entry in sorted(held, key=lambda entry: (entry.prior_role_id is not None, entry.group_id is not None)):
        role = book.get(entry.role_id)
        if role is None or role.name in found:
            continue
        notes = []
        if entry.prior_role_id in book:
            notes.append(f"implied by {book[entry.prior_role_id].name}")
        if entry.group_id in groups:
            notes.append(f"of group {groups[entry.group_id].name}")
        if entry.from_id:
            above = places.get(entry.from_id)
            notes.append(f"inherited from {entry.from_kind} {above.name if above else entry.from_id}")
        found[role.name] = f"{role.name} ({', '.join(notes)})" if notes else role.name
    return tuple(found[name] for name in sorted(found))
