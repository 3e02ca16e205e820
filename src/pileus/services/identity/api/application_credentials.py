"""Application credentials and access rules: passwords for programs, made by their user alone."""

from typing import Annotated, Any

import msgspec

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, InTransaction, Page, Request, at_most
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api, url
from pileus.services.identity.api.rules import CLOUD, OF_PROJECT, SYSTEM_READER
from pileus.services.identity.app import delegation
from pileus.services.identity.app.passwords import LONGEST
from pileus.services.identity.app.references import AccessRuleId, ProjectId, RoleId
from pileus.services.identity.model import AccessRule, ApplicationCredential, Role, User
from pileus.services.identity.store import application_credentials, roles

OWNER = "user_id:%(target.user.id)s"
CREATE = Rule("identity:create_application_credential", OWNER, scopes=OF_PROJECT)
LIST = Rule("identity:list_application_credentials", f"{SYSTEM_READER} or {OWNER}", scopes=CLOUD)
GET = Rule("identity:get_application_credential", f"{SYSTEM_READER} or {OWNER}", scopes=CLOUD)
DELETE = Rule("identity:delete_application_credential", f"rule:admin_required or {OWNER}", scopes=CLOUD)
_SYSTEM = "role:{} and system_scope:all"
LIST_RULES = Rule("identity:list_access_rules", f"({_SYSTEM.format('reader')}) or {OWNER}", scopes=CLOUD)
GET_RULE = Rule("identity:get_access_rule", f"({_SYSTEM.format('reader')}) or {OWNER}", scopes=CLOUD)
DELETE_RULE = Rule("identity:delete_access_rule", f"({_SYSTEM.format('admin')}) or {OWNER}", scopes=CLOUD)


class RoleReference(msgspec.Struct):
    id: RoleId | None = None
    name: str | None = None


class RuleGiven(Body):
    id: AccessRuleId | None = None
    service: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern="^/")] | None = None
    method: Annotated[str, msgspec.Meta(max_length=16, pattern="^(DELETE|GET|HEAD|PATCH|POST|PUT)$")] | None = None


class Create(Body):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    description: str | None = None
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)] | None = None
    expires_at: str | None = None
    roles: Annotated[list[RoleReference], at_most(100)] | None = None
    unrestricted: bool = False
    access_rules: Annotated[list[RuleGiven], at_most(100)] | None = None
    project_id: ProjectId | None = None


@api.loader(ApplicationCredential)
def load_credential(tx: Tx, ctx: Context, id: str) -> ApplicationCredential:
    row = application_credentials.get_application_credential(tx, id)
    if row is None:
        raise NotFound(f"Could not find application credential: {id}.")
    return row


@api.loader(AccessRule)
def load_rule(tx: Tx, ctx: Context, id: str) -> AccessRule:
    row = application_credentials.get_access_rule(tx, id)
    if row is None:
        raise NotFound(f"Could not find access rule: {id}.")
    return row


def _rule_view(ctx: Context, row: AccessRule) -> dict[str, Any]:
    return {
        "id": row.id,
        "service": row.service,
        "path": row.path,
        "method": row.method,
        "links": {"self": url(ctx, f"/users/{row.user_id}/access_rules/{row.id}")},
    }


def _views(tx: Tx, ctx: Context, rows: list[ApplicationCredential]) -> list[dict[str, Any]]:
    named = roles.roles_by_id(tx, (id for row in rows for id in row.role_ids))
    rules = application_credentials.access_rules_by_id(tx, [id for row in rows for id in row.access_rule_ids or ()])
    return [_view(ctx, row, named, rules) for row in rows]


