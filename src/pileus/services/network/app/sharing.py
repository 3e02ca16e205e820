"""Sharing by RBAC policies: what may be shared with whom, and when it can be taken back."""

from typing import Any

from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import ADMIN
from pileus.services.network.app import limits
from pileus.services.network.model import (
    EVERYBODY,
    EXTERNAL,
    FLOATING_IP,
    ROUTER_GATEWAY,
    SHARED,
    AddressScope,
    Network,
    PortGroup,
    SecurityGroup,
    Share,
    SubnetPool,
)
from pileus.services.network.store import networks, ports, sharing

KINDS: dict[str, Any] = {
    "network": Network,
    "security_group": SecurityGroup,
    "subnetpool": SubnetPool,
    "address_scope": AddressScope,
}
EXTERNAL_CHECK = f"{ADMIN} or not 'access_as_external':%(action)s"


def target(tx: Tx, ctx: Context, thing: Any) -> dict[str, Any]:
    """Rules look at whom a policy names, a body's or a row's."""
    named = thing.target_project if isinstance(thing, Share) else thing.target_tenant
    return {"project_id": thing.project_id, "target_project": named, "action": thing.action}


def create_share(tx: Tx, ctx: Context, body: Any) -> Share:
    """Let a project, or everybody, use a thing."""
    limits.claim(tx, body.project_id, "rbac_policy")
    row = tx.get(KINDS[body.object_type], body.object_id)
    if row is None or not (ctx.is_admin or row.project_id == ctx.project_id):
        raise NotFound(
            f"RBAC object of type {body.object_type} with id {body.object_id} not found.", kind="RbacObjectNotFound"
        )
    if body.action == EXTERNAL and body.object_type != "network":
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
    tx.add(share)
    return share


def _check_new(tx: Tx, share: Share) -> None:
    for other in sharing.shares_of(tx, share.object_id):
        same = (other.target_project, other.action) == (share.target_project, share.action)
        if same and other.id != share.id:
            raise Conflict("An RBAC policy already exists with those values.", kind="DuplicateRbacPolicy")


def update_share(tx: Tx, ctx: Context, row: Share, changes: dict[str, Any]) -> None:
    """Name another project."""
    target = changes["target_tenant"]
    if target == EVERYBODY and not ctx.is_admin:
        raise Invalid("Only admins can share with everybody ('*').")
    _check_unused(tx, row)
    row.target_project = target
    _check_new(tx, row)


def delete_share(tx: Tx, ctx: Context, row: Share) -> None:
    """Take it back, unless somebody uses what was shared."""
    _check_unused(tx, row)
    tx.delete(row)


def _check_unused(tx: Tx, row: Share) -> None:
    if row.object_type == "network":
        used = _network_used(tx, row)
    elif row.object_type == "security_group":
        members = tx.scalars(select(PortGroup.port_id).where(PortGroup.group_id == row.object_id)).all()
        owner = tx.get(SecurityGroup, row.object_id)
        used = _foreign({port.project_id for port in ports.ports(tx, members).values()}, row, owner)
    else:
        cut = networks.subnets_of_pool(tx, row.object_id)
        used = _foreign({subnet.project_id for subnet in cut}, row, tx.get(KINDS[row.object_type], row.object_id))
    if used:
        raise Conflict(
            f"RBAC policy on object {row.object_id} cannot be removed because other objects depend on it: {used}.",
            kind="RbacPolicyInUse",
        )


def _network_used(tx: Tx, row: Share) -> str:
    there = networks.ports_on(tx, row.object_id)
    if row.action == EXTERNAL:
        outer = [port.id for port in there if port.role in (ROUTER_GATEWAY, FLOATING_IP)]
        return f"port {outer[0]}" if outer and row.target_project == EVERYBODY else ""
    owner = networks.get_network(tx, row.object_id)
    return _foreign({port.project_id for port in there}, row, owner)


def _foreign(projects: set[str], row: Share, owner: Any) -> str:
    """Return who uses a thing only thanks to this policy."""
    using = projects - {"", owner.project_id if owner is not None else ""}
    mine = using if row.target_project == EVERYBODY else using & {row.target_project}
    return f"project {sorted(mine)[0]}" if mine else ""


__all__ = ["EXTERNAL_CHECK", "SHARED", "create_share", "delete_share", "target", "update_share"]
