"""Making and ending trusts.

Rule: a trust hands on roles that its trustor has; one made by a trustee is bounded by the trust it came of.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pileus.kernel import events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Invalid, NotFound
from pileus.services.identity.app import delegation, roles
from pileus.services.identity.app.validation import Token
from pileus.services.identity.model import NO_DOMAIN, Trust
from pileus.services.identity.store import projects, tokens, trusts, users
from pileus.services.identity.store import roles as role_rows

MOST_REDELEGATIONS = 3


def create_trust(
    tx: Tx,
    ctx: Context,
    *,
    trustor_user_id: str,
    trustee_user_id: str,
    project_id: str | None,
    asked_roles: Sequence[tuple[str | None, str | None]],
    expires_at: datetime | None,
    redelegations: int,
    **more: Any,
) -> Trust:
    """Add a trust; raise NotFound for people, projects and roles that are not there, Forbidden for roles not held."""
    token: Token = ctx.caller.token
    delegation.require_giver(token)
    for user_id in (trustor_user_id, trustee_user_id):
        if users.get_user(tx, user_id) is None:
            raise NotFound(f"Could not find user: {user_id}.")
    if bool(project_id) != bool(asked_roles):
        raise Invalid("A trust for a project names at least one role, and roles are on a project: both or neither.")
    source = _source(tx, token, expires_at, redelegations)
    role_ids = _roles(tx, trustor_user_id, project_id, asked_roles)
    if source is not None and not set(role_ids) <= set(source.role_ids):
        raise Forbidden("Some of the roles are not in the trust this token was made by.")
    row = Trust(
        id=ids.new_hex_id(),
        trustor_user_id=trustor_user_id,
        trustee_user_id=trustee_user_id,
        project_id=project_id,
        role_ids=role_ids,
        expires_at=expires_at,
        redelegated_trust_id=source.id if source else None,
        redelegation_count=source.redelegation_count - 1 if source else redelegations,
        **more,
    )
    tx.add(row)
    tx.flush()
    events.emit(tx, "identity.trust.created", row.id, ctx=ctx)
    return row


def _source(tx: Tx, token: Token, expires_at: datetime | None, redelegations: int) -> Trust | None:
    """Return the trust a new one is handed on from, if any; raise Forbidden when it may not be."""
    if redelegations > MOST_REDELEGATIONS:
        raise Forbidden(f"A trust may be handed on {MOST_REDELEGATIONS} times at most, not {redelegations}.")
    source = trusts.get_trust(tx, token.trust.id) if token.trust is not None else None
    if source is None:
        return None
    if source.redelegation_count < 1:
        raise Forbidden("The trust this token was made by may not be handed on.")
    if source.remaining_uses is not None:
        raise Forbidden("A trust with a number of uses may not be handed on.")
    if source.expires_at is not None and (expires_at is None or expires_at > source.expires_at):
        raise Forbidden(f"A trust handed on ends no later than the first, at {source.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
    return source


def _roles(
    tx: Tx, trustor_user_id: str, project_id: str | None, asked: Sequence[tuple[str | None, str | None]]
) -> list[str]:
    if project_id is None:
        return []
    project = projects.get_project(tx, project_id)
    if project is None:
        raise NotFound(f"Could not find project: {project_id}.")
    given = roles.on_project(tx, trustor_user_id, project)
    held = given | {role.id for role in roles.with_implied(tx, given)}
    found = []
    for id, name in asked:
        role = role_rows.get_role(tx, id) if id else role_rows.find_role(tx, name or "", NO_DOMAIN)
        if role is None:
            raise NotFound(f"Could not find role: {id or name}.")
        if role.id not in held:
            raise Forbidden(f"The trustor has not the role {role.name} on project {project_id}.")
        found.append(role.id)
    return found


def delete_trust(tx: Tx, ctx: Context, row: Trust) -> None:
    """Remove a trust and those handed on from it; their tokens end with them."""
    events.emit(tx, "identity.trust.deleted", row.id, ctx=ctx)
    tx.expunge(row)
    trusts.delete_trusts(tx, ids=[row.id])
    tokens.move_revision(tx)
