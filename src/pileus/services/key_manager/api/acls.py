"""Access lists of secrets and containers: users who may read one, and whether its project's members may."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.dialects.barbican import url_of, zoneless
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Response, json_response
from pileus.kernel.rest.bounds import Id, at_most
from pileus.kernel.rest.references import Refers
from pileus.kernel.rest.regular import Resource
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.containers import containers
from pileus.services.key_manager.api.rules import CHANGE
from pileus.services.key_manager.api.secrets import secrets
from pileus.services.key_manager.model import Acl
from pileus.services.key_manager.store import things

User = Annotated[Id, Refers("user", loaded=False)]


class Read(msgspec.Struct, forbid_unknown_fields=True):
    users: Annotated[list[User], at_most(1000)] | UnsetType = UNSET
    project_access: bool | UnsetType = msgspec.field(default=UNSET, name="project-access")


class AclBody(msgspec.Struct, forbid_unknown_fields=True):
    read: Read | None = None


def add_acl_routes(resource: Resource[Any]) -> None:
    """Let an access list be shown, replaced, changed and taken away, by who may change the thing."""
    name, path = resource.name, f"{resource.one}/acl"
    get, write, drop = (Rule(f"{name}_acls:{verb}", CHANGE[name]) for verb in ("get", "put_patch", "delete"))

    @api.get(path, get, about=resource.about)
    def show_acl(tx: Tx, row: Any) -> dict[str, Any]:
        acl, users = things.acl_of(tx, row.id)
        if acl is None:
            return {"read": {"project-access": True}}
        times = {"created": zoneless(acl.created_at), "updated": zoneless(acl.updated_at)}
        return {"read": {"project-access": acl.project_access, "users": users, **times}}

    @api.put(path, write, body="", about=resource.about)
    def replace_acl(tx: Tx, ctx: Context, row: Any, body: AclBody) -> dict[str, str]:
        read = body.read
        if read is None:
            things.drop_acl(tx, row.id)
            return _changed(tx, ctx, row)
        return _set(tx, ctx, row, read.users or [], read.project_access is not False)

    @api.patch(path, write, body="", about=resource.about)
    def change_acl(tx: Tx, ctx: Context, row: Any, body: AclBody) -> dict[str, str]:
        read = body.read
        if read is None:
            return _changed(tx, ctx, row)
        acl, users = things.acl_of(tx, row.id)
        access = (acl is None or acl.project_access) if read.project_access is UNSET else read.project_access
        return _set(tx, ctx, row, users if read.users is UNSET else read.users, access)

    @api.delete(path, drop, about=resource.about)
    def delete_acl(tx: Tx, ctx: Context, row: Any) -> Response:
        """Take the list away; the answer is a null, which clients read."""
        things.drop_acl(tx, row.id)
        _changed(tx, ctx, row)
        return json_response(None)

    def _set(tx: Tx, ctx: Context, row: Any, users: list[str], project_access: bool) -> dict[str, str]:
        acl = tx.get(Acl, row.id)
        if acl is None:
            acl = Acl(thing_id=row.id)
            tx.add(acl)
        acl.project_access, acl.updated_at = project_access, clock.now()
        things.set_users(tx, row.id, users)
        return _changed(tx, ctx, row)

    def _changed(tx: Tx, ctx: Context, row: Any) -> dict[str, str]:
        resource.touch(tx, ctx, row)
        return {"acl_ref": url_of(ctx, resource.plural, row.id, "acl")}


add_acl_routes(secrets)
add_acl_routes(containers)
