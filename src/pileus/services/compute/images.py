"""What compute asks of the image service.  Rule: the only file of this service that knows its ``public.py``."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound, Unavailable
from pileus.kernel.operations import Operation
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.image import public
from pileus.services.image.public import Image

__all__ = ["Image"]

CHUNK = 1 << 20


def find(tx: Tx, ctx: Context, image_id: str) -> Image:
    """Return an image a server can be made from; raise Invalid."""
    try:
        return usable(public.get_image(tx, ctx, image_id))
    except NotFound:
        raise Invalid(f"Can not find requested image {image_id}: choose one of the list of images.") from None


def usable(image: Image) -> Image:
    """Return the image; raise Invalid unless a server can be made from it."""
    if not image.is_active:
        raise Invalid(f"Image {image.id} is not active: its status is {image.status}; upload its data first.")
    if image.disk_format in ("ami", "aki", "ari", "iso"):
        raise Invalid(f"Image {image.id} has the disk format {image.disk_format}, which cannot be a root disk here.")
    return image


def copy_of(image: Image) -> dict[str, Any]:
    """Return what a server keeps of its image."""
    return {
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "properties": dict(image.properties),
    }


def wants_config_drive(image: Image) -> bool:
    """Tell whether the image says that its guests need a config drive."""
    return image.properties.get("img_config_drive") == "mandatory"


async def ensure_on_host(op: Operation, host: str, image_id: str | None, *, step: str = "image") -> str | None:
    """Return the path of a file on the host with exactly the image's bytes; None when there is no image."""
    if image_id is None:
        return None
    return await op.step(step, _path, runtime_of(op.db), image_id)


async def path_on_host(op: Operation, image_id: str | None) -> str | None:
    """Return the same without a step of its own: for an undo."""
    return None if image_id is None else await _path(runtime_of(op.db), image_id)


async def _path(runtime: Runtime, image_id: str) -> str:
    path = await public.data_path(runtime, image_id)
    if path is not None:
        return str(path)
    if runtime.config.cloud.fake:
        return ""
    raise Unavailable(f"The bytes of image {image_id} are not on this machine; start the object store that has them.")


def create(
    tx: Tx, ctx: Context, runtime: Runtime, *, name: str, disk_format: str, min_disk: int, properties: dict[str, str]
) -> str:
    """Make a queued image in the caller's project and return its id."""
    image = public.create_image(
        tx, ctx, runtime, name=name, disk_format=disk_format, min_disk=min_disk, properties=properties
    )
    return image.id


async def upload(runtime: Runtime, ctx: Context, image_id: str, path: Path) -> None:
    """Fill a queued image with a file's bytes."""
    await public.upload(runtime, ctx, image_id, _chunks(path))


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def delete(tx: Tx, ctx: Context, runtime: Runtime, image_id: str) -> None:
    """Remove an image that could not be filled."""
    public.delete_image(tx, ctx, runtime, image_id)


def show(tx: Tx, ctx: Context, image_id: str) -> Image:
    """Return an image the caller sees; raise NotFound."""
    return public.get_image(tx, ctx, image_id)


def visible(tx: Tx, ctx: Context) -> list[Image]:
    """Return every image the caller sees."""
    return public.visible_images(tx, ctx)


def set_properties(tx: Tx, ctx: Context, image_id: str, properties: dict[str, str]) -> None:
    """Replace an image's properties; raise NotFound or Forbidden."""
    public.set_properties(tx, ctx, image_id, properties)


def require_deletable(tx: Tx, ctx: Context, image_id: str) -> None:
    """Raise NotFound or Forbidden unless the caller may delete the image."""
    public.require_deletable(tx, ctx, image_id)
