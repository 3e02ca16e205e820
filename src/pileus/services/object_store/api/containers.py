"""Containers: named sets of objects with metadata, access lists, quotas and versioning."""

from pileus.kernel import clock, events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, usage_headers
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import delete_container as remove
from pileus.services.object_store.api.listings import format_of, listing_of, object_entries, render
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.conditions import http_date
from pileus.services.object_store.model import LIMITS, POLICY, ContainerRow

OWNERS_ONLY = frozenset(
    {
        "x-container-read",
        "x-container-write",
        "x-container-sync-key",
        "x-container-sync-to",
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
    return answer(ctx, 204, _describe(tx, ctx, account, row))


@api.get("/{account}/{container}", None)
def list_objects(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    row = _readable(tx, ctx, request, account, container)
    listing, form = listing_of(request, LIMITS["container_listing_limit"]), format_of(request)
    entries = object_entries(store.list_objects(tx, row, listing))
    return render(ctx, form, _describe(tx, ctx, account, row), "container", container, entries)


def _readable(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> ContainerRow:
    found = store.find(tx, account, container).container
    access.require_read(ctx, account, found, request.headers.get("referer", ""), listing=True)
    return found if found is not None else objects.container_at(tx, account, container)[1]


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
    owner = store.ensure_account(tx, account, clock.now())
    row = store.find(tx, account, container).container
    is_new = row is None
    if row is None:
        row = store.insert_container(tx, owner, container, clock.now())
        events.emit(tx, "object_store.container.created", container, ctx=ctx)
    _change(tx, request, account, row)
    return answer(ctx, 201 if is_new else 202, [])


@api.post("/{account}/{container}", None)
def post_container(tx: Tx, ctx: Context, request: Request, account: str, container: str) -> Response:
    access.require(ctx, access.WRITE, account)
    _change(tx, request, account, objects.container_at(tx, account, container)[1])
    return answer(ctx, 204, [])


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
        if headers.get(name) and not headers[name].isdigit():
            raise Invalid(f"Invalid container quota: {name} must be a number, not '{headers[name]}'.")
    changed = metadata.merged("container", row.headers, headers, metadata.CONTAINER_HEADERS)
    modes = [name for name in ("x-versions-location", "x-history-location") if name in changed]
    if len(modes) == 2:
        raise Invalid("Only one of X-Versions-Location and X-History-Location may be given.")
    for mode in modes:
        changed[mode] = changed[mode].strip("/")
        if "/" in changed[mode]:
            raise Invalid(f"{mode} must be the name of a container, not '{changed[mode]}'.")
        if changed[mode] == row.name:
            raise Conflict(f"Container {row.name} cannot keep its own versions; name another container.")
    if changed != row.headers:
        row.headers = changed
        row.updated_at = clock.now()
