"""Make an image of a volume."""

import msgspec

from pileus.kernel import clock, events
from pileus.kernel.db import Tx
from pileus.kernel.operations import Operation, operation
from pileus.services.block_storage import commands, model
from pileus.services.block_storage.operations import images
from pileus.services.block_storage.operations.volumes import find_place
from pileus.services.block_storage.store import messages, volumes


class UploadVolume(msgspec.Struct, frozen=True):
    """``before`` is the status the volume goes back to, whatever becomes of the image."""

    volume_id: str
    image_id: str
    format: str
    before: str
    project_id: str
    user_id: str


def _not_uploaded(tx: Tx, input: UploadVolume, reason: str) -> None:
    images.forget_image(tx, input.image_id, input.project_id, input.user_id)
    volume = volumes.get_volume(tx, input.volume_id)
    if volume is None:
        return
    messages.add_message(
        tx,
        project_id=volume.project_id,
        request_id=None,
        resource_type="VOLUME",
        resource_id=volume.id,
        action="VOLUME_004",
        text=f"copy volume to image: {reason}",
    )
    _back(tx, input.volume_id, input.before)


def _back(tx: Tx, volume_id: str, before: str) -> None:
    volume = volumes.get_volume(tx, volume_id)
    if volume is not None and volume.status == model.UPLOADING:
        volume.status = volumes.status_again(tx, volume, before)
        volume.updated_at = clock.now()
        events.emit(tx, "block_storage.volume.updated", volume_id, project_id=volume.project_id)


@operation("volume.upload", input=UploadVolume, deadline_s=7200, on_failure=_not_uploaded)
async def upload_volume(op: Operation, input: UploadVolume) -> None:
    """Write the volume into a file, stream it into the image, remove the file."""
    place = await op.commit("find place", find_place, input.volume_id)
    path = await op.step("make room", images.room, op.db, op.id, undo=images.drop)
    await op.command(
        "write",
        place.host,
        commands.WriteImage(volume_id=input.volume_id, path=path, format=input.format, monitor=place.monitor),
    )
    await op.step("send", images.send, op.db, input.image_id, op.id, input.project_id, input.user_id)
    await op.step("clean up", images.drop, op.db, op.id)
    await op.finish(_back, input.volume_id, input.before)
