"""Containers: named sets of objects with metadata, access lists, quotas and versioning."""

from urllib.parse import unquote

from pileus.kernel import clock, events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, PreconditionFailed
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, usage_headers
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import delete_container as remove
from pileus.services.object_store.api.listings import format_of, listing_of, object_entries, render
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.conditions import http_date
from pileus.services.object_store.app.headers import warnings
from pileus.services.object_store.model import LIMITS, POLICY, ContainerRow

VERSIONS = ("x-versions-location", "x-history-location")
OWNERS_ONLY = frozenset(
    {
        "x-container-read",
        "x-container-write",
        "x-container-meta-temp-url-key",
        "x-container-meta-temp-url-key-2",
    }
)


def _describe(tx: Tx, ctx: Context, account: str, container: ContainerRow) -> Headers:
    usage = store.container_usage(tx, container)
    shown = container.headers.items()
    if not access.owns(ctx, account):
        shown = [(name, value) for name, value in shown if name not in OWNERS_ONLY]
    return [
        *usage_headers("Container", usage.objects, usage.bytes),
        *shown,
        ("X-Timestamp", timestamp(container.created_at)),
        ("Last-Modified", http_date(container.updated_at)),
        ("Accept-Ranges", "bytes"),
        ("X-Storage-Policy", POLICY),
    ]


@api.head("/{account}/{container}", None)
def head_container(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    row = _readable(tx, ctx, request, account, container)
    return answer(ctx, 204, [*_describe(tx, ctx, account, row), ("Content-Length", "0")])


@api.get("/{account}/{container}", None)
def list_objects(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    row = _readable(tx, ctx, request, account, container)
    listing, form = listing_of(request, LIMITS["container_listing_limit"]), format_of(request)
    entries = object_entries(store.list_objects(tx, row, listing))
    return render(ctx, form, _describe(tx, ctx, account, row), "container", container, entries)


def _readable(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> ContainerRow:
    found = store.find(tx, account, container)
    access.require_read(ctx, account, found, request.headers.get("referer", ""), listing=True)
    return objects.container_at(tx, account, container)[1]


@api.put("/{account}/{container}", None)
async def put_container(ctx: Context, request: Request, runtime: Runtime, account: str, container: str) -> Response:
    if "extract-archive" in dict(request.query_items()):
        return await extract_archive(ctx, request, runtime, account, container)
    return await runtime.db.write(_put, ctx, request, account, container)


def _put(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    access.require(ctx, access.WRITE, account)
    metadata.check_container_name(container)
    if request.headers.get("x-storage-policy", POLICY).lower() != POLICY.lower():
        raise Invalid(f"Invalid X-Storage-Policy: the one policy here is {POLICY}.")
    owner = store.ensure_account(tx, account, clock.now(), access.domain_of(ctx, account))
    row = store.find(tx, account, container).container
    is_new = row is None
    if row is None:
        row = store.insert_container(tx, owner, container, clock.now())
        events.emit(tx, "object_store.container.created", container, ctx=ctx)
    _change(tx, request, account, row)
    return answer(ctx, 201 if is_new else 202, warnings(request.headers))


@api.post("/{account}/{container}", None)
def post_container(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    access.require(ctx, access.WRITE, account)
    _change(tx, request, account, objects.container_at(tx, account, container)[1])
    return answer(ctx, 204, warnings(request.headers))


@api.delete("/{account}/{container}", None)
def delete_container(tx: Tx, ctx: Context, account: str, container: str) -> Response:
    remove(tx, ctx, account, container)
    events.emit(tx, "object_store.container.deleted", container, ctx=ctx)
    return answer(ctx, 204, [])


def _change(tx: Tx, request: Request, account: str, row: ContainerRow) -> None:
    headers = dict(request.headers)
    for name in ("x-container-read", "x-container-write"):
        if name in headers:
            headers[name] = access.cleaned(name, headers[name])
    for name in ("x-container-meta-quota-bytes", "x-container-meta-quota-count"):
        if headers.get(name):
            objects.whole_number(f"Invalid container quota: {name.title()}", headers[name], "a whole number")
    changed = metadata.merged("container", row.headers, _one_mode(headers))
    for mode in VERSIONS:
        if mode in changed:
            changed[mode] = _location(row, mode, changed[mode])
    if changed != row.headers:
        row.headers = changed
        row.updated_at = clock.now()


def _one_mode(headers: dict[str, str]) -> dict[str, str]:
    """Let the way of keeping versions that a request sets take the place of the other."""
    modes = [mode for mode in VERSIONS if headers.get(mode)]
    if len(modes) == 2:
        raise Invalid("Only one of X-Versions-Location and X-History-Location may be given.")
    emptied = any(
        (mode in headers and not headers[mode]) or headers.get(mode.replace("x-", "x-remove-", 1)) for mode in VERSIONS
    )
    if not modes and not emptied:
        return headers
    # Both names are for one setting: what sets or empties it by one name empties it by the other.
    return {**headers, **{mode: headers.get(mode, "") if mode in modes else "" for mode in VERSIONS}}


def _location(row: ContainerRow, mode: str, value: str) -> str:
    location = value.strip("/")
    name = unquote(location)
    if "/" in name or not name:
        raise PreconditionFailed(f"{mode.title()} must be the name of a container, not '{value}'.")
    metadata.check_container_name(name)
    if name == row.name:
        raise Conflict(f"Container {row.name} cannot keep its own versions; name another container.")
    return location
