"""What a user lets consumers do: the access tokens of OAuth 1, below the user.

Rule: as in the newest Keystone, no delegated token sees or ends them.
"""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Request
from pileus.services.identity.api.router import api, listing, moment, url
from pileus.services.identity.api.rules import ADMIN, OF_PROJECT
from pileus.services.identity.app import oauth1
from pileus.services.identity.app.delegation import require_in_person
from pileus.services.identity.model import Role, User
from pileus.services.identity.model.oauth1 import AccessToken
from pileus.services.identity.store import oauth1 as rows
from pileus.services.identity.store import roles

LIST = Rule("identity:list_access_tokens", ADMIN, scopes=OF_PROJECT)
GET = Rule("identity:get_access_token", ADMIN, scopes=OF_PROJECT)
DELETE = Rule("identity:delete_access_token", f"{ADMIN} or user_id:%(target.user.id)s", scopes=OF_PROJECT)
LIST_ROLES = Rule("identity:list_access_token_roles", ADMIN, scopes=OF_PROJECT)
GET_ROLE = Rule("identity:get_access_token_role", ADMIN, scopes=OF_PROJECT)
TOKENS = "/users/{user}/OS-OAUTH1/access_tokens"


def _find(tx: Tx, ctx: Context, user: User, id: str) -> AccessToken:
    require_in_person(ctx.caller.token)
    row = rows.get_access_token(tx, id)
    if row is None or row.authorizing_user_id != user.id:
        raise NotFound(f"Could not find access token: {id}.")
    return row


def _view(ctx: Context, row: AccessToken) -> dict[str, Any]:
    path = f"/users/{row.authorizing_user_id}/OS-OAUTH1/access_tokens/{row.id}"
    return {
        "id": row.id,
        "consumer_id": row.consumer_id,
        "project_id": row.project_id,
        "authorizing_user_id": row.authorizing_user_id,
        "expires_at": moment(row.expires_at),
        "links": {"self": url(ctx, path), "roles": url(ctx, f"{path}/roles")},
    }


def _role_view(ctx: Context, row: Role) -> dict[str, Any]:
    links = {"self": url(ctx, f"/roles/{row.id}")}
    return {"id": row.id, "name": row.name, "domain_id": row.domain_id or None, "links": links}


@api.get(TOKENS, LIST, wrap="access_tokens")
def list_access_tokens(tx: Tx, ctx: Context, request: Request, user: User) -> Page:
    require_in_person(ctx.caller.token)
    columns = {"id": AccessToken.id, "consumer_id": AccessToken.consumer_id, "project_id": AccessToken.project_id}
    found, marker = listing(tx, request, rows.select_access_tokens(user.id), AccessToken, columns)
    return Page([_view(ctx, row) for row in found], marker)


@api.get(TOKENS + "/{id}", GET, wrap="access_token")
def show_access_token(tx: Tx, ctx: Context, user: User, id: str) -> dict[str, Any]:
    return _view(ctx, _find(tx, ctx, user, id))


@api.delete(TOKENS + "/{id}", DELETE)
def delete_access_token(tx: Tx, ctx: Context, user: User, id: str) -> None:
    oauth1.delete_access_token(tx, ctx, _find(tx, ctx, user, id))


@api.get(TOKENS + "/{id}/roles", LIST_ROLES, wrap="roles")
def list_access_token_roles(tx: Tx, ctx: Context, user: User, id: str) -> Page:
    found = roles.roles_by_id(tx, _find(tx, ctx, user, id).role_ids)
    return Page([_role_view(ctx, row) for row in sorted(found.values(), key=lambda row: row.name)])


@api.get(TOKENS + "/{id}/roles/{role_id}", GET_ROLE, wrap="role")
def show_access_token_role(tx: Tx, ctx: Context, user: User, id: str, role_id: str) -> dict[str, Any]:
    row = _find(tx, ctx, user, id)
    found = roles.roles_by_id(tx, [role_id]) if role_id in row.role_ids else {}
    if role_id not in found:
        raise NotFound(f"Could not find role: {role_id}.")
    return _role_view(ctx, found[role_id])
