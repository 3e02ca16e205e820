"""Objects, written: put, copied, assembled from segments, changed, deleted."""

import mimetypes
from typing import Any
from urllib.parse import quote, unquote

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, NotFound, PreconditionFailed, TooLarge
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import delete_names
from pileus.services.object_store.api.objects import Reading, look
from pileus.services.object_store.api.permits import Permit, permit
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.blobs import EMPTY, Arrived, blobs_of
from pileus.services.object_store.app.conditions import http_date
from pileus.services.object_store.app.manifests import read_manifest
from pileus.services.object_store.app.objects import Details, Path
from pileus.services.object_store.model import LIMITS, MAX_MANIFEST_BYTES, ObjectRow


@api.put("/{account}/{container}/{name:path}", None)
async def put_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    path = Path(account, container, name)
    if "extract-archive" in dict(request.query_items()):
        return await extract_archive(ctx, request, runtime, account, f"{container}/{name}")
    if "x-copy-from" in request.headers:
        return await _copy(ctx, request, runtime, _source(request, "x-copy-from", account), path)
    if dict(request.query_items()).get("multipart-manifest") == "put":
        return await _put_manifest(ctx, request, runtime, path)
    details, length = _details(request, path), _length(request)
    await runtime.db.read(_check_put, ctx, request, path, details, length)

    def commit(tx: Tx, arrived: Arrived) -> ObjectRow:
        return objects.put_object(tx, path, details, arrived)

    row = await blobs_of(runtime).upload(
        (account, container, name),
        request.stream(),
        commit,
        max_bytes=LIMITS["max_file_size"],
        etag=request.headers.get("etag"),
        expected_bytes=length,
    )
    return answer(ctx, 201, _stored(row))


def _stored(row: ObjectRow) -> Headers:
    etag = f'"{row.etag}"' if row.segments is not None else row.etag
    return [("Etag", etag), ("Last-Modified", http_date(row.updated_at))]


def _length(request: Request) -> int | None:
    """Return the announced length, None for a chunked body.  Raises ApiError 411 when neither is told."""
    declared = request.headers.get("content-length")
    if declared is None:
        if "chunked" not in request.headers.get("transfer-encoding", ""):
            raise ApiError("Missing Content-Length header; send it, or a chunked body.", status=411)
        return None
    if not declared.isdigit():
        raise Invalid(f"Invalid Content-Length header value: {declared}.")
    if int(declared) > LIMITS["max_file_size"]:
        raise TooLarge(f"An object has at most {LIMITS['max_file_size']} bytes; upload it in segments.")
    return int(declared)


def _details(request: Request, path: Path) -> Details:
    metadata.check_object_name(path.name)
    headers = request.headers
    content_type = metadata.text_of(headers.get("content-type", ""), "Content-Type")
    if not content_type or headers.get("x-detect-content-type", "").lower() in ("true", "1", "yes"):
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    kept = metadata.object_headers(headers)
    manifest = kept.get("x-object-manifest")
    if manifest is not None:
        container, _, prefix = manifest.strip("/").partition("/")
        if not container or not prefix or "?" in manifest or "&" in manifest:
            raise Invalid("X-Object-Manifest must be in the format container/prefix.")
        kept["x-object-manifest"] = manifest.strip("/") if not manifest.endswith("/") else manifest.lstrip("/")
    if_none_match = headers.get("if-none-match")
    if if_none_match is not None and if_none_match.strip() != "*":
        raise Invalid("If-None-Match of a PUT can only be *.")
    return Details(content_type, kept, objects.expiry(headers), only_new=if_none_match is not None)


def _check_put(tx: Tx, ctx: Context, request: Request, path: Path, details: Details, length: int | None) -> Permit:
    """Refuse before any byte is stored what would be refused after the last."""
    allowed = permit(tx, ctx, request, path, write=True)
    found = allowed.found
    if found.account is None or found.container is None:
        raise NotFound(f"Container {path.container} of account {path.account} does not exist; create it first.")
    if allowed.is_temporary and "x-object-manifest" in details.headers:
        raise Invalid("X-Object-Manifest cannot be set through a temporary URL.")
    if details.only_new and found.object is not None and not objects.is_expired(found.object):
        raise PreconditionFailed(f"Object {path.name} exists already and If-None-Match: * was given.")
    objects.check_quota(tx, found.account, found.container, found.object, length or 0)
    return allowed


async def _put_manifest(ctx: Context, request: Request, runtime: Runtime, path: Path) -> Response:
    details = _details(request, path)
    await runtime.db.read(_check_put, ctx, request, path, details, 0)
    body = await request.read(MAX_MANIFEST_BYTES)
    row = await runtime.db.write(_commit_manifest, ctx, request, path, details, body)
    blobs_of(runtime).nudge()
    return answer(ctx, 201, _stored(row))


def _commit_manifest(tx: Tx, ctx: Context, request: Request, path: Path, details: Details, body: bytes) -> ObjectRow:
    allowed = permit(tx, ctx, request, path, write=True)
    segments, size, etag = read_manifest(tx, path.account, body, allowed.may_read)
    given = request.headers.get("etag")
    if given is not None and given.strip('"') != etag:
        raise ApiError(f"The manifest's etag is {etag}, not {given}.", status=422)
    whole = Details(
        details.content_type, details.headers, details.delete_at, segments, size, etag, only_new=details.only_new
    )
    return objects.put_object(tx, path, whole, Arrived(0, EMPTY.md5, None))


