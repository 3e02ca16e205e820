"""Credentials, and the family of EC2 ones below a user.

Rule: as in the newest Keystone, no delegated token sees or makes a secret that would outlive it.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api, extra, listing, missing, url
from pileus.services.identity.api.rules import CLOUD, EVERY, SYSTEM_READER, named
from pileus.services.identity.app import secrets
from pileus.services.identity.app.delegation import require_in_person
from pileus.services.identity.app.references import ProjectId, UserId
from pileus.services.identity.model import Credential, User
from pileus.services.identity.store import credentials

OWNER = "user_id:%(target.credential.user_id)s"
READ, WRITE = f"{SYSTEM_READER} or {OWNER}", f"rule:admin_required or {OWNER}"
LIST = Rule("identity:list_credentials", READ, scopes=EVERY)
GET = Rule("identity:get_credential", READ, scopes=EVERY)
CREATE = Rule("identity:create_credential", WRITE, scopes=EVERY)
UPDATE = Rule("identity:update_credential", WRITE, scopes=EVERY)
DELETE = Rule("identity:delete_credential", WRITE, scopes=EVERY)
_USER = "user_id:%(target.user.id)s"
EC2_LIST = Rule("identity:ec2_list_credentials", f"{SYSTEM_READER} or {_USER}", scopes=CLOUD)
EC2_GET = Rule("identity:ec2_get_credential", f"{SYSTEM_READER} or {_USER}", scopes=CLOUD)
EC2_CREATE = Rule("identity:ec2_create_credential", f"rule:admin_required or (role:member and {_USER})", scopes=CLOUD)
EC2_DELETE = Rule("identity:ec2_delete_credential", f"rule:admin_required or (role:member and {_USER})", scopes=CLOUD)

Type = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
FILTERS = {"id": Credential.id, "user_id": Credential.user_id, "type": Credential.type}


class CredentialCreate(OpenBody):
    type: Type
    blob: str
    user_id: UserId | None = None
    project_id: ProjectId | None = None
    extra: Extra = {}


class CredentialUpdate(OpenBody):
    type: Type | UnsetType = UNSET
    blob: str | UnsetType = UNSET
    user_id: UserId | UnsetType = UNSET
    project_id: ProjectId | UnsetType | None = UNSET
    extra: Extra = {}


class Ec2Create(msgspec.Struct):
    tenant_id: ProjectId | None = None


@api.loader(Credential)
def load_credential(tx: Tx, ctx: Context, id: str) -> Credential:
    return credentials.get_credential(tx, id) or missing("credential", id)


def _view(runtime: Runtime, ctx: Context, row: Credential) -> dict[str, Any]:
    return {
        **row.extra,
        "id": row.id,
        "type": row.type,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "blob": secrets.blob_of(runtime, row),
        "links": {"self": url(ctx, f"/credentials/{row.id}")},
    }


@api.get("/credentials", LIST, wrap="credentials", by_handler=True)
def list_credentials(tx: Tx, ctx: Context, runtime: Runtime, request: Request) -> Page:
    require_in_person(ctx.caller.token)
    statement = credentials.select_credentials()
    if not ctx.allows(LIST, {"target": {"credential": {"user_id": None}}}):
        statement = statement.where(Credential.user_id == ctx.user_id)
    rows, marker = listing(tx, request, statement, Credential, FILTERS)
    return Page([_view(runtime, ctx, row) for row in rows], marker)


@api.get("/credentials/{credential}", GET, wrap="credential")
def show_credential(ctx: Context, runtime: Runtime, credential: Credential) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    return _view(runtime, ctx, credential)


@api.post("/credentials", CREATE, wrap="credential", status=201, by_handler=True)
def create_credential(tx: Tx, ctx: Context, runtime: Runtime, body: CredentialCreate) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    user_id = body.user_id or ctx.user_id
    named(ctx, CREATE, credential={"user_id": user_id})
    row = secrets.create_credential(
        tx,
        runtime,
        ctx,
        user_id=user_id,
        project_id=body.project_id,
        type=body.type,
        blob=body.blob,
        extra=extra(body.extra),
    )
    return _view(runtime, ctx, row)


@api.patch("/credentials/{credential}", UPDATE, wrap="credential")
def update_credential(
    tx: Tx, ctx: Context, runtime: Runtime, credential: Credential, body: CredentialUpdate
) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    given = changes(body)
    user_id = given.get("user_id", credential.user_id)
    named(ctx, UPDATE, credential={"user_id": user_id})  # nobody hands a secret to somebody else
    secrets.change_credential(
        tx,
        runtime,
        ctx,
        credential,
        user_id=user_id,
        project_id=given.get("project_id", credential.project_id),
        type=given.get("type", credential.type),
        blob=given.get("blob"),
    )
    credential.extra = {**credential.extra, **extra(given["extra"])}
    events.emit(tx, "identity.credential.updated", credential.id, ctx=ctx)
    return _view(runtime, ctx, credential)


@api.delete("/credentials/{credential}", DELETE)
def delete_credential(tx: Tx, ctx: Context, credential: Credential) -> None:
    require_in_person(ctx.caller.token)
    events.emit(tx, "identity.credential.deleted", credential.id, ctx=ctx)
    tx.delete(credential)


def _ec2_view(runtime: Runtime, ctx: Context, row: Credential) -> dict[str, Any]:
    parts = secrets.ec2_parts(secrets.blob_of(runtime, row))
    return {
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "access": parts["access"],
        "secret": parts["secret"],
        "trust_id": parts.get("trust_id"),
        "links": {"self": url(ctx, f"/users/{row.user_id}/credentials/OS-EC2/{parts['access']}")},
    }


@api.get("/users/{user}/credentials/OS-EC2", EC2_LIST, wrap="credentials")
def list_ec2(tx: Tx, ctx: Context, runtime: Runtime, user: User) -> Page:
    require_in_person(ctx.caller.token)
    rows = credentials.list_credentials(tx, user.id, secrets.EC2)
    return Page([_ec2_view(runtime, ctx, row) for row in rows])


@api.post("/users/{user}/credentials/OS-EC2", EC2_CREATE, body="", status=201, wrap="credential")
def create_ec2(tx: Tx, ctx: Context, runtime: Runtime, user: User, body: Ec2Create) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    project_id = body.tenant_id or ctx.project_id
    if not project_id:
        raise Invalid("tenant_id, the project the key is for, is missing.")
    row = secrets.create_ec2_credential(tx, runtime, ctx, user.id, project_id)
    return _ec2_view(runtime, ctx, row)


def _ec2(tx: Tx, ctx: Context, access: str, rule: Rule) -> Credential:
    """Return an EC2 credential, judged by whose it is; one that is missing is so for everybody, as upstream's."""
    row = credentials.get_credential(tx, secrets.id_of_access(access))
    if row is None or row.type != secrets.EC2:
        raise NotFound(f"Could not find credential: {access}.")
    named(ctx, rule, user={"id": row.user_id}, credential=row)
    return row


@api.get("/users/{user}/credentials/OS-EC2/{access}", EC2_GET, wrap="credential", by_handler=True)
def show_ec2(tx: Tx, ctx: Context, runtime: Runtime, user: User, access: str) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    return _ec2_view(runtime, ctx, _ec2(tx, ctx, access, EC2_GET))


@api.delete("/users/{user}/credentials/OS-EC2/{access}", EC2_DELETE, by_handler=True)
def delete_ec2(tx: Tx, ctx: Context, user: User, access: str) -> None:
    require_in_person(ctx.caller.token)
    delete_credential(tx, ctx, _ec2(tx, ctx, access, EC2_DELETE))
