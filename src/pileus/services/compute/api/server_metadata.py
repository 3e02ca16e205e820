"""Metadata and tags of a server: what its owner notes beside it."""

import re
from typing import Annotated

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Body, Response, at_most
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, require_unlocked, url
from pileus.services.compute.api.server_bodies import Metadata, Tag
from pileus.services.compute.limits import claim_per_server
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store

META = "/servers/{server}/metadata"
TAGS = "/servers/{server}/tags"
MAX_TAGS = 50


def _save(tx: Tx, ctx: Context, server: Server, meta: dict[str, str]) -> dict[str, str]:
    require_unlocked(ctx, server)
    claim_per_server(tx, server.project_id, "metadata_items", len(meta))
    store.touch(server, meta=meta)
    return meta


def _item(server: Server, key: str) -> str:
    if key not in server.meta:
        raise NotFound(f"Metadata item was not found: instance {server.id} has no key {key}.")
    return server.meta[key]


@api.get(META, rules.META_INDEX, wrap="metadata")
def list_metadata(server: Server) -> dict[str, str]:
    return server.meta


@api.post(META, rules.META_CREATE, wrap="metadata", status=200)
def add_metadata(tx: Tx, ctx: Context, server: Server, body: Metadata) -> dict[str, str]:
    return _save(tx, ctx, server, {**server.meta, **body})


@api.put(META, rules.META_UPDATE_ALL, wrap="metadata")
def replace_metadata(tx: Tx, ctx: Context, server: Server, body: Metadata) -> dict[str, str]:
    return _save(tx, ctx, server, body)


@api.get(META + "/{key}", rules.META_SHOW, wrap="meta")
def show_item(server: Server, key: str) -> dict[str, str]:
    return {key: _item(server, key)}


@api.put(META + "/{key}", rules.META_UPDATE, wrap="meta")
def put_item(tx: Tx, ctx: Context, server: Server, key: str, body: Metadata) -> dict[str, str]:
    if set(body) != {key}:
        raise Invalid(f"Request body and URI mismatch: the body must hold exactly the key {key}.")
    _save(tx, ctx, server, {**server.meta, **body})
    return body


@api.delete(META + "/{key}", rules.META_DELETE)
def delete_item(tx: Tx, ctx: Context, server: Server, key: str) -> None:
    _item(server, key)
    _save(tx, ctx, server, {name: value for name, value in server.meta.items() if name != key})


class TagsBody(Body, kw_only=True):
    tags: Annotated[list[Tag], at_most(100)]


def _put_tags(ctx: Context, server: Server, tags: list[str]) -> None:
    require_unlocked(ctx, server)
    if len(tags) > MAX_TAGS:
        raise Invalid(f"The number of tags exceeded the per-server limit {MAX_TAGS}.")
    server.tags = tags


def _require_tag(server: Server, tag: str) -> None:
    if tag not in server.tags:
        raise NotFound(f"Server {server.id} has no tag '{tag}'.")


@api.get(TAGS, rules.TAGS_INDEX, wrap="tags", since="2.26")
def list_tags(server: Server) -> list[str]:
    return server.tags


@api.put(TAGS, rules.TAGS_UPDATE_ALL, body="", since="2.26")
def replace_tags(tx: Tx, ctx: Context, server: Server, body: TagsBody) -> dict[str, list[str]]:
    if len(set(body.tags)) != len(body.tags):
        raise Invalid("Invalid input for tags: each tag may be given once.")
    _put_tags(ctx, server, sorted(body.tags))
    return {"tags": server.tags}


@api.delete(TAGS, rules.TAGS_DELETE_ALL, since="2.26")
def delete_tags(tx: Tx, ctx: Context, server: Server) -> None:
    _put_tags(ctx, server, [])


@api.get(TAGS + "/{tag}", rules.TAGS_SHOW, status=204, since="2.26")
def check_tag(server: Server, tag: str) -> None:
    _require_tag(server, tag)


@api.put(TAGS + "/{tag}", rules.TAGS_UPDATE, since="2.26")
def put_tag(tx: Tx, ctx: Context, server: Server, tag: str) -> Response:
    if not re.fullmatch(r"[^,/]{1,60}", tag):
        raise Invalid(f"Invalid input for tag: '{tag}' must have 1 to 60 characters, without ',' and '/'.")
    location = [("Location", url(ctx, "servers", server.id, "tags", tag))]
    if tag in server.tags:
        return Response(204, headers=location, media_type=None)
    _put_tags(ctx, server, sorted([*server.tags, tag]))
    return Response(201, headers=location, media_type=None)


@api.delete(TAGS + "/{tag}", rules.TAGS_DELETE, since="2.26")
def delete_tag(tx: Tx, ctx: Context, server: Server, tag: str) -> None:
    _require_tag(server, tag)
    _put_tags(ctx, server, [one for one in server.tags if one != tag])
