"""What a directory has, as users, groups and memberships.

Rule: ids follow from the domain and the directory's own ids.  What is gone there is kept here, disabled and unseen,
because a directory that answers wrongly for an hour must not cost everybody their roles.
"""

from collections.abc import Mapping
from typing import Any

from pileus.kernel import clock, events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.services.identity.app.public_ids import public_id
from pileus.services.identity.drivers.directory import Everybody, Person, Team, normal_dn
from pileus.services.identity.model import Group, Membership, User
from pileus.services.identity.model.directories import DirectoryEntry
from pileus.services.identity.store import directories, tokens

Wanted = dict[str, tuple[str, str, dict[str, Any]]]
"""By id: the directory's id, the name, other columns."""


def mirror(
    tx: Tx, ctx: Context | None, domain_id: str, found: Everybody, *, complete: bool = True, writes: bool = True
) -> bool:
    """Make users and groups what a directory has; tell whether something differs.

    Without ``complete`` it is about one person only and says nothing of others; without ``writes`` nothing changes.
    """
    people = {
        public_id(domain_id, "user", one.local_id): (one.local_id, one.name, _columns(one)) for one in found.people
    }
    teams: Wanted = {
        public_id(domain_id, "group", one.local_id): (one.local_id, one.name, {"description": one.description})
        for one in found.teams
    }
    differs = False
    for table, kind, wanted in ((User, "user", people), (Group, "group", teams)):
        if _settle(tx, ctx, table, kind, domain_id, wanted, complete, writes):
            differs = True
            if not writes:
                return True
    if _settle_memberships(tx, domain_id, found, teams, complete, writes):
        differs = True
    if differs and writes:
        tokens.move_revision(tx)
    return differs


def _columns(person: Person) -> dict[str, Any]:
    return {"enabled": person.enabled, "extra": person.extra}


def _settle(
    tx: Tx,
    ctx: Context | None,
    table: type[User] | type[Group],
    kind: str,
    domain_id: str,
    wanted: Wanted,
    complete: bool,
    writes: bool,
) -> bool:
    only = None if complete else list(wanted)
    entries = directories.entries_of(tx, domain_id, kind, only)
    rows = directories.rows_of(tx, table, domain_id, kind, only)
    names = directories.names_in(tx, table, domain_id, None if complete else [name for _, name, _ in wanted.values()])
    differs = False
    for id, (local_id, name, columns) in wanted.items():
        shown = name if names.get(name, id) == id else f"{name} ({local_id})"[:255]
        row, entry = rows.get(id), entries.get(id)
        values = {"name": shown[:255], **columns}
        if row is None:
            differs = True
            if writes:
                _add(tx, ctx, table, kind, domain_id, id, local_id, values)
                names[shown] = id
        elif entry is None or entry.gone_at is not None or _change(tx, row, values, writes):
            differs = True
            if writes:
                _change(tx, row, values, writes)
                _present(tx, id, domain_id, kind, local_id)
    for id, entry in entries.items():
        if id not in wanted and entry.gone_at is None:
            differs = True
            if writes:
                _gone(tx, entry, rows.get(id))
    if writes:
        tx.flush()
    return differs


def _add(
    tx: Tx,
    ctx: Context | None,
    table: type[User] | type[Group],
    kind: str,
    domain_id: str,
    id: str,
    local_id: str,
    values: Mapping[str, Any],
) -> None:
    more = {"password_hash": None, "created_at": clock.now()} if table is User else {}
    tx.add(table(id=id, domain_id=domain_id, **values, **more))
    tx.add(DirectoryEntry(id=id, domain_id=domain_id, kind=kind, local_id=local_id, gone_at=None))
    events.emit(tx, f"identity.{kind}.created", id, ctx=ctx)


def _present(tx: Tx, id: str, domain_id: str, kind: str, local_id: str) -> None:
    entry = directories.get_entry(tx, id)
    if entry is None:
        tx.add(DirectoryEntry(id=id, domain_id=domain_id, kind=kind, local_id=local_id, gone_at=None))
    else:
        entry.gone_at = None


def _change(tx: Tx, row: User | Group, values: Mapping[str, Any], writes: bool) -> bool:
    """Write what differs of a row; tell whether something did."""
    differing = {name: value for name, value in values.items() if getattr(row, name) != value}
    if writes:
        if differing.get("enabled") is False:
            tokens.insert_revocation(tx, clock.now(), user_id=row.id)
        for name, value in differing.items():
            setattr(row, name, value)
    return bool(differing)


def _gone(tx: Tx, entry: DirectoryEntry, row: User | Group | None) -> None:
    entry.gone_at = clock.now()
    if isinstance(row, User):
        row.enabled = False
        tokens.insert_revocation(tx, clock.now(), user_id=row.id)


def _settle_memberships(tx: Tx, domain_id: str, found: Everybody, teams: Wanted, complete: bool, writes: bool) -> bool:
    by_name: dict[str, str] = {}
    for person in found.people:
        id = public_id(domain_id, "user", person.local_id)
        by_name[normal_dn(person.dn)] = by_name[person.local_id] = id
    known = {team.local_id: team for team in found.teams}
    wanted = {
        (by_name[member], group_id)
        for group_id, (local_id, _, _) in teams.items()
        for member in _members(known, local_id)
        if member in by_name
    }
    if complete:
        here = directories.memberships_of(tx, [*directories.entries_of(tx, domain_id, "group"), *teams])
    else:
        here = set().union(*(directories.groups_of(tx, domain_id, user_id) for user_id in by_name.values()))
    if writes:
        tx.add_all(Membership(user_id=user_id, group_id=group_id) for user_id, group_id in wanted - here)
        for user_id, group_id in here - wanted:
            tx.delete(tx.get_one(Membership, (user_id, group_id)))
        tx.flush()
    return wanted != here


def _members(known: Mapping[str, Team], local_id: str) -> frozenset[str]:
    return known[local_id].members
