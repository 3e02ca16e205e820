"""Consumers: who uses a secret or a container, so that nobody deletes what is in use."""

from typing import Annotated, Any

import msgspec

from pileus.dialects.barbican import page_by_offset, paged, parse, url_of, zoneless
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Request, Response, json_response
from pileus.kernel.rest.bounds import Label, at_most
from pileus.kernel.rest.references import Refers
from pileus.kernel.rest.regular import Resource
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.containers import containers
from pileus.services.key_manager.api.rules import CONTAINER_READ, READ
from pileus.services.key_manager.api.secrets import secrets
from pileus.services.key_manager.model import ContainerConsumer, SecretConsumer
from pileus.services.key_manager.store import things

SHOW = Rule("consumer:get", f"role:admin or {CONTAINER_READ}")


class SecretConsumerBody(msgspec.Struct):
    service: Label
    resource_type: Label
    resource_id: Annotated[Label, Refers("any", loaded=False)]


class ContainerConsumerBody(msgspec.Struct):
    name: Annotated[str, at_most(36, 1)]
    url: Label = msgspec.field(name="URL")


def add_consumer_routes(resource: Resource[Any], row_kind: type[Any], body_kind: type[Any], since: str | None) -> None:
    """Let consumers be listed, added (once) and removed, by who may read the thing."""
    name, path = resource.name, f"{resource.one}/consumers"
    get, post, drop = (Rule(f"{name}_consumers:{verb}", READ[name]) for verb in ("get", "post", "delete"))
    named = {info.name: info.encode_name for info in msgspec.structs.fields(body_kind)}

    def view(one: Any) -> dict[str, Any]:
        times = {"created": zoneless(one.created_at), "updated": zoneless(one.updated_at)}
        return {**{api: getattr(one, own) for own, api in named.items()}, "status": "ACTIVE", **times}

    def answer(tx: Tx, ctx: Context, row: Any, what: str) -> Response:
        resource.touch(tx, ctx, row, what)
        location = url_of(ctx, resource.plural, row.id, "consumers")
        return json_response(resource.views(tx, ctx, [row])[0], headers=[("Location", location)])

    @api.get(path, get, about=resource.about, since=since)
    def list_consumers(tx: Tx, ctx: Context, row: Any, request: Request) -> dict[str, Any]:
        query = parse(request.query_items())
        order = [(row_kind.created_at, False), (row_kind.id, False)]
        rows = page_by_offset(tx, query, things.all_consumers(row_kind, row.id), order)
        return paged("consumers", [view(one) for one in rows], query, request, ctx)

    @api.post(path, post, body="", about=resource.about, since=since)
    def add_consumer(tx: Tx, ctx: Context, row: Any, body: body_kind) -> Response:  # pyright: ignore[reportInvalidTypeForm]
        values = msgspec.structs.asdict(body)
        if things.find_consumer(tx, row_kind, row.id, values) is None:
            things.claim(tx, ctx.project_id, "consumers")
            tx.add(row_kind(thing_id=row.id, project_id=ctx.project_id, **values))
        return answer(tx, ctx, row, "consumer_added")

    @api.delete(path, drop, body="", about=resource.about, since=since)
    def delete_consumer(tx: Tx, ctx: Context, row: Any, body: body_kind) -> Response:  # pyright: ignore[reportInvalidTypeForm]
        found = things.find_consumer(tx, row_kind, row.id, msgspec.structs.asdict(body))
        if found is None:
            raise NotFound("Consumer not found.")
        if ctx.project_id not in (found.project_id, row.project_id):
            raise Forbidden("Not Allowed. Sorry, only the creator of a consumer can delete it.")
        tx.delete(found)
        return answer(tx, ctx, row, "consumer_removed")

    @api.get(f"{path}/{{consumer}}", SHOW, about=resource.about, since=since)
    def show_consumer(tx: Tx, row: Any, consumer: str) -> dict[str, Any]:
        found = tx.get(row_kind, consumer)
        if found is None or found.thing_id != row.id:
            raise NotFound("Consumer not found.")
        return view(found)


add_consumer_routes(secrets, SecretConsumer, SecretConsumerBody, "1.1")
add_consumer_routes(containers, ContainerConsumer, ContainerConsumerBody, None)
