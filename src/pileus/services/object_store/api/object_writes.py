"""Objects, written: put, copied, assembled from segments, changed, deleted."""

import mimetypes
from dataclasses import replace
from urllib.parse import quote, unquote

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import ApiError, Invalid, NotFound, PreconditionFailed, TooLarge
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import delete_manifest
from pileus.services.object_store.api.objects import Reading, look, wanted_ranges
from pileus.services.object_store.api.permits import Permit, permit
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.blobs import EMPTY, Arrived, blobs_of
from pileus.services.object_store.app.conditions import http_date
from pileus.services.object_store.app.manifests import Manifest, check_manifest, entries_of, read_entries
from pileus.services.object_store.app.objects import Details, Path
from pileus.services.object_store.model import LIMITS, MAX_MANIFEST_BYTES, ContainerRow, ObjectRow


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
    if request.headers.get("x-static-large-object"):
        raise Invalid("X-Static-Large-Object is set by ?multipart-manifest=put alone; send the manifest with that.")
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


def is_true(text: str) -> bool:
    """Read a header's yes or no."""
    return text.strip().lower() in ("true", "1", "yes", "on", "t", "y")


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
    if not content_type or is_true(headers.get("x-detect-content-type", "")):
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    kept = metadata.object_headers(request.method, headers)
    _check_prefix(kept)
    if_none_match = headers.get("if-none-match")
    if if_none_match is not None and if_none_match.strip() != "*":
        raise Invalid("If-None-Match of a PUT can only be *.")
    return Details(content_type, kept, objects.expiry(headers), only_new=if_none_match is not None)


def _check_prefix(kept: dict[str, str]) -> None:
    manifest = kept.get("x-object-manifest")
    if manifest is None:
        return
    container, _, prefix = manifest.strip("/").partition("/")
    if not container or not prefix or "?" in manifest or "&" in manifest or "\0" in unquote(manifest):
        raise Invalid("X-Object-Manifest must be in the format container/prefix.")
    kept["x-object-manifest"] = manifest.lstrip("/")


def _check_put(tx: Tx, ctx: Context, request: Request, path: Path, details: Details, length: int | None) -> Permit:
    """Refuse before any byte is stored what would be refused after the last."""
    allowed = permit(tx, ctx, request, path, write=True)
    found = allowed.found
    if found.account is None or found.container is None:
        raise NotFound(f"Container {path.container} of account {path.account} does not exist; create it first.")
    if details.only_new and found.object is not None and not objects.is_expired(found.object):
        raise PreconditionFailed(f"Object {path.name} exists already and If-None-Match: * was given.")
    objects.check_quota(tx, found.account, found.container, found.object, length or 0)
    return allowed


async def _put_manifest(ctx: Context, request: Request, runtime: Runtime, path: Path) -> Response:
    details = _details(request, path)
    if "x-object-manifest" in details.headers:
        raise Invalid("An object is a static or a dynamic large object: send the manifest without X-Object-Manifest.")
    allowed = await runtime.db.read(_check_put, ctx, request, path, details, 0)
    entries = read_entries(await request.read(MAX_MANIFEST_BYTES))
    manifest = await check_manifest(runtime.db, path, entries, allowed.may_read)
    given = request.headers.get("etag")
    if given is not None and given.strip('"') != manifest.etag:
        raise ApiError(f"The manifest's etag is {manifest.etag}, not {given}.", status=422)
    row = await runtime.db.write(_commit_manifest, ctx, request, path, _with_manifest(details, manifest))
    blobs_of(runtime).nudge()
    return answer(ctx, 201, _stored(row))


def _with_manifest(details: Details, manifest: Manifest) -> Details:
    return replace(
        details,
        segments=manifest.segments,
        size=manifest.size,
        etag=manifest.etag,
        leaves=manifest.leaves,
        depth=manifest.depth,
    )


def _commit_manifest(tx: Tx, ctx: Context, request: Request, path: Path, details: Details) -> ObjectRow:
    permit(tx, ctx, request, path, write=True)
    return objects.put_object(tx, path, details, Arrived(0, EMPTY.md5, None))


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
    path = Path(unquote(other) if other else account, container, name)
    metadata.check_text(str(path))
    return path


async def _copy(ctx: Context, request: Request, runtime: Runtime, source: Path, target: Path) -> Response:
    metadata.check_object_name(target.name)
    if request.headers.get("content-length", "0") != "0":
        raise Invalid("A copy takes no body; send Content-Length: 0.")
    db = runtime.db
    reading = await look(db, ctx, request, source)
    if reading.not_modified:
        raise PreconditionFailed("The condition in the request's headers does not hold for the source.")
    details = _copied_details(request, reading)
    if reading.manifest is not None:
        manifest = await _check_copied_manifest(db, ctx, reading.row, target)
        row = await db.write(_commit_copy, ctx, target, _with_manifest(details, manifest), Arrived(0, EMPTY.md5, None))
        blobs_of(runtime).nudge()
    else:
        row = await _copy_bytes(ctx, request, runtime, reading, target, details)
    headers = [
        ("X-Copied-From", quote(f"{source.container}/{source.name}")),
        ("X-Copied-From-Account", source.account),
        ("X-Copied-From-Last-Modified", http_date(reading.row.updated_at)),
    ]
    return answer(ctx, 201, [*_stored(row), *headers, *details.headers.items()])


