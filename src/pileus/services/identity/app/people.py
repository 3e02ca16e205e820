"""Users and groups: made, changed and removed so that nothing of them stays behind.

Rule: whatever takes somebody's access away ends the tokens that rest on it, in the same transaction.
"""

from collections.abc import Callable
from typing import Any

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.identity.app import compliance, options
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.model import DEFAULT_DOMAIN, Group, Membership, Project, User
from pileus.services.identity.store import (
    accounts,
    application_credentials,
    credentials,
    directories,
    federation,
    oauth1,
    projects,
    roles,
    tokens,
    trusts,
    users,
)


def own_domain(ctx: Context) -> str:
    """Return the domain of what a request makes without naming one."""
    return ctx.domain_id or ctx.caller.project_domain_id or DEFAULT_DOMAIN


def require_domain(tx: Tx, id: str) -> Project:
    """Return a domain; raise NotFound."""
    domain = projects.get_domain(tx, id)
    if domain is None:
        raise NotFound(f"Could not find domain: {id}.")
    return domain


def name_taken(noun: str, name: str, domain_id: str) -> Conflict:
    """Return the refusal of a name that is in use."""
    return Conflict(
        f"Conflict occurred attempting to store {noun} - Duplicate entry found with name {name} at domain ID "
        f"{domain_id}. Choose another name."
    )


_FIND: dict[str, Callable[[Tx, str, str], User | Group | None]] = {"user": users.find_user, "group": users.find_group}


def _require_free(tx: Tx, noun: str, name: str, domain_id: str) -> None:
    """Raise Conflict when the name of a user or a group is taken in the domain."""
    if _FIND[noun](tx, name, domain_id) is not None:
        raise name_taken(noun, name, domain_id)


def _check_change(tx: Tx, noun: str, row: User | Group, given: dict[str, Any]) -> None:
    """Raise Invalid for a user or a group that would change its domain, Conflict for a name that is taken there."""
    if given.get("domain_id", row.domain_id) != row.domain_id:
        raise Invalid(f"Cannot change Domain ID: {noun} {row.id} stays in domain {row.domain_id}.")
    if (name := given.get("name", row.name)) != row.name:
        _require_free(tx, noun, name, row.domain_id)


def _apply(tx: Tx, row: User | Group, given: dict[str, Any], kept: dict[str, Any]) -> None:
    for field, value in given.items():
        setattr(row, field, value)
    row.extra = {**row.extra, **kept}
    tx.flush()


def create_user(
    tx: Tx, ctx: Context, rules: Rules, *, name: str, domain_id: str, password_hash: str | None, **more: Any
) -> User:
    """Add a user; raise Conflict when the name is taken in the domain."""
    require_domain(tx, domain_id)
    _require_free(tx, "user", name, domain_id)
    _check_default_project(tx, more.get("default_project_id"))
    row = User(id=ids.new_hex_id(), name=name, domain_id=domain_id, created_at=clock.now(), **more)
    compliance.set_password(tx, rules, row, password_hash, chosen=False)
    tx.add(row)
    events.emit(tx, "identity.user.created", row.id, ctx=ctx)
    tx.flush()
    return row


def create_shadow(tx: Tx, ctx: Context, *, id: str, name: str, domain_id: str, **more: Any) -> User:
    """Add a user whom another system keeps: it has no password here."""
    row = User(id=id, name=name, domain_id=domain_id, password_hash=None, created_at=clock.now(), **more)
    tx.add(row)
    events.emit(tx, "identity.user.created", row.id, ctx=ctx)
    tx.flush()
    return row


def _check_default_project(tx: Tx, id: str | None) -> None:
    project = projects.get_project(tx, id) if id else None
    if project is not None and project.is_domain:
        raise Invalid(f"User's default project ID cannot be a domain ID: {id}. Name a project.")


