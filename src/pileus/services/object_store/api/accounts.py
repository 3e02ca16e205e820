"""Accounts: one per project, there as soon as something is written to it."""

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, usage_headers
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import bulk_delete
from pileus.services.object_store.api.listings import container_entries, format_of, listing_of, render
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.app.headers import QUOTAS, warnings
from pileus.services.object_store.model import LIMITS, POLICY

KEYS = ("x-account-meta-temp-url-key", "x-account-meta-temp-url-key-2")
OWNERS_QUOTAS = (*QUOTAS, "x-account-meta-quota-bytes")
PIECE = 500
"""Objects or containers of a deleted account that go in one transaction."""


def _describe(tx: Tx, ctx: Context, account: str) -> Headers:
    found = store.find(tx, account).account
    if found is None:
        headers = usage_headers("Account", 0, 0, 0)
        return [*headers, ("X-Timestamp", timestamp(clock.now())), ("Accept-Ranges", "bytes")]
    usage = store.account_usage(tx, found)
    hidden = () if access.owns(ctx, account) else KEYS
    domain = [("X-Account-Project-Domain-Id", found.project_domain_id)] if found.project_domain_id else []
    return [
        *domain,
        *usage_headers("Account", usage.objects, usage.bytes, usage.containers),
        *((name, value) for name, value in found.headers.items() if name not in hidden),
        ("X-Timestamp", timestamp(found.created_at)),
        ("Accept-Ranges", "bytes"),
    ]


@api.head("/{account}", None)
def head_account(tx: Tx, ctx: Context, account: str) -> Response:
    access.require(ctx, access.READ, account)
    return answer(ctx, 204, [*_describe(tx, ctx, account), ("Content-Length", "0")])


@api.get("/{account}", None)
def list_containers(tx: Tx, ctx: Context, request: Request, account: str) -> Response:
    access.require(ctx, access.READ, account)
    listing, form = listing_of(request, LIMITS["account_listing_limit"]), format_of(request)
    found = store.find(tx, account).account
    entries = container_entries(store.list_containers(tx, found, listing)) if found else []
    return render(ctx, form, _describe(tx, ctx, account), "account", account, entries)


def _change(tx: Tx, ctx: Context, request: Request, account: str) -> None:
    _refuse_own_quota(ctx, request)
    if len(account) > LIMITS["max_account_name_length"] or not account.startswith(access.PREFIX):
        raise NotFound(f"Account {account[:80]} cannot be: its name is {access.PREFIX} and the project's id.")
    row = store.ensure_account(tx, account, clock.now(), access.domain_of(ctx, account))
    row.headers = metadata.merged("account", row.headers, request.headers)


def _refuse_own_quota(ctx: Context, request: Request) -> None:
    for quota in OWNERS_QUOTAS:
        for header in (quota, quota.replace("x-", "x-remove-", 1)):
            if header in request.headers and not ctx.allows(access.RESELL):
                access.refuse(ctx, "account quotas")
        if value := request.headers.get(quota):
            objects.whole_number(quota.title(), value, "a whole number")


@api.post("/{account}", None)
async def post_account(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    if "bulk-delete" in dict(request.query_items()):
        return await bulk_delete(ctx, request, runtime, account)
    await runtime.db.write(_post, ctx, request, account)
    return answer(ctx, 204, warnings(request.headers))


def _post(tx: Tx, ctx: Context, request: Request, account: str) -> None:
    access.require(ctx, access.WRITE, account)
    _change(tx, ctx, request, account)


@api.put("/{account}", None)
async def put_account(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    if "extract-archive" in dict(request.query_items()):
        return await extract_archive(ctx, request, runtime, account, "")
    return await runtime.db.write(_put, ctx, request, account)


def _put(tx: Tx, ctx: Context, request: Request, account: str) -> Response:
    access.require(ctx, access.RESELL, account)
    is_new = store.find(tx, account).account is None
    _change(tx, ctx, request, account)
    return answer(ctx, 201 if is_new else 202, [("X-Storage-Policy", POLICY), *warnings(request.headers)])


@api.delete("/{account}", None)
async def delete_account(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    if "bulk-delete" in dict(request.query_items()):
        return await bulk_delete(ctx, request, runtime, account)
    await runtime.db.read(_check_delete, ctx, account)
    while not await runtime.db.write(_delete_some, ctx, account):
        blobs_of(runtime).nudge()
    return answer(ctx, 204, [])


def _check_delete(tx: Tx, ctx: Context, account: str) -> None:
    access.require(ctx, access.RESELL, account)
    if store.find(tx, account).account is None:
        raise NotFound(f"Account {account} does not exist.")


def _delete_some(tx: Tx, ctx: Context, account: str) -> bool:
    found = store.find(tx, account).account
    return found is None or store.delete_some_of_account(tx, found, PIECE)
