"""Where secrets are kept, which of the stores a project prefers, and the keys under which clients may wrap payloads."""

from typing import Annotated, Any

import msgspec
from sqlalchemy import select

from pileus.dialects.barbican import Entity, page_by_offset, paged, parse, url_of, zoneless
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Request
from pileus.kernel.rest.bounds import Label, Text
from pileus.kernel.rest.regular import CREATE, DELETE, LIST, SHOW, Attr, Resource
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import ADMIN, READER, TRANSPORT_KEY_CHECKS
from pileus.services.key_manager.model import PreferredStore, SecretStore, TransportKey
from pileus.services.key_manager.store import keys

GET_ALL, GET_DEFAULT, GET_PREFERRED, GET = (
    Rule(name, READER)
    for name in ("secretstores:get", "secretstores:get_global_default", "secretstores:get_preferred", "secretstore:get")
)
PREFER, FORGET = (Rule(f"secretstore_preferred:{verb}", ADMIN) for verb in ("post", "delete"))
NOT_PREFERRED = "Not Found. No preferred secret store defined for this project."


def view(ctx: Context, row: SecretStore) -> dict[str, Any]:
    return {
        "secret_store_ref": url_of(ctx, "secret-stores", row.id),
        "name": row.name,
        "status": "ACTIVE",
        "global_default": row.global_default,
        "secret_store_plugin": "store_crypto",
        "crypto_plugin": row.crypto_plugin,
        "created": zoneless(row.created_at),
        "updated": zoneless(row.updated_at),
    }


@api.loader(SecretStore)
def load_store(tx: Tx, ctx: Context, id: str) -> SecretStore:
    row = tx.get(SecretStore, id)
    if row is None:
        raise NotFound("Not Found. Secret store not found.")
    return row


@api.get("/secret-stores", GET_ALL)
def list_stores(tx: Tx, ctx: Context) -> dict[str, Any]:
    rows = tx.scalars(select(SecretStore).order_by(SecretStore.created_at, SecretStore.id))
    return {"secret_stores": [view(ctx, row) for row in rows]}


@api.get("/secret-stores/global-default", GET_DEFAULT)
def show_default(tx: Tx, ctx: Context) -> dict[str, Any]:
    return view(ctx, keys.default_store(tx))


@api.get("/secret-stores/preferred", GET_PREFERRED)
def show_preferred(tx: Tx, ctx: Context) -> dict[str, Any]:
    preferred = tx.get(PreferredStore, ctx.project_id)
    if preferred is None:
        raise NotFound(NOT_PREFERRED)
    return view(ctx, load_store(tx, ctx, preferred.store_id))


@api.get("/secret-stores/{store}", GET)
def show_store(ctx: Context, store: SecretStore) -> dict[str, Any]:
    return view(ctx, store)


@api.post("/secret-stores/{store}/preferred", PREFER)
def prefer(tx: Tx, ctx: Context, store: SecretStore) -> None:
    tx.merge(PreferredStore(project_id=ctx.project_id, store_id=store.id))


@api.delete("/secret-stores/{store}/preferred", FORGET)
def prefer_none(tx: Tx, ctx: Context, store: SecretStore) -> None:
    preferred = tx.get(PreferredStore, ctx.project_id)
    if preferred is None or preferred.store_id != store.id:
        raise NotFound(NOT_PREFERRED)
    tx.delete(preferred)


class TransportKeyAttributes(Entity, kw_only=True):
    plugin_name: Label
    transport_key: Annotated[Text, msgspec.Meta(min_length=1), Attr(find="")]


transport_keys = Resource(
    api, "transport_key", "transport_keys", TransportKeyAttributes, TransportKey, title="Transport key",
    path="/transport_keys", verbs=(CREATE, SHOW, DELETE), checks=TRANSPORT_KEY_CHECKS,
)  # fmt: skip


@api.get("/transport_keys", transport_keys.rule(LIST))
def list_transport_keys(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    """List the references to the keys, as upstream does, which a filter by plugin narrows."""
    query = parse(request.query_items())
    found = transport_keys.dialect.conditions(transport_keys, ctx, query)
    order = [(TransportKey.created_at, False), (TransportKey.id, False)]
    rows = page_by_offset(tx, query, select(TransportKey).where(*found), order)
    return paged("transport_keys", [url_of(ctx, "transport_keys", row.id) for row in rows], query, request, ctx)
