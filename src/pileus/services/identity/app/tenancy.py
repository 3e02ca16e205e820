"""Projects and domains: made, changed and removed with all that hangs on them.

Rule: a domain is removed only when disabled, a project only when nothing is below it; both end their tokens.
"""

from typing import Any

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from pileus.services.identity.app.limits import STRICT
from pileus.services.identity.app.options import merge, refuse_immutable
from pileus.services.identity.app.people import name_taken, require_domain
from pileus.services.identity.model import NO_DOMAIN, IdentitySettings, Project, Role
from pileus.services.identity.store import (
    accounts,
    application_credentials,
    credentials,
    directories,
    domain_configs,
    federation,
    oauth1,
    projects,
    roles,
    tokens,
    trusts,
    users,
)


def create_project(
    tx: Tx,
    ctx: Context,
    settings: IdentitySettings,
    *,
    name: str,
    domain_id: str,
    parent_id: str | None,
    tags: list[str],
    **more: Any,
) -> Project:
    """Add a project below a parent of the same domain; raise Conflict when the name is taken in the domain."""
    parent = _parent(tx, domain_id, parent_id, _deepest(settings))
    if projects.find_project(tx, name, domain_id) is not None:
        raise name_taken("project", name, domain_id)
    row = Project(id=ids.new_hex_id(), name=name, domain_id=domain_id, parent_id=parent.id, is_domain=False, **more)
    tx.add(row)
    tx.flush()
    if tags:
        _set_tags(tx, row, tags)
    events.emit(tx, "identity.project.created", row.id, ctx=ctx)
    return row


def _deepest(settings: IdentitySettings) -> int:
    return (
        min(settings.max_project_tree_depth, 2) if settings.limit_model == STRICT else settings.max_project_tree_depth
    )


def _parent(tx: Tx, domain_id: str, parent_id: str | None, deepest: int) -> Project:
    domain = require_domain(tx, domain_id)
    if parent_id is None or parent_id == domain_id:
        _require_enabled(domain, [])
        return domain
    parent = projects.get_project(tx, parent_id)
    if parent is None:
        raise NotFound(f"Could not find project: {parent_id}. It was named as the parent.")
    if parent.is_domain or parent.domain_id != domain_id:
        raise Invalid(f"The parent {parent_id} is not in domain {domain_id}: a project stands in its parent's domain.")
    above = projects.parents(tx, parent)
    if len(above) >= deepest:
        raise Forbidden(
            f"Max hierarchy depth reached for {parent_id} branch: projects nest at most {deepest} deep in a domain."
        )
    _require_enabled(parent, above)
    return parent


def _require_enabled(parent: Project, above: list[Project]) -> None:
    for row in (parent, *above):
        if not row.enabled:
            raise Invalid(f"Cannot create a project below {parent.id}: {row.id} is disabled. Enable it first.")


