"""Orders: a key, or a pair of keys, that the cloud makes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET
from sqlalchemy import ColumnElement, Text, type_coerce

from pileus.dialects.barbican import Entity, alike, url_of, zoneless
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.operations import begin
from pileus.kernel.rest import Body
from pileus.kernel.rest.bounds import Label, Name
from pileus.kernel.rest.regular import CREATE, DELETE, LIST, SHOW, Attr, Resource
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import ORDER_CHECKS, target_of
from pileus.services.key_manager.app import payloads
from pileus.services.key_manager.model import PENDING, Order
from pileus.services.key_manager.operations.orders import ASYMMETRIC_BITS, FillOrder, add_secret
from pileus.services.key_manager.store import things

MADE_LATER = Attr(on="v", find="", source="")


class Meta(Body):
    """What is ordered; a passphrase encrypts the private key of a pair, and becomes a secret beside it."""

    algorithm: Label
    bit_length: Annotated[int, msgspec.Meta(ge=1, le=32767)]
    name: Name | None = None
    mode: Name | None = None
    expiration: Name | None = None
    payload_content_type: Name | None = None
    passphrase: Label | None = None
    pass_phrase: Label | None = None
    """The same, as python-barbicanclient calls it."""


class OrderAttributes(Entity, kw_only=True):
    type: Annotated[Literal["key", "asymmetric"], Attr(on="cv")]
    meta: Annotated[Meta, Attr(on="cv", find="")]
    creator_id: Annotated[str, Attr(on="v", find="")] = ""
    secret_ref: Annotated[str, MADE_LATER] = ""
    container_ref: Annotated[str, MADE_LATER] = ""
    error_status_code: Annotated[str, MADE_LATER] = ""
    error_reason: Annotated[str, MADE_LATER] = ""
    sub_status: Annotated[str, MADE_LATER] = ""
    sub_status_message: Annotated[str, MADE_LATER] = ""


orders = Resource(
    api, "order", "orders", OrderAttributes, Order, title="Order", verbs=(LIST, SHOW, DELETE), checks=ORDER_CHECKS,
    statuses={CREATE: 202}, visible=lambda ctx: Order.project_id == ctx.project_id,
)  # fmt: skip
orders.target(target_of)


@orders.filter("meta")
def by_meta(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    return alike("meta", type_coerce(Order.meta, Text), f"%{values[-1]}%")


@orders.related
def related(tx: Tx, ctx: Context, rows: Sequence[Order], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return what only orders have that have ended."""

    def all_of(value: Any) -> dict[str, Any]:
        return {row.id: value(row) or UNSET for row in rows}

    ended = all_of(lambda row: "" if row.status == PENDING else "Unknown")  # upstream says no more of any order
    return {
        "secret_ref": all_of(lambda row: row.secret_id and url_of(ctx, "secrets", row.secret_id)),
        "container_ref": all_of(lambda row: row.container_id and url_of(ctx, "containers", row.container_id)),
        "error_status_code": all_of(lambda row: row.error_status_code),
        "error_reason": all_of(lambda row: row.error_reason),
        "sub_status": ended,
        "sub_status_message": ended,
    }


@orders.create
def create_order(tx: Tx, ctx: Context, body: Any) -> Order:
    meta, algorithm = body.meta, body.meta.algorithm.lower()
    phrase = meta.passphrase or meta.pass_phrase
    if algorithm == "ec" and meta.bit_length not in ASYMMETRIC_BITS["ec"]:
        raise Invalid("bit_length must be a valid EC curve bit length (256, 384, or 521).")
    if algorithm != "ec" and meta.bit_length % 8:
        raise Invalid("bit_length must be a positive integer that is a multiple of 8.")
    if meta.payload_content_type and payloads.media_type(meta.payload_content_type) is None:
        raise Invalid(f"payload_content_type is not one of {', '.join(payloads.TYPES)}.")
    if phrase and body.type == "key":
        raise Invalid("A passphrase is for the private key of an asymmetric order: leave it out.")
    things.claim(tx, ctx.project_id, "orders")
    kept = {name: value for name, value in msgspec.to_builtins(meta).items() if value and "phrase" not in name}
    if expires := payloads.expiration(meta.expiration):
        kept["expiration"] = zoneless(expires)
    if meta.payload_content_type:
        kept["payload_content_type"] = payloads.media_type(meta.payload_content_type)
    row = Order(project_id=ctx.project_id, creator_id=ctx.user_id, status=PENDING, type=body.type, meta=kept)
    tx.add(row)
    tx.flush()
    passphrase = None
    if phrase:
        things.claim(tx, ctx.project_id, "secrets")
        passphrase = add_secret(tx, row, "passphrase", phrase.encode(), payloads.TEXT).id
    begin(tx, ctx, "key_manager.order", f"order/{row.id}", FillOrder(row.id, passphrase))
    return row
