"""Images: created, listed, shown, patched, deleted; tags; deactivation."""

from typing import Annotated, Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Invalid, NotFound, TooLarge
from pileus.kernel.rest import Page, Request, Response, at_most, json_response
from pileus.kernel.rest.paging import page
from pileus.kernel.runtime import Runtime
from pileus.services.image import store
from pileus.services.image.api.answers import api
from pileus.services.image.api.filters import conditions_of, order_of, selection_of, visible_to
from pileus.services.image.app import images, patches
from pileus.services.image.app import visibility as rules
from pileus.services.image.app.imports import METHODS
from pileus.services.image.model import ACTIVE, DEACTIVATED, MAX_TAGS, STORE, ImageRow, ImageSettings

DEFAULT_LIMIT = 25


@api.post("/images", rules.ADD, status=201, by_handler=True)
def create_image(
    tx: Tx, ctx: Context, body: Annotated[dict[str, Any], at_most(300)], settings: ImageSettings
) -> Response:
    row = images.create_image(tx, ctx, body, settings)
    headers = [
        ("Location", f"{ctx.base_url}/image/v2/images/{row.id}"),
        ("OpenStack-image-import-methods", ",".join(METHODS)),
        ("OpenStack-image-store-ids", STORE),
    ]
    return json_response(images.describe_one(tx, row), 201, headers)


@api.get("/images", rules.LIST, wrap="images")
def list_images(tx: Tx, ctx: Context, request: Request) -> Page:
    query = request.query_items()
    statement = selection_of(ctx, dict(query)).where(*conditions_of(query))
    given = dict(query)
    limit = given.get("limit")
    if limit is not None and not (limit.isdecimal() and len(limit) < 19):
        raise Invalid(f"limit must be a number of images, not '{limit}'.")
    size = DEFAULT_LIMIT if limit is None else int(limit)
    if size == 0:
        return Page([])
    marker, seen = given.get("marker"), visible_to(ctx)
    rows, marker = page(tx, statement, ImageRow, order=order_of(query), limit=size, marker=marker, seen=seen)
    extras = store.extras_of(tx, [row.id for row in rows])
    return Page([images.describe(row, extras[row.id]) for row in rows], marker)


@api.get("/images/{image}", rules.GET)
def show_image(tx: Tx, image: ImageRow) -> dict[str, Any]:
    return images.describe_one(tx, image)


@api.patch("/images/{image}", rules.MODIFY)
def update_image(tx: Tx, ctx: Context, request: Request, image: ImageRow, body: Any) -> dict[str, Any]:
    newer = patches.check_media_type(request.headers.get("content-type", ""))
    patches.update_image(tx, ctx, image, body, newer=newer)
    return images.describe_one(tx, image)


@api.delete("/images/{image}", rules.DELETE)
def delete_image(tx: Tx, ctx: Context, runtime: Runtime, image: ImageRow) -> None:
    images.delete_image(tx, ctx, runtime, image)


@api.put("/images/{image}/tags/{tag}", rules.MODIFY)
def put_tag(tx: Tx, image: ImageRow, tag: str) -> None:
    if not 0 < len(tag) <= 255:
        raise Invalid("A tag has 1 to 255 characters.")
    tags = store.extras_of(tx, [image.id])[image.id].tags
    if tag not in tags:
        if len(tags) >= MAX_TAGS:
            raise TooLarge(f"An image has at most {MAX_TAGS} tags; remove one of image {image.id} first.")
        store.set_tags(tx, image.id, [*tags, tag])
        image.updated_at = clock.now()


@api.delete("/images/{image}/tags/{tag}", rules.MODIFY)
def delete_tag(tx: Tx, image: ImageRow, tag: str) -> None:
    row = store.get_tag(tx, image.id, tag)
    if row is None:
        raise NotFound(f"Image {image.id} has no tag '{tag}'.")
    tx.delete(row)
    image.updated_at = clock.now()


@api.post("/images/{image}/actions/deactivate", rules.DEACTIVATE)
def deactivate_image(tx: Tx, image: ImageRow) -> None:
    _switch(image, ACTIVE, DEACTIVATED)


@api.post("/images/{image}/actions/reactivate", rules.REACTIVATE)
def reactivate_image(tx: Tx, image: ImageRow) -> None:
    _switch(image, DEACTIVATED, ACTIVE)


def _switch(image: ImageRow, before: str, after: str) -> None:
    if image.status not in (before, after):
        raise Forbidden(f"Not allowed to make image {image.id} {after}: it is {image.status}, and must be {before}.")
    if image.status != after:
        image.status, image.updated_at = after, clock.now()
