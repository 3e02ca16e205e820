"""Secrets: made with their payload or before it, found by what they are for, read by whom their rules let."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET
from sqlalchemy import ColumnElement

from pileus.dialects.barbican import Entity, zoneless
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import InTransaction, Query, Request, Response, json_response, since
from pileus.kernel.rest.bounds import Id, Name, Text
from pileus.kernel.rest.references import Refers
from pileus.kernel.rest.regular import DELETE, LIST, SHOW, Attr, Resource, boolean
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import SECRET, SECRET_CHECKS, SECRET_READ, target_of
from pileus.services.key_manager.app import payloads
from pileus.services.key_manager.model import KeyManagerSettings, Secret, SecretConsumer
from pileus.services.key_manager.store import keys, things

SecretType = Literal["symmetric", "passphrase", "private", "public", "certificate", "opaque"]
Sent = Attr(on="c", find="", source="")
PUT = Rule("secret:put", SECRET)
DECRYPT = Rule("secret:decrypt", SECRET_READ)


class SecretAttributes(Entity, kw_only=True):
    name: Name | None = None
    secret_type: Annotated[SecretType, Attr(on="cv")] = "opaque"
    expiration: Annotated[Name | None, Attr(on="cv", source="expires_at", show=zoneless)] = None
    algorithm: Name | None = None
    bit_length: Annotated[int, msgspec.Meta(ge=1, le=32767)] | None = None
    mode: Name | None = None
    creator_id: Annotated[str, Attr(on="v", find="")] = ""
    consumers: Annotated[list[dict[str, str]], Attr(on="v", find="", source=""), since("1.1")] = []
    content_types: Annotated[
        dict[str, str],
        Attr(on="v", find="", source="content_type", show=lambda kind: {"default": kind} if kind else UNSET),
    ] = {}
    payload: Annotated[Text | None, Sent] = None
    payload_content_type: Annotated[Name | None, Sent] = None
    payload_content_encoding: Annotated[Name | None, Sent] = None
    transport_key_needed: Annotated[Literal["true", "false"], Sent] = "false"
    transport_key_id: Annotated[Id | None, Sent, Refers("transport_key", loaded=False)] = None


class DeleteQuery(Query):
    force: str = "false"


secrets = Resource(
    api, "secret", "secrets", SecretAttributes, Secret, title="Secret", verbs=(LIST,), checks=SECRET_CHECKS,
    expires="expires_at",
)  # fmt: skip
secrets.target(target_of)
for alias, name in (("alg", "algorithm"), ("bits", "bit_length")):
    secrets.filters[alias] = secrets.filters[name]


@secrets.filter("acl_only")
def by_acl(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    if boolean("acl_only", values[-1]):
        return things.read_by(ctx.user_id)
    return Secret.project_id == ctx.project_id


@secrets.related
def related(tx: Tx, ctx: Context, rows: Sequence[Secret], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    found = things.consumers_of(tx, SecretConsumer, rows) if "consumers" in wanted else {}
    named = ("service", "resource_type", "resource_id")
    return {"consumers": {id: [{n: getattr(one, n) for n in named} for one in every] for id, every in found.items()}}


@secrets.create
def create_secret(tx: Tx, ctx: Context, body: Any, settings: KeyManagerSettings) -> Secret:
    refuse_wrapping(body.transport_key_needed == "true" or body.transport_key_id is not None)
    payload = payloads.content_of_body(body, settings)
    things.claim(tx, ctx.project_id, "secrets")
    values = secrets.dialect.values(secrets, ctx, body)
    row = Secret(**{**values, "creator_id": ctx.user_id, "expires_at": payloads.expiration(body.expiration)})
    tx.add(row)
    tx.flush()
    if payload is not None:
        keys.keep_content(tx, row, *payload)
    return row


def refuse_wrapping(asked: bool) -> None:
    """Raise Invalid where contents are to be wrapped: no store of this cloud does that."""
    if asked:
        raise Invalid("Provided transport key was not found: the secret stores here take payloads only as they are.")


@api.get(secrets.one, secrets.rule(SHOW), about=secrets.about, by_handler=True)
def show_secret(tx: Tx, ctx: Context, request: Request, row: Secret) -> Response:
    """Show a secret; its payload where another type than JSON is accepted, as old clients ask for it."""
    if request.headers.get("accept", "*/*").strip() in payloads.JSON_TYPES:
        ctx.require(secrets.rule(SHOW), target_of(tx, ctx, row))
        return json_response(secrets.views(tx, ctx, [row])[0])
    ctx.require(DECRYPT, target_of(tx, ctx, row))
    return payload_of(tx, request, row)


@api.get(f"{secrets.one}/payload", DECRYPT, about=secrets.about)
def show_payload(tx: Tx, request: Request, row: Secret) -> Response:
    return payload_of(tx, request, row)


def payload_of(tx: Tx, request: Request, row: Secret) -> Response:
    """Return a secret's content in a type that the client accepts."""
    refuse_wrapping(any(name == "trans_wrapped_session_key" for name, _ in request.query_items()))
    if row.content is None:
        raise NotFound("Not Found. Sorry but your secret has no payload.")
    kind = payloads.accepted(request.headers.get("accept", ""), row.content_type)
    content = payloads.shown(keys.content_of(tx, row), kind)
    return Response(200, content, [("Cache-Control", "no-store")], media_type=kind)


@api.put(secrets.one, PUT, about=secrets.about)
async def put_payload(ctx: Context, request: Request, row: Secret, settings: KeyManagerSettings) -> InTransaction[None]:
    """Give a secret that was made without one its payload."""
    headers, id = request.headers, row.id
    content, kind = payloads.content_of_request(
        await request.read(), headers.get("content-type", ""), headers.get("content-encoding", ""), settings
    )

    def keep(tx: Tx) -> None:
        there = secrets.load(tx, ctx, id)
        if there.content is not None:
            raise Conflict("Secret already has data, cannot modify it.")
        keys.keep_content(tx, there, content, kind)
        there.updated_at = clock.now()
        secrets.touch(tx, ctx, there)

    return InTransaction(keep)


@api.delete(secrets.one, secrets.rule(DELETE), about=secrets.about)
def delete_secret(tx: Tx, ctx: Context, row: Secret, query: DeleteQuery) -> None:
    """Delete a secret; from 1.2 on not one that has consumers, unless forced."""
    forced = boolean("force", query.force)
    if ctx.version >= (1, 2) and not forced and things.consumers_of(tx, SecretConsumer, [row])[row.id]:
        raise Invalid("Secret has one or more consumers. Use force=True to delete it anyway.")
    things.delete_secret(tx, row)
    secrets.touch(tx, ctx, row, "deleted")
