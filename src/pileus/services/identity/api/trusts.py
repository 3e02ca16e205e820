"""Trusts (OS-TRUST)."""

from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Query, at_most
from pileus.services.identity.api.router import api, extra, moment, url
from pileus.services.identity.api.rules import CLOUD, OF_PROJECT, SYSTEM_READER, named
from pileus.services.identity.api.views import role_view
from pileus.services.identity.app import delegation, trusting
from pileus.services.identity.app.references import ProjectId, RoleId, UserId
from pileus.services.identity.model import Role, Trust
from pileus.services.identity.store import roles, trusts

TRUSTOR = "user_id:%(target.trust.trustor_user_id)s"
TRUSTEE = "user_id:%(target.trust.trustee_user_id)s"
CREATE = Rule("identity:create_trust", TRUSTOR, scopes=OF_PROJECT)
LIST = Rule("identity:list_trusts", SYSTEM_READER, scopes=CLOUD)
LIST_FROM = Rule("identity:list_trusts_for_trustor", f"{SYSTEM_READER} or {TRUSTOR}", scopes=CLOUD)
LIST_FOR = Rule("identity:list_trusts_for_trustee", f"{SYSTEM_READER} or {TRUSTEE}", scopes=CLOUD)
GET = Rule("identity:get_trust", f"{SYSTEM_READER} or {TRUSTOR} or {TRUSTEE}", scopes=CLOUD)
DELETE = Rule("identity:delete_trust", f"rule:admin_required or {TRUSTOR}", scopes=CLOUD)
LIST_ROLES = Rule("identity:list_roles_for_trust", f"{SYSTEM_READER} or {TRUSTOR} or {TRUSTEE}", scopes=CLOUD)
GET_ROLE = Rule("identity:get_role_for_trust", f"{SYSTEM_READER} or {TRUSTOR} or {TRUSTEE}", scopes=CLOUD)


class RoleReference(msgspec.Struct):
    id: RoleId | None = None
    name: str | None = None


class TrustCreate(OpenBody):
    trustor_user_id: UserId
    trustee_user_id: UserId
    impersonation: bool
    project_id: ProjectId | None = None
    roles: Annotated[list[RoleReference], at_most(100)] = []
    expires_at: str | None = None
    remaining_uses: Annotated[int, msgspec.Meta(ge=1)] | None = None
    allow_redelegation: bool = False
    redelegation_count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    extra: Extra = {}


class TrustQuery(Query):
    trustor_user_id: UserId | None = None
    trustee_user_id: UserId | None = None


@api.loader(Trust)
def load_trust(tx: Tx, ctx: Context, id: str) -> Trust:
    row = trusts.get_trust(tx, id)
    if row is None:
        raise NotFound(f"Could not find trust: {id}.")
    return row


def _summary(ctx: Context, row: Trust) -> dict[str, Any]:
    return {
        **row.extra,
        "id": row.id,
        "trustor_user_id": row.trustor_user_id,
        "trustee_user_id": row.trustee_user_id,
        "project_id": row.project_id,
        "impersonation": row.impersonation,
        "expires_at": moment(row.expires_at),
        "deleted_at": None,
        "remaining_uses": row.remaining_uses,
        "redelegated_trust_id": row.redelegated_trust_id,
        "redelegation_count": row.redelegation_count,
        "links": {"self": url(ctx, f"/OS-TRUST/trusts/{row.id}")},
    }


def _view(tx: Tx, ctx: Context, row: Trust) -> dict[str, Any]:
    links = {"self": url(ctx, f"/OS-TRUST/trusts/{row.id}/roles"), "previous": None, "next": None}
    return {**_summary(ctx, row), "roles": _roles(tx, ctx, row), "roles_links": links}


def _roles(tx: Tx, ctx: Context, row: Trust) -> list[dict[str, Any]]:
    found = roles.roles_by_id(tx, row.role_ids)
    return [role_view(ctx, found[id]) for id in row.role_ids if id in found]


@api.post("/OS-TRUST/trusts", CREATE, wrap="trust", status=201, by_handler=True)
def create_trust(tx: Tx, ctx: Context, body: TrustCreate) -> dict[str, Any]:
    named(ctx, CREATE, trust={"trustor_user_id": body.trustor_user_id})
    most = trusting.MOST_REDELEGATIONS if body.redelegation_count is None else body.redelegation_count
    row = trusting.create_trust(
        tx,
        ctx,
        trustor_user_id=body.trustor_user_id,
        trustee_user_id=body.trustee_user_id,
        project_id=body.project_id,
        asked_roles=[(role.id, role.name) for role in body.roles],
        expires_at=delegation.expiry(body.expires_at),
        redelegations=most if body.allow_redelegation else 0,
        impersonation=body.impersonation,
        remaining_uses=body.remaining_uses,
        extra=extra(body.extra),
    )
    return _view(tx, ctx, row)


@api.get("/OS-TRUST/trusts", LIST, wrap="trusts", by_handler=True)
def list_trusts(tx: Tx, ctx: Context, query: TrustQuery) -> Page:
    delegation.require_giver(ctx.caller.token)
    if query.trustor_user_id is None and query.trustee_user_id is None:
        ctx.require(LIST)
    if query.trustor_user_id is not None:
        named(ctx, LIST_FROM, trust={"trustor_user_id": query.trustor_user_id})
    if query.trustee_user_id is not None:
        named(ctx, LIST_FOR, trust={"trustee_user_id": query.trustee_user_id})
    return Page([_summary(ctx, row) for row in trusts.list_trusts(tx, query.trustor_user_id, query.trustee_user_id)])


@api.get("/OS-TRUST/trusts/{trust}", GET, wrap="trust", by_handler=True)
def show_trust(tx: Tx, ctx: Context, trust: Trust) -> dict[str, Any]:
    """A trust that is gone is so for everybody, so that both parties learn of its end."""
    ctx.require(GET, trust)
    delegation.require_giver(ctx.caller.token)
    return _view(tx, ctx, trust)


@api.delete("/OS-TRUST/trusts/{trust}", DELETE, by_handler=True)
def delete_trust(tx: Tx, ctx: Context, trust: Trust) -> None:
    ctx.require(DELETE, trust)
    delegation.require_giver(ctx.caller.token)
    trusting.delete_trust(tx, ctx, trust)


@api.get("/OS-TRUST/trusts/{trust}/roles", LIST_ROLES, wrap="roles", by_handler=True)
def list_trust_roles(tx: Tx, ctx: Context, trust: Trust) -> Page:
    ctx.require(LIST_ROLES, trust)
    delegation.require_giver(ctx.caller.token)
    return Page(_roles(tx, ctx, trust))


@api.get("/OS-TRUST/trusts/{trust}/roles/{role}", GET_ROLE, wrap="role", by_handler=True)
def show_trust_role(ctx: Context, trust: Trust, role: Role) -> dict[str, Any]:
    ctx.require(GET_ROLE, trust)
    delegation.require_giver(ctx.caller.token)
    if role.id not in trust.role_ids:
        raise NotFound(f"Could not find role: {role.id}. It is not in trust {trust.id}.")
    return role_view(ctx, role)
