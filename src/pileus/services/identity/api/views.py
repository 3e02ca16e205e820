"""The documents of users, groups, projects, domains and roles."""

from collections.abc import Collection
from typing import Any

from pileus.kernel.context import Context
from pileus.services.identity.api.router import moment, url
from pileus.services.identity.model import Group, Project, Role, User


def user_view(ctx: Context, row: User, inactive: Collection[str] = ()) -> dict[str, Any]:
    """Return a user's document; no secret is in it.  Those in ``inactive`` count as disabled."""
    view = {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "enabled": row.enabled and row.id not in inactive,
        "options": row.options,
        "password_expires_at": moment(row.password_expires_at),
        "links": {"self": url(ctx, f"/users/{row.id}")},
    }
    if row.default_project_id is not None:
        view["default_project_id"] = row.default_project_id
    return view


def group_view(ctx: Context, row: Group) -> dict[str, Any]:
    """Return a group's document."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "links": {"self": url(ctx, f"/groups/{row.id}")},
    }


def project_view(ctx: Context, row: Project, tags: list[str]) -> dict[str, Any]:
    """Return a project's document."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": row.domain_id or None,
        "parent_id": row.parent_id,
        "is_domain": row.is_domain,
        "enabled": row.enabled,
        "tags": tags,
        "options": row.options,
        "links": {"self": url(ctx, f"/projects/{row.id}")},
    }


def domain_view(ctx: Context, row: Project, tags: list[str] | None = None) -> dict[str, Any]:
    """Return a domain's document."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": tags or [],
        "options": row.options,
        "links": {"self": url(ctx, f"/domains/{row.id}")},
    }


def role_view(ctx: Context, row: Role) -> dict[str, Any]:
    """Return a role's document."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id or None,
        "description": row.description,
        "options": row.options,
        "links": {"self": url(ctx, f"/roles/{row.id}")},
    }
