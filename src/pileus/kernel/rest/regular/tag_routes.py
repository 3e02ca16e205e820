"""The sub-resource ``/<plural>/{id}/tags`` of a regular resource."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.rest.http import Response
from pileus.kernel.rest.regular import tags
from pileus.kernel.rest.regular.dialect import DELETE, SHOW, UPDATE

if TYPE_CHECKING:
    from pileus.kernel.rest.regular.resource import Resource


class Tags(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a replacement of all tags."""

    tags: Annotated[list[Any], msgspec.Meta(max_length=tags.MAX_COUNT)]


def add_tag_routes(resource: "Resource[Any]") -> None:
    """Let tags be read, added and removed, by who may read and change the thing."""
    api, path = resource.api, f"{resource.one}/tags"
    read, write, drop = (
        resource.dialect.guard(resource, use, "tags", resource.checks[verb])
        for use, verb in (("get", SHOW), ("update", UPDATE), ("delete", DELETE))
    )

    @api.get(path, read, about=resource.about_seen)
    def list_tags(tx: Tx, row: Any) -> dict[str, list[str]]:
        return {"tags": tags.tags_of(tx, [row.id]).get(row.id, [])}

    @api.put(path, write, body="", about=resource.about)
    def replace_tags(tx: Tx, ctx: Context, row: Any, body: Tags) -> dict[str, list[str]]:
        found = tags.set_tags(tx, row.id, body.tags)
        resource.touch(tx, ctx, row)
        return {"tags": found}

    @api.delete(path, drop, about=resource.about)
    def delete_tags(tx: Tx, ctx: Context, row: Any) -> None:
        tags.drop_tags(tx, row.id)
        resource.touch(tx, ctx, row)

    @api.get(f"{path}/{{tag}}", read, about=resource.about_seen)
    def show_tag(tx: Tx, row: Any, tag: str) -> None:
        tags.one(tx, row.id, tag)

    @api.put(f"{path}/{{tag}}", write, about=resource.about)
    def add_tag(tx: Tx, ctx: Context, row: Any, tag: str) -> Response:
        tags.set_tags(tx, row.id, [*tags.tags_of(tx, [row.id]).get(row.id, []), tag])
        resource.touch(tx, ctx, row)
        return Response(201, media_type=None)

    @api.delete(f"{path}/{{tag}}", drop, about=resource.about)
    def delete_tag(tx: Tx, ctx: Context, row: Any, tag: str) -> None:
        tx.delete(tags.one(tx, row.id, tag))
        resource.touch(tx, ctx, row)
