"""What an image says of the volume made from it."""

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.image import public as image_service
from pileus.services.image.public import Image

GIB = 1 << 30


class ImageFacts(msgspec.Struct, frozen=True):
    """The smallest volume that holds the image, and the properties the volume inherits."""

    least_gib: int
    format: str
    properties: dict[str, str]


def get_image(tx: Tx, ctx: Context, image_id: str) -> ImageFacts:
    """Return what matters of an image; raise NotFound, or Invalid when no volume can be made of it."""
    image = image_service.get_image(tx, ctx, image_id)
    if not image.is_active:
        raise Invalid(f"Invalid input: Image {image_id} is {image.status}; a volume is made from an active one.")
    if image.container_format not in ("bare", None):
        raise Invalid(
            f"Invalid input: Image {image_id} is in a container ({image.container_format}): only a bare one will do."
        )
    bytes_needed = max(image.virtual_size or 0, image.size or 0)
    return ImageFacts(max(image.min_disk, -(-bytes_needed // GIB)), image.disk_format or "raw", _inherited(image))


def _inherited(image: Image) -> dict[str, str]:
    """Return ``volume_image_metadata``: the image's own attributes and its properties, all as text."""
    own = {
        "image_id": image.id,
        "image_name": image.name,
        "checksum": image.checksum,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
    }
    return {**image.properties, **{name: str(value) for name, value in own.items() if value is not None}}
