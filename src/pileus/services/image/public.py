"""What other services may ask of the image service: facts about images, their bytes, new images from bytes.

The one rule: facts are read in the caller's transaction; bytes are streamed outside of any.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.services.image import store
from pileus.services.image.app import images, uploads, visibility
from pileus.services.image.model import ACTIVE, ImageRow, ImageSettings, data_of
from pileus.services.object_store import public as objects
from pileus.services.object_store.public import Sending

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

DOWNLOAD_S = 3600


@dataclass(frozen=True, slots=True)
class Image:
    """The facts about one image.  Sizes in bytes, except ``min_disk`` (GiB) and ``min_ram`` (MiB)."""

    id: str
    name: str | None
    status: str
    project_id: str | None
    visibility: str
    protected: bool
    disk_format: str | None
    container_format: str | None
    min_disk: int
    min_ram: int
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_value: str | None
    properties: Mapping[str, str]
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime

    @property
    def is_active(self) -> bool:
        """Whether servers and volumes can be made of it."""
        return self.status == ACTIVE


def get_image(tx: Tx, ctx: Context, image_id: str) -> Image:
    """Return an image that the caller sees.  Raises NotFound."""
    row = visibility.load_image(tx, ctx, image_id)
    return _facts(row, store.extras_of(tx, [row.id])[row.id])


def find_images(tx: Tx, image_ids: Iterable[str]) -> dict[str, Image]:
    """Return the images there are, by id, whoever may see them; for views that name many."""
    rows = store.images_by_id(tx, image_ids)
    extras = store.extras_of(tx, list(rows))
    return {id: _facts(row, extras[id]) for id, row in rows.items()}


def visible_images(tx: Tx, ctx: Context) -> list[Image]:
    """Return every image that the caller sees in a list, newest first."""
    statement = store.all_images(None) if ctx.is_admin else store.visible_images(ctx.project_id, None, None)
    rows = list(tx.scalars(statement.order_by(ImageRow.created_at.desc(), ImageRow.id)))
    extras = store.extras_of(tx, [row.id for row in rows])
    return [_facts(row, extras[row.id]) for row in rows]


def set_properties(tx: Tx, ctx: Context, image_id: str, properties: Mapping[str, str]) -> None:
    """Replace an image's properties.  Raises NotFound, or Forbidden when it is not the caller's."""
    row = visibility.load_image(tx, ctx, image_id)
    ctx.require(visibility.MODIFY, row)
    for name in properties:
        images.check_settable(name)
    store.set_properties(tx, row.id, properties)
    row.updated_at = clock.now()


def require_deletable(tx: Tx, ctx: Context, image_id: str) -> None:
    """Raise NotFound, or Forbidden when the caller may not delete the image."""
    ctx.require(visibility.DELETE, visibility.load_image(tx, ctx, image_id))


def create_image(
    tx: Tx,
    ctx: Context,
    runtime: "Runtime",
    *,
    name: str,
    disk_format: str,
    container_format: str = "bare",
    visibility: str = "private",
    min_disk: int = 0,
    min_ram: int = 0,
    properties: Mapping[str, str] | None = None,
    image_id: str | None = None,
) -> Image:
    """Make a queued image in the caller's project; ``upload`` fills it.  Raises as POST /v2/images does."""
    asked = {"name": name, "disk_format": disk_format, "container_format": container_format, "visibility": visibility}
    limits = {"min_disk": min_disk, "min_ram": min_ram}
    given = {"id": image_id} if image_id is not None else {}
    row = images.create_image(
        tx, ctx, {**(properties or {}), **asked, **limits, **given}, runtime.config.get(ImageSettings)
    )
    return _facts(row, store.extras_of(tx, [row.id])[row.id])


async def upload(runtime: "Runtime", ctx: Context, image_id: str, chunks: AsyncIterator[bytes]) -> Image:
    """Stream bytes into a queued image and return it, active; on any failure it is queued again.

    Raises NotFound if its owner deletes it meanwhile.
    """
    await uploads.store_bytes(runtime, ctx, image_id, chunks)
    image = (await runtime.db.read(find_images, [image_id])).get(image_id)
    if image is None:
        raise NotFound(f"Image {image_id} was deleted as soon as it had its bytes.")
    return image


async def create_image_from_stream(
    runtime: "Runtime", ctx: Context, chunks: AsyncIterator[bytes], *, name: str, disk_format: str
) -> Image:
    """Make an active image of bytes, or nothing at all when that fails."""

    def create(tx: Tx) -> Image:
        return create_image(tx, ctx, runtime, name=name, disk_format=disk_format)

    image = await runtime.db.write(create)
    try:
        return await upload(runtime, ctx, image.id, chunks)
    except BaseException:
        await runtime.db.write(delete_image, ctx, runtime, image.id)
        raise


def delete_image(tx: Tx, ctx: Context, runtime: "Runtime", image_id: str) -> None:
    """Remove an image with its bytes, if it is there.  Raises Forbidden when it is protected."""
    row = store.get_image(tx, image_id)
    if row is not None:
        images.delete_image(tx, ctx, runtime, row)


async def stream(runtime: "Runtime", image_id: str, start: int = 0, length: int | None = None) -> Sending:
    """Open an image's bytes: an async iterable of chunks; call its ``aclose`` at the end.  Raises NotFound."""
    return await objects.get(runtime, data_of(image_id), start, length)


async def data_path(runtime: "Runtime", image_id: str) -> Path | None:
    """Return the local file that holds exactly the image's bytes, or None when they are not on this machine.

    Never write to it.  Agents on this machine hard-link or copy it into their cache at once.
    """
    return await objects.data_path(runtime, data_of(image_id))


def download_url(tx: Tx, image_id: str, valid_s: int = DOWNLOAD_S) -> str:
    """Return the path and query, below the cloud's base URL, at which a host without a token may GET the bytes."""
    return objects.signed_url(tx, data_of(image_id), valid_s)


def _facts(row: ImageRow, extras: store.Extras) -> Image:
    return Image(
        row.id,
        row.name,
        row.status,
        row.project_id,
        row.visibility,
        row.protected,
        row.disk_format,
        row.container_format,
        row.min_disk,
        row.min_ram,
        row.size,
        row.virtual_size,
        row.checksum,
        row.os_hash_value,
        dict(extras.properties),
        tuple(extras.tags),
        row.created_at,
        row.updated_at,
    )