def update_project(tx: Tx, ctx: Context, row: Project, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Change a project or a domain; disabling it ends its tokens."""
    refuse_immutable(_noun(row), row, given)
    _refuse_moves(row, given)
    name = given.get("name", row.name)
    if name != row.name and projects.find_project(tx, name, row.domain_id) is not None:
        raise name_taken(_noun(row), name, row.domain_id)
    disables = given.get("enabled") is False and row.enabled
    if disables and not row.is_domain:
        below = [child for child in projects.subtree(tx, row.id) if child.enabled]
        if below:
            raise Forbidden(f"Cannot disable project {row.id}: {below[0].id} below it is enabled. Disable that first.")
    if given.get("enabled") and not row.enabled and not row.is_domain:
        shut = [above for above in projects.parents(tx, row) if not above.enabled and not above.is_domain]
        if shut:
            raise Forbidden(f"Cannot enable project {row.id}: {shut[0].id} above it is disabled. Enable that first.")
    _apply(tx, row, given, kept)
    if disables:
        which = {"domain_id": row.id} if row.is_domain else {"project_id": row.id}
        tokens.insert_revocation(tx, clock.now(), **which)
    else:
        tokens.move_revision(tx)
    events.emit(tx, f"identity.{_noun(row)}.updated", row.id, ctx=ctx)


def _noun(row: Project) -> str:
    return "domain" if row.is_domain else "project"


def set_tags(tx: Tx, row: Project, tags: list[str]) -> None:
    """Replace a project's tags."""
    refuse_immutable(_noun(row), row, {})
    _set_tags(tx, row, tags)


def _set_tags(tx: Tx, row: Project, tags: list[str]) -> None:
    if len(set(tags)) != len(tags):
        twice = next(tag for tag in tags if tags.count(tag) > 1)
        raise Invalid(f"A tag can be given once only: {twice} is there twice.")
    projects.set_tags(tx, row.id, tags)


def _refuse_moves(row: Project, given: dict[str, Any]) -> None:
    if given.get("domain_id", row.domain_id or None) != (row.domain_id or None):
        raise Invalid(f"Cannot change Domain ID: project {row.id} stays in domain {row.domain_id}.")
    if given.get("parent_id", row.parent_id) != row.parent_id:
        raise Forbidden(f"Update of `parent_id` is not allowed: project {row.id} stays below {row.parent_id}.")
    if given.get("is_domain", row.is_domain) != row.is_domain:
        raise Invalid("Update of `is_domain` is not allowed.")


def _apply(tx: Tx, row: Project, given: dict[str, Any], kept: dict[str, Any]) -> None:
    if "tags" in given:
        _set_tags(tx, row, given.pop("tags"))
    if "options" in given:
        merge(row, given.pop("options"))
    for field in ("name", "description", "enabled"):
        if field in given:
            setattr(row, field, given[field] if given[field] is not None else "")
    row.extra = {**row.extra, **kept}
    tx.flush()


def delete_project(tx: Tx, ctx: Context, row: Project) -> None:
    """Remove a project, or a domain, with all that hangs on it; raise Forbidden when other projects are below it."""
    if row.is_domain:
        return delete_domain(tx, ctx, row)
    refuse_immutable("project", row, {})
    if projects.children(tx, [row.id]):
        raise Forbidden(f"Cannot delete the project {row.id} since others are below it: delete those first.")
    _remove(tx, [row.id])
    return events.emit(tx, "identity.project.deleted", row.id, ctx=ctx, project_id=row.id)


def _remove(tx: Tx, project_ids: list[str]) -> None:
    roles.delete_assignments(tx, target_ids=project_ids)
    application_credentials.delete_application_credentials(tx, project_ids=project_ids)
    credentials.delete_credentials(tx, project_ids=project_ids)
    oauth1.delete_tokens(tx, project_ids=project_ids)
    trusts.delete_trusts(tx, project_ids=project_ids)
    projects.delete_projects(tx, project_ids)
    users.forget_default_project(tx, project_ids)
    tokens.move_revision(tx)


def create_domain(tx: Tx, ctx: Context, *, name: str, tags: list[str], id: str | None = None, **more: Any) -> Project:
    """Add a domain; raise Conflict when its name or its wanted id is taken."""
    if projects.find_domain(tx, name) is not None:
        raise Conflict(f"Conflict occurred attempting to store domain - Duplicate entry found with name {name}.")
    if id is not None and projects.get_project(tx, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store domain - Duplicate entry found with id {id}.")
    row = Project(id=id or ids.new_hex_id(), name=name, domain_id=NO_DOMAIN, parent_id=None, is_domain=True, **more)
    tx.add(row)
    tx.flush()
    if tags:
        _set_tags(tx, row, tags)
    events.emit(tx, "identity.domain.created", row.id, ctx=ctx)
    return row


def delete_domain(tx: Tx, ctx: Context, row: Project) -> None:
    """Remove a disabled domain with its projects, users, groups and roles."""
    refuse_immutable("domain", row, {})
    if row.enabled:
        raise Forbidden(f"Cannot delete a domain that is enabled, please disable it first: {row.id}.")
    project_ids, user_ids, group_ids = projects.in_domain(tx, row.id)
    users.delete_memberships(tx, user_ids=user_ids, group_ids=group_ids)
    federation.delete_memberships(tx, user_ids=user_ids, group_ids=group_ids)
    federation.delete_federated_users(tx, user_ids)
    directories.delete_entries(tx, domain_ids=[row.id])
    for provider in federation.providers_in(tx, row.id):
        federation.delete_provider(tx, provider)
    roles.delete_assignments(tx, actor_ids=[*user_ids, *group_ids])
    application_credentials.delete_application_credentials(tx, user_ids=user_ids, with_rules=True)
    credentials.delete_credentials(tx, user_ids=user_ids)
    oauth1.delete_tokens(tx, user_ids=user_ids)
    trusts.delete_trusts(tx, user_ids=user_ids)
    accounts.delete_accounts(tx, user_ids)
    users.delete_people(tx, user_ids, group_ids)
    for role in tx.scalars(roles.select_roles().where(Role.domain_id == row.id)).all():
        roles.delete_role(tx, role)
    for id in project_ids:
        events.emit(tx, "identity.project.deleted", id, ctx=ctx, project_id=id)
    domain_configs.delete_configs(tx, [row.id])
    _remove(tx, [*project_ids, row.id])
    events.emit(tx, "identity.domain.deleted", row.id, ctx=ctx)
