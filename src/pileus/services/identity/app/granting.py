"""Roles: made, implied, given and taken.

Rule: an inference that would make a circle is refused; a change of what roles grant counts for living tokens too.
"""

from typing import Any

from pileus.kernel import events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from pileus.services.identity.app.options import merge, refuse_immutable
from pileus.services.identity.app.people import require_domain
from pileus.services.identity.app.roles import expand
from pileus.services.identity.model import NO_DOMAIN, SYSTEM, Assignment, ImpliedRole, Role
from pileus.services.identity.store import projects, roles, tokens


def create_role(tx: Tx, ctx: Context, *, name: str, domain_id: str, **more: Any) -> Role:
    """Add a role; raise Conflict when the name is taken."""
    if domain_id != NO_DOMAIN:
        require_domain(tx, domain_id)
    _check_name(tx, name, domain_id)
    row = Role(id=ids.new_hex_id(), name=name, domain_id=domain_id, **more)
    tx.add(row)
    events.emit(tx, "identity.role.created", row.id, ctx=ctx)
    tx.flush()
    return row


def _check_name(tx: Tx, name: str, domain_id: str) -> None:
    if roles.find_role(tx, name, domain_id) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store role - Duplicate entry found with name {name}. Choose another name."
        )


def update_role(tx: Tx, ctx: Context, row: Role, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Change a role."""
    if (given.pop("domain_id", row.domain_id) or NO_DOMAIN) != row.domain_id:
        raise Invalid(f"Cannot change Domain ID of role {row.id}.")
    if given.get("name", row.name) != row.name:
        _check_name(tx, given["name"], row.domain_id)
    refuse_immutable("role", row, given)
    if "options" in given:
        merge(row, given.pop("options"))
    for field, value in given.items():
        setattr(row, field, value)
    row.extra = {**row.extra, **kept}
    tokens.move_revision(tx)
    events.emit(tx, "identity.role.updated", row.id, ctx=ctx)
    tx.flush()


def delete_role(tx: Tx, ctx: Context, row: Role) -> None:
    """Remove a role with its assignments and inferences."""
    refuse_immutable("role", row, {})
    roles.delete_role(tx, row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.role.deleted", row.id, ctx=ctx)


def imply(tx: Tx, ctx: Context, prior: Role, implied: Role) -> None:
    """Let one role imply another; once is enough."""
    if implied.domain_id != NO_DOMAIN and prior.domain_id == NO_DOMAIN:
        raise Forbidden(f"{implied.id} is a role of domain {implied.domain_id}: a role of all domains cannot imply it.")
    if implied.name == "admin" and implied.domain_id == NO_DOMAIN:
        raise Forbidden(f"Cannot create an inference rule that implies role {implied.name}: it is never implied.")
    if prior.id in expand([implied.id], roles.implications(tx)):
        raise Invalid(f"{prior.name} cannot imply {implied.name}: {implied.name} implies {prior.name} already.")
    if roles.get_implied(tx, prior.id, implied.id) is None:
        refuse_immutable("role", prior, {})
        tx.add(ImpliedRole(prior_role_id=prior.id, implied_role_id=implied.id))
        tokens.move_revision(tx)
        events.emit(tx, "identity.role.updated", prior.id, ctx=ctx)


def unimply(tx: Tx, ctx: Context, prior: Role, implied: Role) -> None:
    """End an inference rule."""
    refuse_immutable("role", prior, {})
    tx.delete(roles.get_implied(tx, prior.id, implied.id))
    tokens.move_revision(tx)
    events.emit(tx, "identity.role.updated", prior.id, ctx=ctx)


def _check_reach(tx: Tx, role: Role, target: tuple[str, str]) -> None:
    """Refuse a role of a domain on the system and on projects of other domains."""
    kind, id = target
    if kind == SYSTEM:
        raise Invalid(f"Role {role.id} is a domain-specific role: it cannot be given on the system.")
    project = projects.get_project(tx, id) if kind == "project" else None
    if project is not None and project.domain_id != role.domain_id:
        raise Forbidden(f"Project {id} must be in the same domain as the role {role.id} being assigned.")


def grant(
    tx: Tx, ctx: Context, *, actor: tuple[str, str], target: tuple[str, str], role: Role, inherited: bool
) -> None:
    """Give an actor ``(kind, id)`` a role on a target ``(kind, id)``; once is enough."""
    if role.domain_id != NO_DOMAIN:
        _check_reach(tx, role, target)
    if roles.get_assignment(tx, actor[1], target[1], role.id, inherited) is not None:
        return
    tx.add(
        Assignment(
            actor_kind=actor[0],
            actor_id=actor[1],
            target_kind=target[0],
            target_id=target[1],
            role_id=role.id,
            inherited=inherited,
        )
    )
    tokens.move_revision(tx)
    events.emit(tx, "identity.role_assignment.created", role.id, ctx=ctx, **_told(actor, target, role.id, inherited))


def revoke(
    tx: Tx, ctx: Context, *, actor: tuple[str, str], target: tuple[str, str], role_id: str, inherited: bool
) -> None:
    """Take a role from an actor; raise NotFound when it was not given directly."""
    row = roles.get_assignment(tx, actor[1], target[1], role_id, inherited)
    if row is None:
        raise not_granted(actor, target, role_id)
    tx.delete(row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.role_assignment.deleted", role_id, ctx=ctx, **_told(actor, target, role_id, inherited))


def _told(actor: tuple[str, str], target: tuple[str, str], role_id: str, inherited: bool) -> dict[str, Any]:
    """Return what an event tells of an assignment: ``{"user": id, "project": id, ...}``."""
    return {
        actor[0]: actor[1],
        target[0]: target[1],
        "role": role_id,
        "inherited_to_projects": inherited,
        "actor": actor[1],
        "target": target[1],
    }


def not_granted(actor: tuple[str, str], target: tuple[str, str], role_id: str) -> NotFound:
    """Return the refusal of a grant that is not there."""
    where = target[0] if target[0] == target[1] else f"{target[0]} {target[1]}"
    return NotFound(f"Could not find role assignment with role: {role_id}, {actor[0]}: {actor[1]} on {where}.")
