"""Listings as plain text, JSON or XML: what the query asks for, and how each form looks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.errors import Invalid, NotAcceptable, PreconditionFailed
from pileus.kernel.rest import Request, Response
from pileus.services.object_store.api.answers import Headers, answer
from pileus.services.object_store.store import ContainerEntry, Listing, ObjectEntry, Subdir, Usage

_FORMATS = {"plain": "text/plain", "json": "application/json", "xml": "application/xml"}
Entry = dict[str, Any]


def listing_of(request: Request, largest: int) -> Listing:
    """Read a listing's parameters.  Raises PreconditionFailed for a limit that is too high, Invalid for a NUL."""
    query = dict(request.query_items())
    for name in ("prefix", "marker", "end_marker", "delimiter", "path"):
        if "\0" in query.get(name, ""):
            raise Invalid(f"The parameter {name} has a NUL, which no name has; leave it out.")
    limit = largest
    if query.get("limit", "").isdigit():
        limit = int(query["limit"])
        if limit > largest:
            raise PreconditionFailed(f"Maximum limit is {largest}.")
    prefix, delimiter, path = query.get("prefix", ""), query.get("delimiter", ""), query.get("path")
    if path is not None:
        path = prefix = f"{path.rstrip('/')}/" if path else ""
        delimiter = "/"
    return Listing(
        limit,
        prefix,
        query.get("marker", ""),
        query.get("end_marker", ""),
        delimiter,
        path,
        query.get("reverse", "").lower() in ("true", "1", "yes", "on", "t", "y"),
    )


def format_of(request: Request) -> str:
    """Return plain, json or xml, as the query or the Accept header wants.  Raises NotAcceptable."""
    asked = dict(request.query_items()).get("format", "").lower()
    if asked in _FORMATS:
        return asked
    accepted = request.headers.get("accept")
    if not accepted:
        return "plain"
    for kind in (part.partition(";")[0].strip() for part in accepted.split(",")):
        if kind in ("*/*", "text/*", "text/plain"):
            return "plain"
        if kind in ("application/json", "application/*"):
            return "json"
        if kind in ("application/xml", "text/xml"):
            return "xml"
    raise NotAcceptable(f"A listing is text/plain, application/json or application/xml, not {accepted}.")


def stamp(moment: datetime) -> str:
    """Return a moment as listings write it."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def container_entries(found: Sequence[tuple[ContainerEntry, Usage] | Subdir]) -> list[Entry]:
    """Describe containers."""
    return [
        {"subdir": item.name}
        if isinstance(item, Subdir)
        else {
            "name": item[0].name,
            "count": item[1].objects,
            "bytes": item[1].bytes,
            "last_modified": stamp(item[0].updated_at),
        }
        for item in found
    ]


def object_entries(found: Sequence[ObjectEntry | Subdir]) -> list[Entry]:
    """Describe objects."""
    return [
        {"subdir": row.name}
        if isinstance(row, Subdir)
        else {
            "bytes": row.size,
            "hash": row.etag,
            "name": row.name,
            "content_type": row.content_type,
            "last_modified": stamp(row.updated_at),
            **({"slo_etag": f'"{row.etag}"'} if row.is_static else {}),
        }
        for row in found
    ]


def render(ctx: Context, form: str, headers: Headers, root: str, owner: str, entries: list[Entry]) -> Response:
    """Answer a listing; ``root`` is ``account`` or ``container`` and names the XML elements."""
    media_type = f"{_FORMATS[form]}; charset=utf-8"
    if form == "json":
        return answer(ctx, 200, headers, msgspec.json.encode(entries), media_type)
    if form == "xml":
        return answer(ctx, 200, headers, _xml(root, owner, entries).encode(), media_type)
    names = [str(entry.get("subdir", entry.get("name"))) for entry in entries]
    if not names:
        return answer(ctx, 204, headers, media_type=media_type)
    return answer(ctx, 200, headers, ("\n".join(names) + "\n").encode(), media_type)


def _xml(root: str, owner: str, entries: list[Entry]) -> str:
    item = "container" if root == "account" else "object"
    order = {"container": ("name", "count", "bytes", "last_modified")}.get(
        item, ("name", "hash", "bytes", "content_type", "last_modified")
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{root} name={quoteattr(owner)}>"]
    for entry in entries:
        if "subdir" in entry:
            name = entry["subdir"]
            lines.append(f"<subdir name={quoteattr(name)}><name>{escape(name)}</name></subdir>")
        else:
            fields = "".join(f"<{key}>{escape(str(entry[key]))}</{key}>" for key in order)
            lines.append(f"<{item}>{fields}</{item}>")
    return "\n".join([*lines, f"</{root}>"])
