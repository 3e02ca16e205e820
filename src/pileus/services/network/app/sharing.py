"""Sharing by RBAC policies: what may be shared with whom, and when it can be taken back."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.network.app.refusals import invalid
from pileus.services.network.model import (
    EVERYBODY,
    EXTERNAL,
    SHARED,
    AddressScope,
    Network,
    Port,
    PortGroup,
    Router,
    SecurityGroup,
    Share,
    Subnet,
    SubnetPool,
)
from pileus.services.network.store import networks, sharing

KINDS: dict[str, Any] = {
    "network": Network,
    "security_group": SecurityGroup,
    "subnetpool": SubnetPool,
    "address_scope": AddressScope,
}
USERS: dict[tuple[str, str], Callable[[str], Any]] = {
    ("network", SHARED): lambda id: select(Port.project_id).where(Port.network_id == id),
    ("network", EXTERNAL): lambda id: select(Router.project_id).where(Router.gateway_network_id == id),
    ("security_group", SHARED): lambda id: (
        select(Port.project_id).join(PortGroup, PortGroup.port_id == Port.id).where(PortGroup.group_id == id)
    ),
    ("subnetpool", SHARED): lambda id: select(Subnet.project_id).where(Subnet.subnetpool_id == id),
    ("address_scope", SHARED): lambda id: select(SubnetPool.project_id).where(SubnetPool.address_scope_id == id),
}
"""How to ask which projects use a thing in the way that a policy of this type and action allows."""


def target(tx: Tx, ctx: Context, thing: Any) -> dict[str, Any]:
    """Rules look at whom a policy names, a body's or a row's."""
    named = thing.target_project if isinstance(thing, Share) else thing.target_tenant
    return {"project_id": thing.project_id, "target_project": named, "action": thing.action}


def create_share(tx: Tx, ctx: Context, body: Any) -> Share:
    """Let a project, or everybody, use a thing."""
    row = _own(tx, ctx, body.object_type, body.object_id)
    if (body.object_type, body.action) not in USERS:
        raise Invalid(
            f"Invalid action '{body.action}' for object type '{body.object_type}'.", kind="InvalidActionForType"
        )
    share = Share(
        project_id=body.project_id,
        object_type=body.object_type,
        object_id=body.object_id,
        target_project=body.target_tenant,
        action=body.action,
    )
    _check_new(tx, share)
    if isinstance(row, SubnetPool):
        check_scope_is_shared(tx, row, share.target_project)
    tx.add(share)
    _touched(tx, share)
    return share


def _own(tx: Tx, ctx: Context, kind: str, id: str) -> Any:
    """Return a thing that the caller may share; raise Invalid when he only sees it, NotFound when not even that."""
    row = tx.get(KINDS[kind], id)
    if row is None or not sharing.may_use(tx, ctx, kind, row, SHARED, EXTERNAL):
        raise NotFound(f"RBAC object of type {kind} with id {id} not found.", kind="RbacObjectNotFound")
    if not (ctx.is_admin or row.project_id == ctx.project_id):
        raise invalid(f"Only admins can manipulate policies on objects they do not own ({kind} {id}).")
    return row


def _check_new(tx: Tx, share: Share) -> None:
    for other in sharing.shares_of(tx, share.object_id):
        same = (other.target_project, other.action) == (share.target_project, share.action)
        if same and other.id != share.id:
            raise Conflict("An RBAC policy already exists with those values.", kind="DuplicateRbacPolicy")


def check_scope_is_shared(tx: Tx, pool: SubnetPool, project_id: str) -> None:
    """Who is to use a pool must see the address scope whose addresses he gets."""
    if pool.address_scope_id is None:
        return
    shares = sharing.shares_of(tx, pool.address_scope_id)
    if all(share.target_project not in (EVERYBODY, project_id) for share in shares):
        raise invalid(
            f"Failed to create RBAC policy on object {pool.id} because target project {project_id} doesn't have access"
            f" to associated address scope {pool.address_scope_id}: share that first."
        )


def update_share(tx: Tx, ctx: Context, row: Share, changes: dict[str, Any]) -> None:
    """Name another project."""
    named = changes["target_tenant"]
    thing = _own(tx, ctx, row.object_type, row.object_id)
    if isinstance(thing, SubnetPool):
        check_scope_is_shared(tx, thing, named)
    if named not in (row.target_project, EVERYBODY):
        check_unneeded(tx, row, instead=named)
    row.target_project = named
    _check_new(tx, row)
    _touched(tx, row)


def delete_share(tx: Tx, ctx: Context, row: Share) -> None:
    """Take it back, unless somebody uses what was shared."""
    check_unneeded(tx, row)
    tx.delete(row)
    _touched(tx, row)


def _touched(tx: Tx, share: Share) -> None:
    if share.object_type == "network":
        networks.revise(tx, share.object_id)


def check_unneeded(tx: Tx, row: Share, instead: str | None = None) -> None:
    """Raise Conflict while a project uses a thing and could not without this policy (or with ``instead``'s)."""
    thing = tx.get(KINDS[row.object_type], row.object_id)
    if row.action == EXTERNAL and row.target_project == EVERYBODY and getattr(thing, "is_default", False):
        raise _needed(row, "default external networks must be shared with everybody")
    if dependents(tx, row, instead):
        raise _needed(row, "another project uses it")


def _needed(row: Share, why: str) -> Conflict:
    return Conflict(
        f"RBAC policy on object {row.object_id} cannot be removed because other objects depend on it: {why}.",
        kind="RbacPolicyInUse",
    )


def dependents(tx: Tx, row: Share, instead: str | None = None) -> set[str]:
    """Return the projects that use a thing and may do so only by this policy: no other covers them."""
    thing: Any = tx.get(KINDS[row.object_type], row.object_id)
    owner = thing.project_id
    others = [one for one in sharing.shares_of(tx, row.object_id) if one.id != row.id and one.action == row.action]
    allowed = {owner, "", instead, *(one.target_project for one in others)}
    if EVERYBODY in allowed or row.target_project == owner:
        return set()
    using = set(tx.scalars(USERS[row.object_type, row.action](row.object_id))) - allowed
    return using if row.target_project == EVERYBODY else using & {row.target_project}


__all__ = [
    "SHARED",
    "check_scope_is_shared",
    "check_unneeded",
    "create_share",
    "delete_share",
    "dependents",
    "target",
    "update_share",
]
