"""Objects, read: whole, in ranges, under conditions, and as manifests."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound, Unavailable
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, transaction_id
from pileus.services.object_store.api.permits import permit
from pileus.services.object_store.app import conditions
from pileus.services.object_store.app.blobs import Blobs, Part, blobs_of
from pileus.services.object_store.app.conditions import Range, http_date
from pileus.services.object_store.app.manifests import Content, content_of
from pileus.services.object_store.app.objects import Path, is_expired
from pileus.services.object_store.drivers.base import BlobNotFound
from pileus.services.object_store.model import ObjectRow

ATTEMPTS = 3
"""An object may be replaced between its look-up and its opening; then it is looked up again."""


@dataclass(slots=True)
class Reading:
    """An object that the caller may read, as it is now."""

    row: ObjectRow
    content: Content
    headers: Headers
    not_modified: bool


def look(tx: Tx, ctx: Context, request: Request, path: Path) -> Reading:
    """Find the object and what its readers get; raise what stands against it."""
    allowed = permit(tx, ctx, request, path, write=False)
    row, query = allowed.found.object, dict(request.query_items())
    if row is None or is_expired(row):
        raise NotFound(f"Object {path.name} does not exist in container {path.container}.")
    if query.get("multipart-manifest") == "get" and row.segments is not None:
        content = Content([], 0, row.etag)
    elif query.get("multipart-manifest") == "get":
        content = Content([Part(row.blob, 0, row.size)] if row.blob else [], row.size, row.etag)
    else:
        content = content_of(tx, path, row, allowed.may_read)
    headers = describe(row, content)
    if allowed.is_temporary:
        headers.append(("Content-Disposition", _disposition(path, query)))
    not_modified = conditions.is_not_modified(request, content.etag, row.updated_at)
    return Reading(row, content, headers, not_modified)


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
def head_object(tx: Tx, ctx: Context, request: Request, account: str, container: str, name: str) -> Response:
    reading = look(tx, ctx, request, Path(account, container, name))
    if reading.not_modified:
        return answer(ctx, 304, reading.headers)
    response = answer(ctx, 200, reading.headers, media_type=reading.row.content_type)
    response.length = reading.content.size
    return response


@api.get("/{account}/{container}/{name:path}", None)
async def get_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    path = Path(account, container, name)
    for _ in range(ATTEMPTS):
        reading = await runtime.db.read(look, ctx, request, path)
        if reading.not_modified:
            return answer(ctx, 304, reading.headers)
        if dict(request.query_items()).get("multipart-manifest") == "get" and reading.row.segments is not None:
            return _manifest(ctx, reading)
        try:
            return await _send(ctx, request, blobs_of(runtime), reading)
        except BlobNotFound:
            continue
    raise Unavailable(f"The bytes of object {path.name} cannot be found; the operator's log on the device says more.")


def _manifest(ctx: Context, reading: Reading) -> Response:
    segments = [{**segment, "name": segment["path"]} for segment in reading.row.segments or ()]
    for segment in segments:
        segment.pop("path")
    return answer(ctx, 200, reading.headers, msgspec.json.encode(segments), "application/json; charset=utf-8")


async def _send(ctx: Context, request: Request, blobs: Blobs, reading: Reading) -> Response:
    content, row = reading.content, reading.row
    ranges = conditions.ranges_of(request, content.size, content.etag, row.updated_at) if content.size else None
    headers = [*reading.headers, ("X-Trans-Id", transaction_id(ctx.request_id))]
    if ranges is None:
        return Response(200, await blobs.open(content.parts), headers, row.content_type, content.size)
    if len(ranges) == 1:
        [wanted] = ranges
        headers.append(("Content-Range", f"bytes {wanted.start}-{wanted.end - 1}/{content.size}"))
        body = await blobs.open(content.slice(wanted))
        return Response(206, body, headers, row.content_type, wanted.end - wanted.start)
    boundary = ids.random_bytes(16).hex()
    heads = [_range_head(boundary, row.content_type, wanted, content.size) for wanted in ranges]
    tail = f"\r\n--{boundary}--".encode()
    length = sum(map(len, heads)) + sum(wanted.end - wanted.start for wanted in ranges) + len(tail)
    body = _multipart(blobs, content, list(zip(heads, ranges, strict=True)), tail)
    return Response(206, body, headers, f"multipart/byteranges;boundary={boundary}", length)


def _range_head(boundary: str, content_type: str, wanted: Range, size: int) -> bytes:
    where = f"bytes {wanted.start}-{wanted.end - 1}/{size}"
    return f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {where}\r\n\r\n".encode()


async def _multipart(
    blobs: Blobs, content: Content, pieces: list[tuple[bytes, Range]], tail: bytes
) -> AsyncIterator[bytes]:
    for head, wanted in pieces:
        yield head
        sending = await blobs.open(content.slice(wanted))
        try:
            async for chunk in sending:
                yield chunk
        finally:
            await sending.aclose()
    yield tail
