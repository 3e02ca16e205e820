"""Keystone's domains, projects, roles, people and assignments as rows of this cloud.

Rule: ids stay, since quotas, images and networks elsewhere refer to them; only roles are found again by their names.
"""

from datetime import UTC, datetime
from typing import Any

from pileus.services.identity.app.foreign_hashes import adopted
from pileus.services.identity.keystone.merge import Merge
from pileus.services.identity.keystone.source import KSRow, Source, json_of, json_value, unique
from pileus.services.identity.model import (
    NO_DOMAIN,
    SYSTEM,
    Assignment,
    Group,
    ImpliedRole,
    Membership,
    Project,
    ProjectTag,
    Role,
    User,
)
from pileus.services.identity.model.accounts import FormerPassword

ROOT = "<<keystone.domain.root>>"
NO_ROLE_DOMAIN = "<<null>>"
OPTIONS = {
    "1000": "ignore_change_password_upon_first_use",
    "1001": "ignore_password_expiry",
    "1002": "ignore_lockout_failure_attempts",
    "1003": "lock_password",
    "1004": "ignore_user_inactivity",
    "MFAR": "multi_factor_auth_rules",
    "MFAE": "multi_factor_auth_enabled",
    "IMMU": "immutable",
}
"""Keystone keeps options under these short names."""


def options_of(rows: list[KSRow]) -> dict[str, Any]:
    """Return options by their names in the API."""
    found = {OPTIONS.get(row["option_id"]): json_value(row["option_value"]) for row in rows}
    return {name: value for name, value in found.items() if name is not None and value is not None}


