"""Which hosts are told of a group's members, and what they have not been told yet.

Rule: a host follows a group before it is told of its members, so that whatever changes afterwards is written down for
it; how far it has come is written only when it has obeyed.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, select, update

from pileus.kernel import clock
from pileus.kernel.agent.hosts import HostRow
from pileus.kernel.db import Tx, ask
from pileus.services.network.model import (
    Address,
    GroupFollower,
    MemberChange,
    Port,
    PortGroup,
    SecurityGroupRule,
)
from pileus.services.network.store import stamps
from pileus.services.network.wanted import GroupMembers, Member

MOST_CHANGES = 500
"""A host that has missed more of one group is told it as a whole."""

_change: Any = MemberChange.__table__
_follower: Any = GroupFollower.__table__
_port: Any = Port.__table__
_in_group: Any = PortGroup.__table__
_address: Any = Address.__table__
_rule: Any = SecurityGroupRule.__table__
_groups = bindparam("groups", expanding=True)

_NOTE = insert(_change)
_FOLLOW = insert(_follower)
_POSITIONS = select(_follower.c.group_id, _follower.c.number).where(
    _follower.c.host == bindparam("at"), _follower.c.group_id.in_(_groups)
)
_FOLLOWED = select(_follower.c.group_id).where(_follower.c.group_id.in_(_groups)).distinct()
_WHOLE_WANTED = (
    update(_follower).where(_follower.c.host == bindparam("at"), _follower.c.group_id.in_(_groups)).values(number=0)
)
_at_group = (_follower.c.host == bindparam("at"), _follower.c.group_id == bindparam("group"))
_TOLD_ALL = update(_follower).where(*_at_group, _follower.c.number < bindparam("stamp"))
_TOLD_ALL = _TOLD_ALL.values(number=bindparam("stamp"))
_TOLD_SINCE = update(_follower).where(*_at_group, _follower.c.number == bindparam("since"))
_TOLD_SINCE = _TOLD_SINCE.values(number=bindparam("stamp"))
_NEW = select(_follower.c.host, _follower.c.group_id, _follower.c.number).where(_follower.c.number == 0)
_BEHIND = (
    select(_follower.c.host, _follower.c.group_id, _follower.c.number)
    .where(_follower.c.group_id == _change.c.group_id, _follower.c.number < _change.c.number)
    .distinct()
)
_SETTLED = delete(_change).where(
    ~exists().where(_follower.c.group_id == _change.c.group_id, _follower.c.number < _change.c.number)
)
_CHANGED = (
    select(_change.c.port_id)
    .where(_change.c.group_id == bindparam("group"), _change.c.number > bindparam("since"))
    .distinct()
    .limit(MOST_CHANGES + 1)
)
_MEMBERS = (
    select(_in_group.c.port_id, _address.c.ip, _port.c.allowed_address_pairs)
    .where(
        _in_group.c.group_id == bindparam("group"),
        _port.c.id == _in_group.c.port_id,
        _port.c.binding_host != "",
        _address.c.port_id == _in_group.c.port_id,
    )
    .order_by(_in_group.c.port_id, _address.c.position)
)
_SOME_MEMBERS = _MEMBERS.where(_in_group.c.port_id.in_(bindparam("ports", expanding=True)))
_NAMED_AT = (
    select(_rule.c.remote_group_id)
    .where(
        _port.c.binding_host == bindparam("at"),
        _in_group.c.port_id == _port.c.id,
        _rule.c.security_group_id == _in_group.c.group_id,
        _rule.c.remote_group_id.is_not(None),
    )
    .distinct()
)
_UNFOLLOW = delete(_follower).where(_follower.c.host == bindparam("at"), _follower.c.group_id.not_in(_NAMED_AT))
_ORPHANS = delete(_follower).where(_follower.c.host.not_in(select(HostRow.name)))
_LATE = (
    select(_change.c.group_id, _change.c.number)
    .where(_change.c.changed_at < bindparam("before"))
    .order_by(_change.c.changed_at)
    .limit(1000)
)
_MISSED = update(_follower).where(_follower.c.group_id == bindparam("group"), _follower.c.number < bindparam("up_to"))
_MISSED = _MISSED.values(number=0)
_FORGET = delete(_change).where(_change.c.group_id == bindparam("group"), _change.c.number <= bindparam("up_to"))


def note(tx: Tx, groups_of_ports: Mapping[str, Iterable[str]]) -> bool:
    """Write down, by port, the groups in which it changed; return whether any host has to be told."""
    found = {(group_id, port_id) for port_id, group_ids in groups_of_ports.items() for group_id in group_ids}
    known: set[tuple[str, str]] = tx.info.setdefault("network_member_changes", set())
    fresh = found - known
    if not fresh:
        return False
    stamp = stamps.own(tx)
    told = set(ask(tx, _FOLLOWED, {"groups": sorted({group_id for group_id, _ in fresh})}).scalars())
    fresh = {one for one in fresh if one[0] in told}
    if not fresh:
        return False
    known |= fresh
    now = clock.now()
    rows = [
        {"group_id": group_id, "port_id": port_id, "number": stamp, "changed_at": now}
        for group_id, port_id in sorted(fresh)
    ]
    tx.connection().execute(_NOTE, rows)
    return True


def positions(tx: Tx, host: str, group_ids: Collection[str]) -> dict[str, int]:
    """Return up to where a host has been told, of those of some groups that it follows."""
    if not group_ids:
        return {}
    return {row.group_id: row.number for row in ask(tx, _POSITIONS, {"at": host, "groups": sorted(group_ids)})}


def follow(tx: Tx, host: str, group_ids: Collection[str]) -> bool:
    """Have a host told of these groups from now on; return whether one is new to it."""
    new = sorted({*group_ids} - positions(tx, host, group_ids).keys())
    if new:
        stamps.advance(tx)
        tx.connection().execute(_FOLLOW, [{"group_id": id, "host": host, "number": 0} for id in new])
    return bool(new)


def want_whole(tx: Tx, host: str, group_ids: Collection[str]) -> None:
    """Have a host told all members of these groups: it lacks what it should have."""
    if group_ids:
        follow(tx, host, group_ids)
        tx.connection().execute(_WHOLE_WANTED, {"at": host, "groups": sorted(group_ids)})


def told(tx: Tx, host: str, stamp: int, orders: Iterable[GroupMembers]) -> None:
    """Record up to where a host has been told; where it was found to lack something meanwhile, that stands."""
    for one in orders:
        given = {"at": host, "group": one.id, "stamp": stamp}
        if one.since is None:
            tx.connection().execute(_TOLD_ALL, given)
        else:
            tx.connection().execute(_TOLD_SINCE, {**given, "since": one.since})


def settle(tx: Tx) -> None:
    """Forget the changes that everybody has been told."""
    tx.connection().execute(_SETTLED)


def pending(tx: Tx) -> dict[str, dict[str, int]]:
    """Return, by host, the groups of which it has not been told all that there is, and up to where it has."""
    found: dict[str, dict[str, int]] = {}
    for statement in (_NEW, _BEHIND):
        for row in ask(tx, statement, {}):
            found.setdefault(row.host, {})[row.group_id] = row.number
    return found


def order(tx: Tx, group_id: str, since: int) -> GroupMembers:
    """Return what a host that has been told up to ``since`` (0: nothing) has to be told of a group's members."""
    changed = list(ask(tx, _CHANGED, {"group": group_id, "since": since}).scalars()) if since else []
    if not since or len(changed) > MOST_CHANGES:
        return GroupMembers(id=group_id, members=_read(ask(tx, _MEMBERS, {"group": group_id}), ()))
    rows: Any = ask(tx, _SOME_MEMBERS, {"group": group_id, "ports": changed}) if changed else ()
    return GroupMembers(id=group_id, members=_read(rows, sorted(changed)), since=since)


