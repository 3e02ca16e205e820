"""OAuth 1: the programs (consumers), and the steps by which they get access.

Rule: as RFC 5849 wants, the two endpoints for consumers answer forms, not JSON.
"""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, Response, at_most
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api, listing, url
from pileus.services.identity.api.router import extra as kept
from pileus.services.identity.api.rules import ADMIN, CLOUD, OF_PROJECT, SYSTEM_READER
from pileus.services.identity.app import oauth1, oauth1_signatures
from pileus.services.identity.app.delegation import require_in_person
from pileus.services.identity.app.references import RoleId
from pileus.services.identity.model.oauth1 import Consumer
from pileus.services.identity.store import oauth1 as rows

LIST = Rule("identity:list_consumers", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_consumer", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_consumer", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_consumer", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_consumer", ADMIN, scopes=CLOUD)
AUTHORIZE = Rule("identity:authorize_request_token", ADMIN, scopes=OF_PROJECT)


class ConsumerCreate(OpenBody):
    description: str | None = None
    extra: Extra = {}


class ConsumerUpdate(OpenBody):
    description: str | UnsetType | None = UNSET
    secret: Any = UNSET
    extra: Extra = {}


class RoleNamed(msgspec.Struct, forbid_unknown_fields=True):
    id: RoleId | None = None
    name: str | None = None


@api.loader(Consumer)
def load_consumer(tx: Tx, ctx: Context, id: str) -> Consumer:
    row = rows.get_consumer(tx, id)
    if row is None:
        raise NotFound(f"Could not find consumer: {id}.")
    return row


def _view(ctx: Context, row: Consumer) -> dict[str, Any]:
    links = {"self": url(ctx, f"/OS-OAUTH1/consumers/{row.id}")}
    return {**row.extra, "id": row.id, "description": row.description, "links": links}


@api.get("/OS-OAUTH1/consumers", LIST, wrap="consumers")
def list_consumers(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": Consumer.id, "description": Consumer.description}
    found, marker = listing(tx, request, rows.select_consumers(), Consumer, columns)
    return Page([_view(ctx, row) for row in found], marker)


@api.post("/OS-OAUTH1/consumers", CREATE, wrap="consumer", status=201)
def create_consumer(tx: Tx, ctx: Context, runtime: Runtime, body: ConsumerCreate) -> dict[str, Any]:
    row, secret = oauth1.create_consumer(tx, runtime, ctx, body.description, _extra(body.extra))
    return {**_view(ctx, row), "secret": secret}


@api.get("/OS-OAUTH1/consumers/{consumer}", GET, wrap="consumer")
def show_consumer(ctx: Context, consumer: Consumer) -> dict[str, Any]:
    return _view(ctx, consumer)


@api.patch("/OS-OAUTH1/consumers/{consumer}", UPDATE, wrap="consumer")
def update_consumer(tx: Tx, ctx: Context, consumer: Consumer, body: ConsumerUpdate) -> dict[str, Any]:
    if body.secret is not UNSET:
        raise Invalid("The secret of a consumer cannot be changed: delete it and create another.")
    if body.description is UNSET and not body.extra:
        raise Invalid("The consumer in the request has nothing to change: name a description.")
    if body.extra.get("id", consumer.id) != consumer.id:
        raise Invalid("The id of a consumer cannot be changed.")
    if body.description is not UNSET:
        consumer.description = body.description
    consumer.extra = {**consumer.extra, **_extra(body.extra)}
    events.emit(tx, "identity.consumer.updated", consumer.id, ctx=ctx)
    return _view(ctx, consumer)


def _extra(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept(given).items() if name != "secret"}


@api.delete("/OS-OAUTH1/consumers/{consumer}", DELETE)
def delete_consumer(tx: Tx, ctx: Context, consumer: Consumer) -> None:
    oauth1.delete_consumer(tx, ctx, consumer)


def _form(made: tuple[str, ...]) -> Response:
    id, secret, expires_at = made
    form = {"oauth_token": id, "oauth_token_secret": secret}
    if expires_at:
        form["oauth_expires_at"] = expires_at
    return Response(201, urlencode(form, safe=":").encode(), media_type="application/x-www-form-urlencoded")


@api.post("/OS-OAUTH1/request_token", None)
def create_request_token(tx: Tx, ctx: Context, runtime: Runtime, request: Request) -> Response:
    signed = oauth1_signatures.read(request, ctx.base_url)
    signed.require()
    project_id = request.headers.get("requested-project-id")
    if not project_id:
        raise Invalid("The header Requested-Project-Id, which names the project to act on, is missing.")
    return _form(oauth1.create_request_token(tx, runtime, ctx, signed, project_id))


@api.put("/OS-OAUTH1/authorize/{id}", AUTHORIZE, body="roles", wrap="token")
def authorize_request_token(
    tx: Tx, ctx: Context, id: str, body: Annotated[list[RoleNamed], at_most(100)]
) -> dict[str, Any]:
    require_in_person(ctx.caller.token)
    for role in body:
        if (role.id is None) == (role.name is None):
            raise Invalid("Each of roles must have an id or a name, and not both.")
    return {"oauth_verifier": oauth1.authorize(tx, ctx, id, [(role.id, role.name) for role in body])}


@api.post("/OS-OAUTH1/access_token", None)
def create_access_token(tx: Tx, ctx: Context, runtime: Runtime, request: Request) -> Response:
    signed = oauth1_signatures.read(request, ctx.base_url)
    signed.require("oauth_token", "oauth_verifier")
    return _form(oauth1.create_access_token(tx, runtime, ctx, signed))