def moment(value: Any) -> datetime | None:
    """Return a moment of a database: text, without an offset, or microseconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, int):
        return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def take_projects(merge: Merge, source: Source) -> None:
    """Bring in domains and projects, with their tags and options."""
    rows = [row for row in source["project"] if row["id"] != ROOT]
    wanted = {row["id"]: (_domain(row["domain_id"]), row["name"]) for row in rows}
    merge.give_way("project", Project, wanted)
    options = source.by("project_option", "project_id")
    for row in sorted(rows, key=lambda row: not row["is_domain"]):
        merge.put(
            "domains" if row["is_domain"] else "projects",
            Project,
            {"id": row["id"]},
            domain_id=_domain(row["domain_id"]),
            parent_id=row["parent_id"],
            is_domain=bool(row["is_domain"]),
            name=row["name"],
            description=row["description"] or "",
            enabled=row["enabled"] is None or bool(row["enabled"]),
            options=options_of(options.get(row["id"], [])),
            extra=json_of(row["extra"]),
        )
    for row in source["project_tag"]:
        merge.put("project tags", ProjectTag, {"project_id": row["project_id"], "name": row["name"]})


def _domain(id: str | None) -> str:
    return NO_DOMAIN if id in (ROOT, NO_ROLE_DOMAIN, None) else str(id)


def take_roles(merge: Merge, source: Source) -> dict[str, str]:
    """Bring in roles and what they imply; return the ids here of Keystone's.

    A role whose name is here already (admin, member, reader ...) is that one: policy asks for names.
    """
    here = {(row.domain_id, row.name): row.id for row in merge.rows(Role).values()}
    options = source.by("role_option", "role_id")
    ids: dict[str, str] = {}
    for row in source["role"]:
        domain_id = _domain(row.get("domain_id"))
        known = here.get((domain_id, row["name"]), row["id"])
        ids[row["id"]] = known
        if known != row["id"]:
            merge.report.count("roles", "same")
            continue
        extra = json_of(row["extra"])
        merge.put(
            "roles",
            Role,
            {"id": row["id"]},
            domain_id=domain_id,
            name=row["name"],
            description=row.get("description") or extra.pop("description", None),
            options=options_of(options.get(row["id"], [])),
            extra=extra,
        )
    for row in source["implied_role"]:
        prior, implied = ids.get(row["prior_role_id"]), ids.get(row["implied_role_id"])
        if prior and implied:
            merge.put("implied roles", ImpliedRole, {"prior_role_id": prior, "implied_role_id": implied})
    return ids


def take_people(merge: Merge, source: Source) -> None:
    """Bring in users with their passwords, groups, and who is in which."""
    local = unique(source["local_user"], "user_id")
    elsewhere = unique(source["nonlocal_user"], "user_id")
    federated = unique(source["federated_user"], "user_id")
    passwords = source.by("password", "local_user_id")
    options = source.by("user_option", "user_id")
    named = []
    for row in source["user"]:
        known = local.get(row["id"]) or elsewhere.get(row["id"])
        names = federated.get(row["id"])
        name = known["name"] if known else (names["display_name"] or names["unique_id"]) if names else None
        if name is None:
            merge.report.leave_out("users", f"User {row['id']} has no name in this database.")
            continue
        domain_id = row.get("domain_id") or (known["domain_id"] if known else "")
        named.append((row, name, domain_id, passwords.get(known["id"], []) if known and "id" in known else []))
    merge.give_way("user", User, {row["id"]: (domain_id, name) for row, name, domain_id, _ in named})
    for row, name, domain_id, history in named:
        password = _password(merge, name, history)
        merge.put(
            "users",
            User,
            {"id": row["id"]},
            domain_id=domain_id,
            name=name,
            enabled=row["enabled"] is None or bool(row["enabled"]),
            default_project_id=row["default_project_id"],
            **password,
            options=options_of(options.get(row["id"], [])),
            extra=json_of(row["extra"]),
            created_at=moment(row["created_at"]) or datetime.fromtimestamp(0, UTC),
        )
        _former_passwords(merge, row["id"], history)
    take_groups(merge, source)


def _password(merge: Merge, name: str, history: list[KSRow]) -> dict[str, Any]:
    """Return the newest password of a user in the columns of ours."""
    if not history:
        return {"password_hash": None, "password_changed_at": None, "password_expires_at": None}
    row = max(history, key=_age)
    text = row.get("password_hash") or row.get("password")
    hashed = adopted(text) if text else None
    if text and hashed is None:
        merge.report.leave_out("passwords", f"The password of user {name} is hashed in a way that is not known here.")
    return {
        "password_hash": hashed,
        "password_changed_at": moment(row.get("created_at_int") or row["created_at"]),
        "password_expires_at": moment(row.get("expires_at_int") or row["expires_at"]),
    }


def _former_passwords(merge: Merge, user_id: str, history: list[KSRow]) -> None:
    """Bring in the passwords before the newest, so that a rule against their use again goes on to hold."""
    there = {(row.user_id, row.hashed) for row in merge.rows(FormerPassword).values()}
    for row in sorted(history, key=_age)[:-1]:
        hashed = adopted(row.get("password_hash") or "")
        if hashed is None:
            continue
        merge.report.count("former passwords", "same" if (user_id, hashed) in there else "new")
        if (user_id, hashed) not in there:
            merge.tx.add(FormerPassword(user_id=user_id, hashed=hashed))


def _age(row: KSRow) -> tuple[int, int]:
    return row.get("created_at_int") or 0, row["id"]


def take_groups(merge: Merge, source: Source) -> None:
    """Bring in groups and who is in which."""
    merge.give_way("group", Group, {row["id"]: (row["domain_id"], row["name"]) for row in source["group"]})
    for row in source["group"]:
        merge.put(
            "groups",
            Group,
            {"id": row["id"]},
            domain_id=row["domain_id"],
            name=row["name"],
            description=row["description"] or "",
            extra=json_of(row["extra"]),
        )
    for row in source["user_group_membership"]:
        merge.put("memberships", Membership, {"user_id": row["user_id"], "group_id": row["group_id"]})


def take_assignments(merge: Merge, source: Source, roles: dict[str, str]) -> None:
    """Bring in who has which role where."""
    for row in [*source["assignment"], *source["system_assignment"]]:
        actor = "user" if row["type"].startswith("User") else "group"
        target = {"Project": "project", "Domain": "domain", "System": SYSTEM}[row["type"].removeprefix(actor.title())]
        role_id = roles.get(row["role_id"])
        if role_id is None:
            merge.report.leave_out("assignments", f"An assignment names the role {row['role_id']}, which is not there.")
            continue
        key = {
            "actor_id": row["actor_id"],
            "target_id": SYSTEM if target == SYSTEM else row["target_id"],
            "role_id": role_id,
            "inherited": bool(row["inherited"]),
        }
        merge.put("assignments", Assignment, key, actor_kind=actor, target_kind=target)