def _read(rows: Iterable[Any], port_ids: Iterable[str]) -> tuple[Member, ...]:
    found: dict[str, dict[str, None]] = {port_id: {} for port_id in port_ids}
    for port_id, ip, pairs in rows:
        ips = found.setdefault(port_id, {})
        ips[ip] = None
        ips.update({pair["ip_address"]: None for pair in pairs or ()})
    return tuple(Member(port_id, tuple(ips)) for port_id, ips in found.items())


def unfollow(tx: Tx, host: str) -> None:
    """Have a host no longer told of groups that no rule there names."""
    tx.connection().execute(_UNFOLLOW, {"at": host})


def drop_unregistered(tx: Tx) -> None:
    """Forget whom hosts follow that are none."""
    tx.connection().execute(_ORPHANS)


def expire(tx: Tx, before: datetime) -> int:
    """Forget changes that some host has not heard of for long: it is told the whole when it is back."""
    late: dict[str, int] = {}
    for row in ask(tx, _LATE, {"before": before}):
        late[row.group_id] = max(row.number, late.get(row.group_id, 0))
    for group_id, number in sorted(late.items()):
        tx.connection().execute(_MISSED, {"group": group_id, "up_to": number})
        tx.connection().execute(_FORGET, {"group": group_id, "up_to": number})
    return len(late)
