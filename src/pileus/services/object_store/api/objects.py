"""Objects, read: whole, in ranges, under conditions, and as manifests."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import NotFound, Unavailable
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, transaction_id
from pileus.services.object_store.api.permits import Permit, permit
from pileus.services.object_store.app import conditions
from pileus.services.object_store.app.blobs import Blobs, Sending, blobs_of
from pileus.services.object_store.app.conditions import Range, http_date
from pileus.services.object_store.app.content import Content, content_of, own_content
from pileus.services.object_store.app.manifests import as_sent, as_stored
from pileus.services.object_store.app.objects import Path, is_expired
from pileus.services.object_store.drivers.base import BlobNotFound
from pileus.services.object_store.model import ObjectRow

MANIFEST_TYPE = "application/json; charset=utf-8"
ATTEMPTS = 3
"""An object may be replaced between its look-up and its opening; then it is looked up again."""


@dataclass(slots=True)
class Reading:
    """An object that the caller may read, as it is now."""

    row: ObjectRow
    content: Content
    headers: Headers
    not_modified: bool
    manifest: bytes | None = None
    """What is sent instead of the content when the manifest itself was asked for."""


def find_readable(tx: Tx, ctx: Context, request: Request, path: Path) -> tuple[ObjectRow, Permit]:
    """Return the object and the permit to read it.  Raises NotFound, or what stands against reading it."""
    allowed = permit(tx, ctx, request, path, write=False)
    row = allowed.found.object
    if row is None or is_expired(row):
        raise NotFound(f"Object {path.name} does not exist in container {path.container}.")
    return row, allowed


async def look(db: Database, ctx: Context, request: Request, path: Path) -> Reading:
    """Find the object and what its readers get; raise what stands against it."""
    row, allowed = await db.read(find_readable, ctx, request, path)
    query = dict(request.query_items())
    manifest = None
    if query.get("multipart-manifest") == "get":
        content = own_content(row)
        if row.segments is not None:
            manifest = as_sent(row) if query.get("format") == "raw" else as_stored(row)
            content = replace(content, etag=hashlib.md5(manifest, usedforsecurity=False).hexdigest())
    else:
        content = await content_of(db, path, row, allowed.may_read)
    headers = describe(row, content)
    if allowed.is_temporary:
        headers.append(("Content-Disposition", _disposition(path, query)))
    not_modified = conditions.is_not_modified(request, content.etag, row.updated_at)
    return Reading(row, content, headers, not_modified, manifest)


def describe(row: ObjectRow, content: Content) -> Headers:
    """Return the headers of an object."""
    headers = [
        *row.headers.items(),
        ("Etag", f'"{content.etag}"' if content.is_large else content.etag),
        ("Last-Modified", http_date(row.updated_at)),
        ("X-Timestamp", timestamp(row.updated_at)),
        ("Accept-Ranges", "bytes"),
    ]
    if row.segments is not None:
        headers.append(("X-Static-Large-Object", "True"))
    if row.delete_at is not None:
        headers.append(("X-Delete-At", str(row.delete_at)))
    return headers


def _disposition(path: Path, query: dict[str, str]) -> str:
    kind = "inline" if "inline" in query else "attachment"
    if kind == "inline" and "filename" not in query:
        return kind
    name = query.get("filename") or path.name.rstrip("/").rpartition("/")[2]
    ascii_name = name.encode("ascii", "replace").decode().replace('"', "%22")
    return f"{kind}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}"


@api.head("/{account}/{container}/{name:path}", None)
async def head_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    reading = await look(runtime.db, ctx, request, Path(account, container, name))
    if reading.not_modified:
        return answer(ctx, 304, reading.headers)
    if reading.manifest is not None:
        return answer(ctx, 200, reading.headers, reading.manifest, MANIFEST_TYPE)
    response = answer(ctx, 200, reading.headers, media_type=reading.row.content_type)
    response.length = reading.content.size
    if response.length is None:
        response.body = _no_bytes()  # of unknown length, as the answer to GET
    return response


async def _no_bytes() -> AsyncIterator[bytes]:
    for piece in ():
        yield piece


@api.get("/{account}/{container}/{name:path}", None)
async def get_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    path = Path(account, container, name)
    for _ in range(ATTEMPTS):
        reading = await look(runtime.db, ctx, request, path)
        if reading.not_modified:
            return answer(ctx, 304, reading.headers)
        if reading.manifest is not None:
            return answer(ctx, 200, reading.headers, reading.manifest, MANIFEST_TYPE)
        try:
            return await _send(ctx, request, blobs_of(runtime), reading)
        except BlobNotFound:
            continue
    raise Unavailable(f"The bytes of object {path.name} cannot be found; the operator's log on the device says more.")


def wanted_ranges(request: Request, reading: Reading) -> list[Range] | None:
    """Return the ranges asked for, or None for the whole.  Raises ApiError 416 when none fits.

    Of a dynamic large object one range only, and one that lies within what is known of it.
    """
    content, row = reading.content, reading.row
    if content.size is None:
        found = conditions.first_range(request, content.known, content.etag, row.updated_at)
        return [found] if found is not None else None
    ranges = conditions.ranges_of(request, content.size, content.etag, row.updated_at) if content.size else None
    return None if ranges is not None and content.is_dynamic and len(ranges) > 1 else ranges


async def _send(ctx: Context, request: Request, blobs: Blobs, reading: Reading) -> Response:
    content, row = reading.content, reading.row
    ranges = wanted_ranges(request, reading)
    headers = [*reading.headers, ("X-Trans-Id", transaction_id(ctx.request_id))]
    if ranges is None:
        body = await blobs.open(content.parts(content.whole))
        return Response(200, body, headers, row.content_type, content.size)
    size = "*" if content.size is None else str(content.size)
    if len(ranges) == 1:
        [wanted] = ranges
        headers.append(("Content-Range", f"bytes {wanted.start}-{wanted.end - 1}/{size}"))
        body = await blobs.open(content.parts(wanted))
        return Response(206, body, headers, row.content_type, wanted.end - wanted.start)
    boundary = ids.random_bytes(16).hex()
    heads = [_range_head(boundary, row.content_type, wanted, size) for wanted in ranges]
    tail = f"\r\n--{boundary}--".encode()
    length = sum(map(len, heads)) + sum(wanted.end - wanted.start for wanted in ranges) + len(tail)
    first = await blobs.open(content.parts(ranges[0]))
    body = _multipart(blobs, content, first, list(zip(heads, ranges, strict=True)), tail)
    return Response(206, body, headers, f"multipart/byteranges;boundary={boundary}", length)


def _range_head(boundary: str, content_type: str, wanted: Range, size: str) -> bytes:
    where = f"bytes {wanted.start}-{wanted.end - 1}/{size}"
    return f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {where}\r\n\r\n".encode()


async def _multipart(
    blobs: Blobs, content: Content, first: Sending, pieces: list[tuple[bytes, Range]], tail: bytes
) -> AsyncIterator[bytes]:
    sending: Sending | None = first
    try:
        for head, wanted in pieces:
            yield head
            if sending is None:
                sending = await blobs.open(content.parts(wanted))
            async for chunk in sending:
                yield chunk
            await sending.aclose()
            sending = None
        yield tail
    finally:
        if sending is not None:
            await sending.aclose()