async def _check_copied_manifest(db: Database, ctx: Context, row: ObjectRow, target: Path) -> Manifest:
    """Judge a manifest that is copied as one that is sent: by the segments of the account that it will stand in."""
    await db.read(_check_copy, ctx, target, 0)
    found = await db.read(store.find, target.account, target.container)

    def may_read(container: ContainerRow) -> None:
        access.require_read(ctx, target.account, found._replace(container=container), "", listing=False)

    return await check_manifest(db, target, entries_of(row), may_read)


async def _copy_bytes(
    ctx: Context, request: Request, runtime: Runtime, reading: Reading, target: Path, details: Details
) -> ObjectRow:
    content, blobs = reading.content, blobs_of(runtime)
    if content.size is None:
        raise TooLarge(
            "The source has more segments than a listing has; copy its segments and make a manifest of them."
        )
    ranges = wanted_ranges(request, reading)
    if ranges is not None and len(ranges) > 1:
        raise Invalid("A copy takes one range; copy the others to objects of their own.")
    wanted = ranges[0] if ranges else content.whole
    await runtime.db.read(_check_copy, ctx, target, wanted.end - wanted.start)
    sending = await blobs.open(content.parts(wanted))
    try:
        return await blobs.upload(
            (target.account, target.container, target.name),
            sending,
            lambda tx, arrived: _commit_copy(tx, ctx, target, details, arrived),
            max_bytes=LIMITS["max_file_size"],
            expected_bytes=wanted.end - wanted.start,
        )
    finally:
        await sending.aclose()


def _check_copy(tx: Tx, ctx: Context, target: Path, size: int) -> None:
    found = store.find(tx, target.account, target.container, target.name)
    access.require_write(ctx, target.account, found)
    account, container = objects.container_at(tx, target.account, target.container)
    objects.check_quota(tx, account, container, found.object, size)


def _commit_copy(tx: Tx, ctx: Context, target: Path, details: Details, arrived: Arrived) -> ObjectRow:
    access.require_write(ctx, target.account, store.find(tx, target.account, target.container))
    return objects.put_object(tx, target, details, arrived)


def _copied_details(request: Request, reading: Reading) -> Details:
    """Keep the source's details, overlaid with what the request gives."""
    row, headers = reading.row, request.headers
    kept = dict(metadata.object_headers(request.method, headers))
    as_manifest = dict(request.query_items()).get("multipart-manifest") == "get"
    if not is_true(headers.get("x-fresh-metadata", "")):
        kept = {**row.headers, **kept}
    if not as_manifest:
        kept.pop("x-object-manifest", None)
    _check_prefix(kept)
    metadata.check_total("x-object-meta-", kept)
    content_type = metadata.text_of(headers.get("content-type", ""), "Content-Type") or row.content_type
    return Details(content_type, kept, objects.expiry(headers))


@api.post("/{account}/{container}/{name:path}", None)
def post_object(tx: Tx, ctx: Context, request: Request, account: str, container: str, name: str) -> Response:
    path = Path(account, container, name)
    permit(tx, ctx, request, path, write=True)
    row, delete_at = objects.object_at(tx, path), objects.expiry(request.headers)
    kept = metadata.object_headers(request.method, request.headers)
    _check_prefix(kept)
    row.headers, row.delete_at = kept, delete_at
    if request.headers.get("content-type"):
        row.content_type = metadata.text_of(request.headers["content-type"], "Content-Type")
    row.updated_at = clock.now()
    return answer(ctx, 202, [])


@api.delete("/{account}/{container}/{name:path}", None)
async def delete_object(
    ctx: Context, request: Request, runtime: Runtime, account: str, container: str, name: str
) -> Response:
    path, query = Path(account, container, name), dict(request.query_items())
    if query.get("multipart-manifest") == "delete":
        row = await runtime.db.read(_find_to_delete, ctx, request, path)
        if row.segments is not None:
            return await delete_manifest(ctx, request, runtime, path, row)
    response = await runtime.db.write(_delete, ctx, request, path)
    blobs_of(runtime).nudge()
    return response


def _find_to_delete(tx: Tx, ctx: Context, request: Request, path: Path) -> ObjectRow:
    permit(tx, ctx, request, path, write=True)
    return objects.object_at(tx, path)


def _delete(tx: Tx, ctx: Context, request: Request, path: Path) -> Response:
    permit(tx, ctx, request, path, write=True)
    wanted = request.headers.get("x-if-delete-at")
    if wanted is not None:
        expected = objects.whole_number("X-If-Delete-At", wanted, "seconds since the epoch")
        if objects.object_at(tx, path).delete_at != expected:
            raise PreconditionFailed(f"The object does not expire at {expected}, so X-If-Delete-At does not hold.")
    if not objects.delete_object(tx, path):
        # The deletion of a missing object may have been noted, so nothing is rolled back.
        message = f"Object {path.name} does not exist in container {path.container}.\n"
        return answer(ctx, 404, [], message.encode())
    return answer(ctx, 204, [])
