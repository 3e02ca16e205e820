"""Accounts: one per project, there as soon as something is written to it."""

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import Headers, answer, api, timestamp, usage_headers
from pileus.services.object_store.api.archives import extract_archive
from pileus.services.object_store.api.bulk import bulk_delete
from pileus.services.object_store.api.listings import container_entries, format_of, listing_of, render
from pileus.services.object_store.app import access, metadata
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.model import LIMITS, POLICY

KEYS = ("x-account-meta-temp-url-key", "x-account-meta-temp-url-key-2")
QUOTAS = (*metadata.ACCOUNT_HEADERS, "x-account-meta-quota-bytes")


def _describe(tx: Tx, ctx: Context, account: str) -> Headers:
    found = store.find(tx, account).account
    if found is None:
        headers = usage_headers("Account", 0, 0, 0)
        return [*headers, ("X-Timestamp", timestamp(clock.now())), ("Accept-Ranges", "bytes")]
    usage = store.account_usage(tx, found)
    hidden = () if access.owns(ctx, account) else KEYS
    return [
        *usage_headers("Account", usage.objects, usage.bytes, usage.containers),
        *((name, value) for name, value in found.headers.items() if name not in hidden),
        ("X-Timestamp", timestamp(found.created_at)),
        ("Accept-Ranges", "bytes"),
    ]


@api.head("/{account}", None)
def head_account(tx: Tx, ctx: Context, account: str) -> Response:
    access.require(ctx, access.READ, account)
    return answer(ctx, 204, _describe(tx, ctx, account))


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
    row = store.ensure_account(tx, account, clock.now())
    row.headers = metadata.merged("account", row.headers, request.headers, metadata.ACCOUNT_HEADERS)


def _refuse_own_quota(ctx: Context, request: Request) -> None:
    for quota in QUOTAS:
        for header in (quota, quota.replace("x-", "x-remove-", 1)):
            if header in request.headers and not ctx.allows(access.RESELL):
                access.refuse(ctx, "account quotas")
        if request.headers.get(quota) and not request.headers[quota].isdigit():
            raise Invalid(f"{quota} must be a number, not '{request.headers[quota]}'.")


@api.post("/{account}", None)
async def post_account(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    if "bulk-delete" in dict(request.query_items()):
        return await bulk_delete(ctx, request, runtime, account)
    await runtime.db.write(_post, ctx, request, account)
    return answer(ctx, 204, [])


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
    return answer(ctx, 201 if is_new else 202, [("X-Storage-Policy", POLICY)])


@api.delete("/{account}", None)
async def delete_account(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    if "bulk-delete" in dict(request.query_items()):
        return await bulk_delete(ctx, request, runtime, account)
    await runtime.db.write(_delete, ctx, account)
    blobs_of(runtime).nudge()
    return answer(ctx, 204, [])


def _delete(tx: Tx, ctx: Context, account: str) -> None:
    access.require(ctx, access.RESELL, account)
    found = store.find(tx, account).account
    if found is None:
        raise NotFound(f"Account {account} does not exist.")
    store.delete_account(tx, found)
