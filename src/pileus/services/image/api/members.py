"""Members: projects that a shared image is offered to; they accept or reject it."""

from typing import Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from pileus.kernel.rest import OpenBody
from pileus.kernel.rest.references import SomeProject
from pileus.services.image import store
from pileus.services.image.api.answers import api
from pileus.services.image.app import visibility as rules
from pileus.services.image.model import MAX_MEMBERS, MEMBER_STATUSES, ImageRow, MemberRow


class MemberCreate(OpenBody):
    """Whom to share with."""

    member: SomeProject


class MemberUpdate(OpenBody):
    """What the member says; openstacksdk sends the member along, which is known from the path."""

    status: str


def _view(row: MemberRow) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "member_id": row.member_id,
        "status": row.status,
        "created_at": clock.iso(row.created_at),
        "updated_at": clock.iso(row.updated_at),
        "schema": "/v2/schemas/member",
    }


def _all_seen(ctx: Context, image: ImageRow) -> bool:
    return ctx.is_admin or rules.owns(ctx, image)


def _member(tx: Tx, ctx: Context, image: ImageRow, member_id: str) -> MemberRow:
    row = store.get_member(tx, image.id, member_id)
    if row is None or not (_all_seen(ctx, image) or member_id == ctx.project_id):
        raise NotFound(f"{member_id} not found in the member list of the image {image.id}.")
    return row


def _require_shared(image: ImageRow) -> None:
    if image.visibility != "shared":
        raise Forbidden(f"Only shared images have members. Image {image.id} is {image.visibility}.")


@api.post("/images/{image}/members", rules.ADD_MEMBER)
def add_member(tx: Tx, image: ImageRow, body: MemberCreate) -> dict[str, Any]:
    _require_shared(image)
    if not 0 < len(body.member) <= 255:
        raise Invalid("Member can't be empty" if not body.member else "A member's id has at most 255 characters.")
    members = store.list_members(tx, image.id)
    if any(row.member_id == body.member for row in members):
        raise Conflict(f"Project {body.member} is a member of image {image.id} already.")
    if len(members) >= MAX_MEMBERS:
        raise TooLarge(f"An image has at most {MAX_MEMBERS} members; remove one of image {image.id} first.")
    now = clock.now()
    row = MemberRow(image_id=image.id, member_id=body.member, status="pending", created_at=now, updated_at=now)
    tx.add(row)
    tx.flush()
    return _view(row)


@api.get("/images/{image}/members", rules.GET_MEMBERS)
def list_members(tx: Tx, ctx: Context, image: ImageRow) -> dict[str, Any]:
    if image.visibility != "shared":
        raise NotFound(f"Only shared images have members. Image {image.id} is {image.visibility}.")
    rows = store.list_members(tx, image.id, None if _all_seen(ctx, image) else ctx.project_id)
    return {"members": [_view(row) for row in rows], "schema": "/v2/schemas/members"}


@api.get("/images/{image}/members/{member}", rules.GET_MEMBER)
def show_member(tx: Tx, ctx: Context, image: ImageRow, member: str) -> dict[str, Any]:
    return _view(_member(tx, ctx, image, member))


@api.put("/images/{image}/members/{member}", rules.MODIFY_MEMBER, by_handler=True)
def update_member(tx: Tx, ctx: Context, image: ImageRow, member: str, body: MemberUpdate) -> dict[str, Any]:
    row = _member(tx, ctx, image, member)
    ctx.require(rules.MODIFY_MEMBER, {"member_id": member, "project_id": image.project_id})
    if body.status not in MEMBER_STATUSES:
        raise Invalid(f"Invalid status: '{body.status}'; possible: {', '.join(MEMBER_STATUSES)}.")
    row.status, row.updated_at = body.status, clock.now()
    return _view(row)


@api.delete("/images/{image}/members/{member}", rules.DELETE_MEMBER)
def delete_member(tx: Tx, ctx: Context, image: ImageRow, member: str) -> None:
    _require_shared(image)
    tx.delete(_member(tx, ctx, image, member))
