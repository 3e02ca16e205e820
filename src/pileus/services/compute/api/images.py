"""Images as old clients of Compute see them, up to 2.35; the image service has the images themselves."""

from typing import Any

from msgspec import UNSET, UnsetType, field

from pileus.kernel.clock import iso
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Page, Query, View, page_size
from pileus.kernel.rest.references import SomeServer
from pileus.kernel.runtime import Runtime
from pileus.services.compute import images
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, links
from pileus.services.compute.api.server_bodies import Metadata
from pileus.services.compute.images import Image

LAST = "2.35"
LAST_METADATA = "2.38"
PATH = "/images/{image}"
META = PATH + "/metadata"
STATUS = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "importing": "SAVING",
    "uploading": "SAVING",
    "deleted": "DELETED",
    "killed": "ERROR",
}
PROGRESS = {"ACTIVE": 100, "SAVING": 50}


class ImageView(View, kw_only=True):
    id: str
    name: str | None
    links: list[dict[str, str]]
    status: str
    created: str
    updated: str
    progress: int
    minDisk: int
    minRam: int
    metadata: dict[str, str]
    size: int | None = field(name="OS-EXT-IMG-SIZE:size")
    server: dict[str, Any] | UnsetType = UNSET


class ImageQuery(Query, kw_only=True):
    limit: int | None = None
    marker: str | None = None
    name: str | None = None
    status: str | None = None
    server: SomeServer | None = None
    type: str | None = None
    changes_since: str | None = field(name="changes-since", default=None)


def _links(ctx: Context, image: Image) -> list[dict[str, str]]:
    alternate = f"{ctx.base_url}/image/v2/images/{image.id}"
    return [
        *links(ctx, "images", image.id),
        {"rel": "alternate", "type": "application/vnd.openstack.image", "href": alternate},
    ]


def _view(ctx: Context, image: Image) -> ImageView:
    status = STATUS.get(image.status, "UNKNOWN")
    server_id = image.properties.get("instance_uuid")
    server = {"id": server_id, "links": links(ctx, "servers", server_id)} if server_id else UNSET
    return ImageView(
        id=image.id,
        name=image.name,
        links=_links(ctx, image),
        status=status,
        created=iso(image.created_at),
        updated=iso(image.updated_at),
        progress=PROGRESS.get(status, 0),
        minDisk=image.min_disk,
        minRam=image.min_ram,
        metadata=dict(image.properties),
        size=image.size,
        server=server,
    )


def _listed(tx: Tx, ctx: Context, query: ImageQuery) -> tuple[list[Image], str | None]:
    if query.limit is not None and query.limit < 0:
        raise Invalid(f"limit must be zero or more, not {query.limit}.")
    found = [image for image in images.visible(tx, ctx) if _wanted(image, query)]
    if query.marker is not None:
        at = next((n for n, image in enumerate(found) if image.id == query.marker), None)
        if at is None:
            raise Invalid(f"marker [{query.marker}] not found: it must be the id of an image.")
        found = found[at + 1 :]
    size = page_size(tx, query.limit)
    return found[:size], found[size - 1].id if 0 < size < len(found) else None


def _wanted(image: Image, query: ImageQuery) -> bool:
    server = query.server.rpartition("/")[2] if query.server else None
    return (
        query.name in (None, image.name)
        and (query.status is None or STATUS.get(image.status) == query.status.upper())
        and server in (None, image.properties.get("instance_uuid"))
        and query.type in (None, image.properties.get("image_type", "base"))
        and (query.changes_since is None or iso(image.updated_at) >= query.changes_since[:19])
    )


@api.get("/images", rules.IMAGES, wrap="images", until=LAST)
def index(tx: Tx, ctx: Context, query: ImageQuery) -> Page:
    found, marker = _listed(tx, ctx, query)
    return Page([{"id": i.id, "name": i.name, "links": _links(ctx, i)} for i in found], marker)


@api.get("/images/detail", rules.IMAGES, wrap="images", until=LAST)
def detail(tx: Tx, ctx: Context, query: ImageQuery) -> Page:
    found, marker = _listed(tx, ctx, query)
    return Page([_view(ctx, image) for image in found], marker)


@api.get(PATH, rules.IMAGES, wrap="image", until=LAST)
def show(tx: Tx, ctx: Context, image: str) -> ImageView:
    return _view(ctx, _find(tx, ctx, image))


def _find(tx: Tx, ctx: Context, image_id: str) -> Image:
    try:
        return images.show(tx, ctx, image_id)
    except NotFound:
        raise NotFound(f"Image {image_id} could not be found.") from None


@api.delete(PATH, rules.IMAGES, until=LAST)
def delete(tx: Tx, ctx: Context, image: str, runtime: Runtime) -> None:
    _find(tx, ctx, image)
    images.require_deletable(tx, ctx, image)
    images.delete(tx, ctx, runtime, image)


@api.get(META, rules.IMAGES, wrap="metadata", until=LAST_METADATA)
def list_metadata(tx: Tx, ctx: Context, image: str) -> dict[str, str]:
    return dict(_find(tx, ctx, image).properties)


def _save(tx: Tx, ctx: Context, image: str, properties: dict[str, str]) -> dict[str, str]:
    images.set_properties(tx, ctx, image, properties)
    return properties


@api.post(META, rules.IMAGES, wrap="metadata", status=200, until=LAST_METADATA)
def add_metadata(tx: Tx, ctx: Context, image: str, body: Metadata) -> dict[str, str]:
    return _save(tx, ctx, image, {**_find(tx, ctx, image).properties, **body})


@api.put(META, rules.IMAGES, wrap="metadata", until=LAST_METADATA)
def replace_metadata(tx: Tx, ctx: Context, image: str, body: Metadata) -> dict[str, str]:
    _find(tx, ctx, image)
    return _save(tx, ctx, image, body)


def _item(image: Image, key: str) -> str:
    if key not in image.properties:
        raise NotFound(f"Metadata item was not found: image {image.id} has no key {key}.")
    return image.properties[key]


@api.get(META + "/{key}", rules.IMAGES, wrap="meta", until=LAST_METADATA)
def show_item(tx: Tx, ctx: Context, image: str, key: str) -> dict[str, str]:
    return {key: _item(_find(tx, ctx, image), key)}


@api.put(META + "/{key}", rules.IMAGES, wrap="meta", until=LAST_METADATA)
def put_item(tx: Tx, ctx: Context, image: str, key: str, body: Metadata) -> dict[str, str]:
    if set(body) != {key}:
        raise Invalid(f"Request body and URI mismatch: the body must hold exactly the key {key}.")
    _save(tx, ctx, image, {**_find(tx, ctx, image).properties, **body})
    return body


@api.delete(META + "/{key}", rules.IMAGES, until=LAST_METADATA)
def delete_item(tx: Tx, ctx: Context, image: str, key: str) -> None:
    found = _find(tx, ctx, image)
    _item(found, key)
    _save(tx, ctx, image, {name: value for name, value in found.properties.items() if name != key})
