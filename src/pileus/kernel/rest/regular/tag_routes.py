"""The sub-resource ``/<plural>/{id}/tags`` of a regular resource."""

from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN_OR_MEMBER, Rule
from pileus.kernel.rest.http import Response
from pileus.kernel.rest.regular import tags
from pileus.kernel.rest.regular.resource import SIGNED_IN, Resource


class Tags(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a replacement of all tags."""

    tags: Annotated[list[Any], msgspec.Meta(max_length=tags.MAX_COUNT)]


def add_tag_routes(resource: Resource[Any]) -> None:
    """Let tags be read, added and removed."""
    api, path = resource.api, f"{resource.path}/{{id}}/tags"
    read = Rule(f"get_{resource.plural}_tags", resource.read_rule.check)
    write = Rule(f"update_{resource.plural}_tags", ADMIN_OR_MEMBER)
    drop = Rule(f"delete_{resource.plural}_tags", ADMIN_OR_MEMBER)

    @api.get(path, read)
    def list_tags(tx: Tx, ctx: Context, id: str) -> dict[str, list[str]]:
        resource.load(tx, ctx, id)
        return {"tags": tags.tags_of(tx, [id]).get(id, [])}

    @api.put(path, SIGNED_IN, body="")
    def replace_tags(tx: Tx, ctx: Context, id: str, body: Tags) -> dict[str, list[str]]:
        row = resource.load_for(tx, ctx, id, write)
        found = tags.set_tags(tx, id, body.tags)
        resource.touch(tx, ctx, row)
        return {"tags": found}

    @api.delete(path, SIGNED_IN)
    def delete_tags(tx: Tx, ctx: Context, id: str) -> None:
        row = resource.load_for(tx, ctx, id, drop)
        tags.drop_tags(tx, id)
        resource.touch(tx, ctx, row)

    @api.get(f"{path}/{{tag}}", read)
    def show_tag(tx: Tx, ctx: Context, id: str, tag: str) -> None:
        resource.load(tx, ctx, id)
        tags.one(tx, id, tag)

    @api.put(f"{path}/{{tag}}", SIGNED_IN)
    def add_tag(tx: Tx, ctx: Context, id: str, tag: str) -> Response:
        row = resource.load_for(tx, ctx, id, write)
        tags.set_tags(tx, id, [*tags.tags_of(tx, [id]).get(id, []), tag])
        resource.touch(tx, ctx, row)
        return Response(201, media_type=None)

    @api.delete(f"{path}/{{tag}}", SIGNED_IN)
    def delete_tag(tx: Tx, ctx: Context, id: str, tag: str) -> None:
        row = resource.load_for(tx, ctx, id, drop)
        tx.delete(tags.one(tx, id, tag))
        resource.touch(tx, ctx, row)
