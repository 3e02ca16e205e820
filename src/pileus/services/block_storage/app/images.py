"""What an image says of the volume made from it."""

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unavailable


class ImageFacts(msgspec.Struct, frozen=True):
    """The smallest volume that holds the image, and the properties the volume inherits."""

    least_gib: int
    properties: dict[str, str]


def get_image(tx: Tx, ctx: Context, image_id: str) -> ImageFacts:
    """Return what matters of an image; raise Unavailable while this cloud has no image service."""
    raise Unavailable(f"Image {image_id} cannot be read: the image service is not part of this cloud yet.")