def _view(
    ctx: Context, row: ApplicationCredential, named: dict[str, Role], rules: dict[str, AccessRule]
) -> dict[str, Any]:
    view = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "system": row.system,
        "expires_at": clock.iso_micro(row.expires_at) if row.expires_at else None,
        "unrestricted": row.unrestricted,
        "roles": [
            {"id": id, "name": named[id].name, "domain_id": named[id].domain_id or None}
            for id in row.role_ids
            if id in named
        ],
        "links": {"self": url(ctx, f"/users/{row.user_id}/application_credentials/{row.id}")},
    }
    if row.access_rule_ids is not None:
        shown = (rules[id] for id in row.access_rule_ids if id in rules)
        view["access_rules"] = [
            {"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method} for rule in shown
        ]
    return view


@api.post("/users/{user}/application_credentials", CREATE, wrap="application_credential", status=201)
async def create(ctx: Context, runtime: Runtime, user: User, body: Create) -> InTransaction[dict[str, Any]]:
    secret, hashed = await delegation.secret(runtime, body.secret)

    def add(tx: Tx) -> dict[str, Any]:
        row = delegation.create_application_credential(
            tx,
            ctx,
            user_id=user.id,
            name=body.name,
            description=body.description or "",
            secret_hash=hashed,
            expires_at=delegation.expiry(body.expires_at),
            asked_roles=None if body.roles is None else [(role.id, role.name) for role in body.roles],
            unrestricted=body.unrestricted,
            rules=None
            if body.access_rules is None
            else [(rule.id, rule.service, rule.path, rule.method) for rule in body.access_rules],
        )
        return {**_views(tx, ctx, [row])[0], "secret": secret}

    return InTransaction(add)


@api.get("/users/{user}/application_credentials", LIST, wrap="application_credentials")
def list_credentials(tx: Tx, ctx: Context, request: Request, user: User) -> Page:
    delegation.require_keeper(ctx.caller.token)
    name = dict(request.query_items()).get("name")
    return Page(_views(tx, ctx, application_credentials.list_application_credentials(tx, user.id, name)))


def _own(ctx: Context, user: User, row: ApplicationCredential | AccessRule, noun: str, rule: Rule) -> None:
    """Refuse what belongs to another user than the path's: who may not act on it is told so."""
    ctx.require(rule, {"target": {"user": {"id": row.user_id}}})
    delegation.require_keeper(ctx.caller.token)
    if row.user_id != user.id:
        raise NotFound(f"Could not find {noun}: {row.id}.")


@api.get("/users/{user}/application_credentials/{credential}", GET, wrap="application_credential")
def show(tx: Tx, ctx: Context, user: User, credential: ApplicationCredential) -> dict[str, Any]:
    _own(ctx, user, credential, "application credential", GET)
    return _views(tx, ctx, [credential])[0]


@api.delete("/users/{user}/application_credentials/{credential}", DELETE)
def delete(tx: Tx, ctx: Context, user: User, credential: ApplicationCredential) -> None:
    _own(ctx, user, credential, "application credential", DELETE)
    delegation.require_unrestricted(ctx.caller.token)
    delegation.delete_application_credential(tx, ctx, credential)


@api.get("/users/{user}/access_rules", LIST_RULES, wrap="access_rules")
def list_rules(tx: Tx, ctx: Context, user: User) -> Page:
    delegation.require_keeper(ctx.caller.token)
    return Page([_rule_view(ctx, row) for row in application_credentials.list_access_rules(tx, user.id)])


@api.get("/users/{user}/access_rules/{access_rule}", GET_RULE, wrap="access_rule")
def show_rule(ctx: Context, user: User, access_rule: AccessRule) -> dict[str, Any]:
    _own(ctx, user, access_rule, "access rule", GET_RULE)
    return _rule_view(ctx, access_rule)


@api.delete("/users/{user}/access_rules/{access_rule}", DELETE_RULE)
def delete_rule(tx: Tx, ctx: Context, user: User, access_rule: AccessRule) -> None:
    _own(ctx, user, access_rule, "access rule", DELETE_RULE)
    for row in application_credentials.list_application_credentials(tx, user.id):
        if access_rule.id in (row.access_rule_ids or ()):
            raise Forbidden(f"Access rule {access_rule.id} is in use by application credential {row.name}.")
    tx.delete(access_rule)
