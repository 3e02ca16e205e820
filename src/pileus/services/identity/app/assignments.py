"""Lists of who has which role where, as given or as it takes effect.

Rule: the effective list has no groups, no inheritance and no inference left in it: each is turned into what it does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from pileus.kernel.db import Tx
from pileus.services.identity.app.roles import expand
from pileus.services.identity.model import NO_DOMAIN, Assignment
from pileus.services.identity.store import projects, roles, users


class Entry(msgspec.Struct, frozen=True):
    """One assignment; ``group_id``, ``prior_role_id`` and ``from_id`` say what an effective one comes of."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    role_id: str
    inherited: bool
    group_id: str | None = None
    prior_role_id: str | None = None
    from_kind: str | None = None
    from_id: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The filters of a listing."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    include_subtree: bool = False


def direct(tx: Tx, wanted: Wanted) -> list[Entry]:
    """Return assignments as they were given."""
    row = Assignment
    conditions = []
    actor = wanted.user_id or wanted.group_id
    if actor is not None:
        conditions.append(row.actor_id == actor)
    if wanted.role_id is not None:
        conditions.append(row.role_id == wanted.role_id)
    if wanted.inherited is not None:
        conditions.append(row.inherited.is_(wanted.inherited))
    if wanted.system:
        conditions.append(row.target_kind == "system")
    if wanted.domain_id is not None:
        conditions.append(row.target_id == wanted.domain_id)
    if wanted.project_id is not None:
        conditions.append(row.target_id.in_(_targets(tx, wanted)))
    return [_entry(found) for found in roles.list_assignments(tx, *conditions)]


def _targets(tx: Tx, wanted: Wanted) -> list[str]:
    assert wanted.project_id is not None
    below = projects.subtree(tx, wanted.project_id) if wanted.include_subtree else []
    return [wanted.project_id, *(row.id for row in below)]


def _entry(row: Assignment) -> Entry:
    return Entry(row.actor_kind, row.actor_id, row.target_kind, row.target_id, row.role_id, row.inherited)


def effective(tx: Tx, wanted: Wanted) -> list[Entry]:
    """Return what assignments come to: users only, on the places they reach, implied roles included."""
    conditions = []
    if wanted.user_id is not None:
        conditions.append(Assignment.actor_id.in_([wanted.user_id, *users.group_ids_of(tx, wanted.user_id)]))
    if wanted.system:
        conditions.append(Assignment.target_kind == "system")
    if wanted.domain_id is not None:
        conditions.append(Assignment.target_id == wanted.domain_id)
    targets = set(_targets(tx, wanted)) if wanted.project_id is not None else None
    if targets is not None:
        conditions.append(_reaching(tx, targets, wanted))
    given = [_entry(found) for found in roles.list_assignments(tx, *conditions)]
    spread = _implied(tx, _inherited(tx, _members(tx, given, wanted.user_id)))
    found = {
        (entry.actor_id, entry.target_id, entry.role_id, entry.group_id, entry.from_id, entry.prior_role_id): entry
        for entry in spread
        if (wanted.role_id is None or entry.role_id == wanted.role_id)
        and (targets is None or entry.target_id in targets)
        and (wanted.domain_id is None or entry.target_id == wanted.domain_id)
        and (wanted.inherited is None or (entry.from_id is not None) == wanted.inherited)
    }
    return list(found.values())


def _reaching(tx: Tx, targets: set[str], wanted: Wanted) -> Any:
    """Return "given on one of these projects, or inherited from above the first"."""
    top = projects.get_project(tx, wanted.project_id or "")
    above = [row.id for row in projects.parents(tx, top)] if top is not None else []
    return Assignment.target_id.in_(targets) | (Assignment.target_id.in_(above) & Assignment.inherited.is_(True))


def _members(tx: Tx, given: Iterable[Entry], user_id: str | None) -> list[Entry]:
    """Put the members in the place of their groups."""
    entries = list(given)
    members = users.members_of(tx, [entry.actor_id for entry in entries if entry.actor_kind == "group"])
    found = []
    for entry in entries:
        if entry.actor_kind == "user":
            found.append(entry)
            continue
        for member in members.get(entry.actor_id, ()):
            if user_id is None or member == user_id:
                found.append(replace(entry, actor_kind="user", actor_id=member, group_id=entry.actor_id))
    return found


def _inherited(tx: Tx, given: Iterable[Entry]) -> list[Entry]:
    """Put the projects below in the place of an inherited assignment's target."""
    found, below = [], {}
    for entry in given:
        if not entry.inherited:
            found.append(entry)
            continue
        if entry.target_id not in below:
            below[entry.target_id] = [row.id for row in projects.subtree(tx, entry.target_id)]
        for id in below[entry.target_id]:
            found.append(
                replace(
                    entry, target_kind="project", target_id=id, from_kind=entry.target_kind, from_id=entry.target_id
                )
            )
    return found


def _implied(tx: Tx, given: Iterable[Entry]) -> list[Entry]:
    """Add what each role implies; a domain's own roles do nothing beyond that, so they are left out."""
    implied, known = roles.implications(tx), roles.all_roles(tx)
    found = []
    reached: dict[str, set[str]] = {}
    for entry in given:
        if entry.role_id not in reached:
            reached[entry.role_id] = expand([entry.role_id], implied)
        for other in reached[entry.role_id]:
            if other not in known or known[other].domain_id != NO_DOMAIN:
                continue
            prior = entry.role_id if other != entry.role_id else None
            found.append(replace(entry, role_id=other, prior_role_id=prior))
    return found