def update_user(tx: Tx, ctx: Context, rules: Rules, row: User, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Change a user; a new password or a disabled user ends the tokens there are."""
    _check_change(tx, "user", row, given)
    _check_default_project(tx, given.get("default_project_id"))
    ends = "password_hash" in given or given.get("enabled") is False
    if "options" in given:
        options.merge(row, given.pop("options"))
    if "password_hash" in given:
        compliance.set_password(tx, rules, row, given.pop("password_hash"), chosen=False)
    if given.get("enabled"):
        compliance.reinstate(tx, rules, row)
    _apply(tx, row, given, kept)
    if ends:
        tokens.insert_revocation(tx, clock.now(), user_id=row.id)
    else:
        tokens.move_revision(tx)
    events.emit(tx, "identity.user.updated", row.id, ctx=ctx)


def delete_user(tx: Tx, ctx: Context, row: User) -> None:
    """Remove a user with its memberships, assignments and application credentials."""
    users.delete_memberships(tx, user_ids=[row.id])
    federation.delete_memberships(tx, user_ids=[row.id])
    federation.delete_federated_users(tx, [row.id])
    directories.delete_entries(tx, ids=[row.id])
    roles.delete_assignments(tx, actor_ids=[row.id])
    application_credentials.delete_application_credentials(tx, user_ids=[row.id], with_rules=True)
    credentials.delete_credentials(tx, user_ids=[row.id])
    oauth1.delete_tokens(tx, user_ids=[row.id])
    trusts.delete_trusts(tx, user_ids=[row.id])
    accounts.delete_accounts(tx, [row.id])
    tokens.move_revision(tx)
    events.emit(tx, "identity.user.deleted", row.id, ctx=ctx)
    tx.delete(row)
    tx.flush()


def replace_password(tx: Tx, ctx: Context, rules: Rules, row: User, hashed: str) -> None:
    """Give a user the password it chose; the tokens there are end."""
    compliance.set_password(tx, rules, row, hashed, chosen=True)
    tx.flush()
    tokens.insert_revocation(tx, clock.now(), user_id=row.id)
    events.emit(tx, "identity.user.updated", row.id, ctx=ctx)


def create_group(tx: Tx, ctx: Context, *, name: str, domain_id: str, **more: Any) -> Group:
    """Add a group; raise Conflict when the name is taken in the domain."""
    require_domain(tx, domain_id)
    _require_free(tx, "group", name, domain_id)
    row = Group(id=ids.new_hex_id(), name=name, domain_id=domain_id, **more)
    tx.add(row)
    events.emit(tx, "identity.group.created", row.id, ctx=ctx)
    tx.flush()
    return row


def update_group(tx: Tx, ctx: Context, row: Group, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Change a group."""
    _check_change(tx, "group", row, given)
    _apply(tx, row, given, kept)
    events.emit(tx, "identity.group.updated", row.id, ctx=ctx)


def delete_group(tx: Tx, ctx: Context, row: Group) -> None:
    """Remove a group with its memberships and assignments."""
    users.delete_memberships(tx, group_ids=[row.id])
    federation.delete_memberships(tx, group_ids=[row.id])
    directories.delete_entries(tx, ids=[row.id])
    roles.delete_assignments(tx, actor_ids=[row.id])
    tokens.move_revision(tx)
    events.emit(tx, "identity.group.deleted", row.id, ctx=ctx)
    tx.delete(row)
    tx.flush()


def join_group(tx: Tx, user: User, group: Group) -> None:
    """Put a user into a group; once is enough."""
    if users.get_membership(tx, user.id, group.id) is None:
        tx.add(Membership(user_id=user.id, group_id=group.id))
        tokens.move_revision(tx)


def leave_group(tx: Tx, user: User, group: Group) -> None:
    """Take a user out of a group; raise NotFound when it is not in it."""
    membership = users.get_membership(tx, user.id, group.id)
    if membership is None:
        raise NotFound(f"User {user.id} is not found in group {group.id}.")
    tx.delete(membership)
    tokens.move_revision(tx)
