"""Key pairs: the public keys that guests shall trust.  Rule: a private key is shown once and never kept."""

import asyncio
import functools
import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pileus.kernel import clock
from pileus.kernel.clock import iso_micro
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.rest import Body, InTransaction, Page, Query, Response, View, json_response, page, since
from pileus.kernel.rest.references import SomeUser
from pileus.services.compute import keys
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.limits import claim_key_pair
from pileus.services.compute.model import KeyPair
from pileus.services.compute.store import catalog

NAME = r"^[a-zA-Z0-9 _-]+\Z"
NAME_SINCE_2_92 = r"^[a-zA-Z0-9 ._@-]+\Z"
_Name = Annotated[str, Meta(min_length=1, max_length=255)]


class KeyPairCreate(Body, kw_only=True):
    name: _Name
    public_key: Annotated[str, Meta(max_length=16384)] | None = None
    type: Annotated[str, since("2.2")] = "ssh"
    user_id: Annotated[SomeUser | None, since("2.10")] = None


class KeyPairView(View, kw_only=True):
    """A key pair as it is shown and listed; lists leave out what only the page of one key pair shows."""

    name: str
    public_key: str
    fingerprint: str
    type: Annotated[str, since("2.2")]
    user_id: str | UnsetType = UNSET
    private_key: str | UnsetType = UNSET
    id: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: UnsetType | None = UNSET
    deleted_at: UnsetType | None = UNSET


class NewPair(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair about to be kept; its public key stands as it was sent, to its last line break."""

    user_id: str
    name: str
    fingerprint: str
    public_key: str
    type: str


class Wrapped(View, kw_only=True):
    keypair: KeyPairView


class KeyPairQuery(Query, kw_only=True):
    strict_since = "2.75"

    user_id: SomeUser | None = None
    limit: int | None = None
    marker: str | None = None


def _owner(ctx: Context, user_id: str | None) -> str:
    """Return whose key pairs are meant: the caller's, or since 2.10 those of the user named."""
    return user_id if user_id and ctx.version >= (2, 10) else ctx.user_id


def _view(pair: KeyPair) -> KeyPairView:
    return KeyPairView(name=pair.name, public_key=pair.public_key, fingerprint=pair.fingerprint, type=pair.type)


def _find(tx: Tx, owner: str, name: str) -> KeyPair:
    pair = catalog.get_key_pair(tx, owner, name)
    if pair is None:
        raise NotFound(f"Keypair {name} not found for user {owner}.")
    return pair


@api.get("/os-keypairs", rules.KEYS_INDEX, wrap="keypairs", until="2.34", by_handler=True)
def list_all(tx: Tx, ctx: Context, query: KeyPairQuery) -> list[Wrapped]:
    owner = _owner(ctx, query.user_id)
    ctx.require(rules.KEYS_INDEX, {"user_id": owner})
    pairs = tx.scalars(catalog.key_pairs_of(owner).order_by(KeyPair.name))
    return [Wrapped(keypair=_view(pair)) for pair in pairs]


@api.get("/os-keypairs", rules.KEYS_INDEX, wrap="keypairs", since="2.35", by_handler=True)
def list_paged(tx: Tx, ctx: Context, query: KeyPairQuery) -> Page:
    owner = _owner(ctx, query.user_id)
    ctx.require(rules.KEYS_INDEX, {"user_id": owner})
    statement, order = catalog.key_pairs_of(owner), [(KeyPair.name, False)]
    pairs, marker = page(
        tx, statement, KeyPair, order=order, limit=query.limit, marker=query.marker, id_column=KeyPair.name
    )
    return Page([Wrapped(keypair=_view(pair)) for pair in pairs], marker)


@api.post("/os-keypairs", rules.KEYS_CREATE, wrap="keypair", by_handler=True)
async def create(ctx: Context, body: KeyPairCreate) -> InTransaction[Response]:
    owner = _owner(ctx, body.user_id)
    ctx.require(rules.KEYS_CREATE, {"user_id": owner})
    _check(ctx, body)
    public, private = body.public_key or "", None
    if body.public_key is None:
        generate = keys.generate_ssh if body.type == "ssh" else functools.partial(keys.generate_certificate, owner)
        public, private = await asyncio.to_thread(generate)
    mark = keys.certificate_fingerprint(public) if body.type == "x509" else keys.ssh_fingerprint(public)
    new = NewPair(user_id=owner, name=body.name, fingerprint=mark, public_key=public, type=body.type)
    return InTransaction(lambda tx: _create(tx, ctx, new, private))


def _create(tx: Tx, ctx: Context, new: NewPair, private: str | None) -> Response:
    owner = new.user_id
    if catalog.get_key_pair(tx, owner, new.name) is not None:
        raise Conflict(f"Key pair '{new.name}' already exists.")
    claim_key_pair(tx, ctx.project_id, owner)
    pair = KeyPair(**msgspec.structs.asdict(new), created_at=clock.now())
    tx.add(pair)
    tx.flush()
    view = _view(pair)
    view.user_id, view.private_key = owner, UNSET if private is None else private
    if ctx.version < (2, 2):
        view.type = UNSET  # type: ignore[assignment]
    return json_response({"keypair": view}, 200 if ctx.version < (2, 2) else 201)


def _check(ctx: Context, body: KeyPairCreate) -> None:
    pattern = NAME if ctx.version < (2, 92) else NAME_SINCE_2_92
    if not re.match(pattern, body.name) or body.name != body.name.strip():
        raise Invalid(f"Invalid input for name: '{body.name}' may hold letters, digits, spaces, '-' and '_' only.")
    if body.type not in ("ssh", "x509"):
        raise Invalid(f"Invalid input for type: '{body.type}' is not one of ssh, x509.")
    if body.public_key is None and ctx.version >= (2, 92):
        raise Invalid("Invalid input for keypair: since version 2.92 the 'public_key' must be sent.")


@api.get("/os-keypairs/{id}", rules.KEYS_SHOW, wrap="keypair", by_handler=True)
def show(tx: Tx, ctx: Context, id: str, query: KeyPairQuery) -> KeyPairView:
    owner = _owner(ctx, query.user_id)
    ctx.require(rules.KEYS_SHOW, {"user_id": owner})
    pair = _find(tx, owner, id)
    view = _view(pair)
    view.user_id, view.id, view.deleted = owner, pair.id, False
    view.created_at, view.updated_at, view.deleted_at = iso_micro(pair.created_at), None, None
    return view


def _delete(tx: Tx, ctx: Context, id: str, query: KeyPairQuery) -> None:
    owner = _owner(ctx, query.user_id)
    ctx.require(rules.KEYS_DELETE, {"user_id": owner})
    tx.delete(_find(tx, owner, id))


@api.delete("/os-keypairs/{id}", rules.KEYS_DELETE, status=202, until="2.1", by_handler=True)
def delete_before_2_2(tx: Tx, ctx: Context, id: str, query: KeyPairQuery) -> None:
    _delete(tx, ctx, id, query)


@api.delete("/os-keypairs/{id}", rules.KEYS_DELETE, status=204, since="2.2", by_handler=True)
def delete(tx: Tx, ctx: Context, id: str, query: KeyPairQuery) -> None:
    _delete(tx, ctx, id, query)
