"""Statements about security groups and their rules."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, or_, select

from pileus.kernel.db import Tx, ask, rows_with
from pileus.services.network.model import DefaultGroup, Port, PortGroup, SecurityGroup, SecurityGroupRule
from pileus.services.network.store.roles import GUESTS


def count_groups(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(SecurityGroup.project_id == project_id)) or 0


def count_rules(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(SecurityGroupRule.project_id == project_id)) or 0


def default_group_id(tx: Tx, project_id: str) -> str | None:
    """Return the id of a project's default group, if it has been made."""
    row = tx.get(DefaultGroup, project_id)
    return row.group_id if row is not None else None


def is_default(tx: Tx, group_id: str) -> bool:
    """Tell whether a group is somebody's default group."""
    return tx.scalar(select(DefaultGroup.project_id).where(DefaultGroup.group_id == group_id)) is not None


def groups(tx: Tx, ids: Sequence[str]) -> dict[str, SecurityGroup]:
    """Return groups by id."""
    return {row.id: row for row in rows_with(tx, SecurityGroup.id, ids)}


def rules_of(tx: Tx, group_ids: Iterable[str]) -> dict[str, list[SecurityGroupRule]]:
    """Return the rules of many groups, in one query."""
    found: dict[str, list[SecurityGroupRule]] = {}
    row = SecurityGroupRule
    for rule in rows_with(tx, row.security_group_id, list(group_ids), row.created_at, row.id):
        found.setdefault(rule.security_group_id, []).append(rule)
    return found


def in_use(tx: Tx, group_id: str) -> bool:
    """Tell whether a port is in a group."""
    return tx.scalar(select(PortGroup.port_id).where(PortGroup.group_id == group_id).limit(1)) is not None


def hosts_with(tx: Tx, group_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return, by group, the hosts that carry ports in it."""
    found: dict[str, set[str]] = {}
    rows: Any = ask(tx, _HOSTS, {"ids": group_ids})
    for group_id, host in rows:
        found.setdefault(group_id, set()).add(host)
    return found


def named_by(tx: Tx, group_ids: Sequence[str]) -> set[str]:
    """Return the groups that the rules of some groups name."""
    rows: Any = ask(tx, _NAMED, {"ids": group_ids}) if group_ids else ()
    return {group_id for (group_id,) in rows}


def groups_at(tx: Tx, host: str, group_ids: Sequence[str]) -> set[str]:
    """Return those of some groups that guests on a host are in."""
    rows: Any = ask(tx, _GROUPS_AT, {"at": host, "ids": group_ids}) if group_ids else ()
    return {group_id for (group_id,) in rows}


_port: Any = Port.__table__
_member: Any = PortGroup.__table__
_HOSTS = (
    select(_member.c.group_id, _port.c.binding_host)
    .where(
        _member.c.group_id.in_(bindparam("ids", expanding=True)),
        _member.c.port_id == _port.c.id,
        _port.c.binding_host != "",
    )
    .distinct()
)
_rule: Any = SecurityGroupRule.__table__
_NAMED = (
    select(_rule.c.remote_group_id)
    .where(_rule.c.security_group_id.in_(bindparam("ids", expanding=True)), _rule.c.remote_group_id.is_not(None))
    .distinct()
)
_GROUPS_AT = (
    select(_member.c.group_id)
    .where(
        _port.c.binding_host == bindparam("at"),
        _member.c.port_id == _port.c.id,
        _member.c.group_id.in_(bindparam("ids", expanding=True)),
        GUESTS,
    )
    .distinct()
)


def same_rule(tx: Tx, rule: SecurityGroupRule) -> str | None:
    """Return the id of a rule of the same group that says the same."""
    return tx.scalar(
        select(SecurityGroupRule.id).where(
            SecurityGroupRule.security_group_id == rule.security_group_id,
            *(
                getattr(SecurityGroupRule, name).is_(None)
                if (value := getattr(rule, name)) is None
                else getattr(SecurityGroupRule, name) == value
                for name in (
                    "direction",
                    "ethertype",
                    "protocol",
                    "port_range_min",
                    "port_range_max",
                    "remote_ip_prefix",
                    "remote_group_id",
                )
            ),
        )
    )


def rules_naming(tx: Tx, group_id: str) -> Sequence[SecurityGroupRule]:
    """Return the rules that belong to a group or name it as their remote."""
    return tx.scalars(
        select(SecurityGroupRule).where(
            or_(SecurityGroupRule.security_group_id == group_id, SecurityGroupRule.remote_group_id == group_id)
        )
    ).all()
