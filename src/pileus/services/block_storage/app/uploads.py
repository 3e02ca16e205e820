"""A volume that becomes an image."""

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.operations import begin
from pileus.kernel.runtime import Runtime
from pileus.services.block_storage import model, operations
from pileus.services.block_storage.model import Volume
from pileus.services.image import public as image_service

FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
OWN_ATTRIBUTES = frozenset(
    {"image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size"}
)


class NewImage(msgspec.Struct, kw_only=True):
    """What the image will be."""

    name: str
    disk_format: str
    container_format: str
    visibility: str
    protected: bool
    force: bool


def upload_volume(tx: Tx, ctx: Context, runtime: Runtime, volume: Volume, wanted: NewImage) -> str:
    """Begin to make an image of a volume and return the image's id; one in use needs ``force``."""
    allowed = {model.AVAILABLE, model.IN_USE} if wanted.force else {model.AVAILABLE}
    if volume.status not in allowed:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} status must be {' or '.join(sorted(allowed))} to be uploaded, but is "
            f"{volume.status}."
        )
    if wanted.disk_format not in FORMATS or wanted.container_format != "bare":
        raise Invalid(
            f"Invalid input: a volume becomes a bare image in one of the formats {', '.join(FORMATS)}, not "
            f"{wanted.container_format} {wanted.disk_format}."
        )
    kept = {name: value for name, value in (volume.image_properties or {}).items() if name not in OWN_ATTRIBUTES}
    image = image_service.create_image(
        tx,
        ctx,
        runtime,
        name=wanted.name,
        disk_format=wanted.disk_format,
        container_format=wanted.container_format,
        visibility=wanted.visibility,
        min_disk=volume.size,
        properties=kept,
    )
    send = operations.UploadVolume(
        volume_id=volume.id,
        image_id=image.id,
        format=wanted.disk_format,
        before=volume.status,
        project_id=ctx.project_id,
        user_id=ctx.user_id,
    )
    volume.previous_status, volume.status = volume.status, model.UPLOADING
    tx.flush()
    begin(tx, ctx, "volume.upload", f"volume/{volume.id}", send)
    return image.id