@api.route("COPY", "/{account}/{container}/{name:path}", None)
async def copy_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    target = _source(request, "destination", account)
    return await _copy(ctx, request, runtime, Path(account, container, name), target)


def _source(request: Request, header: str, account: str) -> Path:
    """Read ``container/object`` from a header, in another account if a second header says so."""
    value = unquote(request.headers.get(header, "")).lstrip("/")
    container, _, name = value.partition("/")
    if not container or not name:
        raise PreconditionFailed(f"{header.title()} header must be of the form container/object, not '{value}'.")
    other = request.headers.get("x-copy-from-account" if header == "x-copy-from" else "destination-account")
    return Path(other or account, container, name)


async def _copy(ctx: Context, request: Request, runtime: Runtime, source: Path, target: Path) -> Response:
    metadata.check_object_name(target.name)
    if request.headers.get("content-length", "0") != "0":
        raise Invalid("A copy takes no body; send Content-Length: 0.")
    reading = await runtime.db.read(_look_at_source, ctx, request, source)
    details = _copied_details(request, reading)
    await runtime.db.read(_check_copy, ctx, target, details, reading.content.size)
    if reading.row.segments is not None and details.segments is not None:
        row = await runtime.db.write(objects.put_object, target, details, Arrived(0, EMPTY.md5, None))
    else:
        blobs = blobs_of(runtime)
        sending = await blobs.open(reading.content.parts)
        try:
            row = await blobs.upload(
                (target.account, target.container, target.name),
                sending,
                lambda tx, arrived: objects.put_object(tx, target, details, arrived),
                max_bytes=LIMITS["max_file_size"],
                expected_bytes=reading.content.size,
            )
        finally:
            await sending.aclose()
    copied = quote(f"{source.container}/{source.name}")
    headers = [
        ("X-Copied-From", copied),
        ("X-Copied-From-Account", source.account),
        ("X-Copied-From-Last-Modified", http_date(reading.row.updated_at)),
    ]
    return answer(ctx, 201, [*_stored(row), *headers, *details.headers.items()])


def _look_at_source(tx: Tx, ctx: Context, request: Request, source: Path) -> Reading:
    reading = look(tx, ctx, request, source)
    if reading.not_modified:
        raise PreconditionFailed("The condition in the request's headers does not hold for the source.")
    return reading


def _check_copy(tx: Tx, ctx: Context, target: Path, details: Details, size: int) -> None:
    account, container = objects.container_at(tx, target.account, target.container)
    access.require_write(ctx, target.account, container)
    old = store.find(tx, target.account, target.container, target.name).object
    objects.check_quota(tx, account, container, old, size)


def _copied_details(request: Request, reading: Reading) -> Details:
    """Keep the source's details, overlaid with what the request gives."""
    row, headers = reading.row, request.headers
    kept = dict(metadata.object_headers(headers))
    as_manifest = dict(request.query_items()).get("multipart-manifest") == "get"
    if headers.get("x-fresh-metadata", "").lower() not in ("true", "1", "yes"):
        kept = {**row.headers, **kept}
    if not as_manifest:
        kept.pop("x-object-manifest", None)
    metadata.check_total("x-object-meta-", kept)
    content_type = headers.get("content-type") or row.content_type
    whole: dict[str, Any] = {}
    if as_manifest and row.segments is not None:
        whole = {"segments": row.segments, "size": row.size, "etag": row.etag}
    return Details(content_type, kept, objects.expiry(headers), **whole)


@api.post("/{account}/{container}/{name:path}", None)
def post_object(tx: Tx, ctx: Context, request: Request, account: str, container: str, name: str) -> Response:
    path = Path(account, container, name)
    permit(tx, ctx, request, path, write=True)
    row, delete_at = objects.object_at(tx, path), objects.expiry(request.headers)
    kept = metadata.object_headers(request.headers)
    # A POST replaces the metadata but keeps what belongs to the bytes.
    for header in ("content-encoding", "content-disposition", "x-object-manifest"):
        if header in row.headers and header not in request.headers:
            kept[header] = row.headers[header]
    row.headers, row.delete_at = kept, delete_at
    if request.headers.get("content-type"):
        row.content_type = request.headers["content-type"]
    row.updated_at = clock.now()
    return answer(ctx, 202, [])


@api.delete("/{account}/{container}/{name:path}", None)
async def delete_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    path = Path(account, container, name)
    response = await runtime.db.write(_delete, ctx, request, path)
    blobs_of(runtime).nudge()
    return response


def _delete(tx: Tx, ctx: Context, request: Request, path: Path) -> Response:
    permit(tx, ctx, request, path, write=True)
    row = objects.object_at(tx, path)
    if dict(request.query_items()).get("multipart-manifest") == "delete" and row.segments is not None:
        names = [quote(str(segment["path"])) for segment in row.segments]
        tally = delete_names(tx, ctx, path.account, [*names, quote(f"/{path.container}/{path.name}")])
        return tally.answer(ctx, request)
    objects.delete_object(tx, path)
    return answer(ctx, 204, [])
