"""Making an image of a server's root disk, as it is at one moment."""

import asyncio
from pathlib import Path

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.operations import Operation, operation
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.compute import images
from pileus.services.compute.acting import acting_for
from pileus.services.compute.commands import SnapshotGuestDisk
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.lifecycle import CREATE_IMAGE
from pileus.services.compute.wanted import ImageInput


def image_failed(tx: Tx, input: ImageInput, reason: str) -> None:
    """The server is as it was; the image is gone."""
    fail(tx, CREATE_IMAGE, input.server_id, reason)


@operation("server.create_image", input=ImageInput, deadline_s=3600, on_failure=image_failed, queues=True)
async def create_image(op: Operation, input: ImageInput) -> None:
    """Have the host copy the disk to a file, and fill the image from it."""
    runtime = runtime_of(op.db)
    ctx = acting_for(op.project_id, op.user_id)
    path = snapshot_path(runtime, input.image_id)
    await op.step("image", _keep, runtime, ctx, input.image_id, undo=_drop)
    await op.step("folder", _make_folder, path, undo=_remove)
    await op.command(
        "snapshot", input.host, SnapshotGuestDisk(guest_id=input.server_id, disk_id="root", path=str(path))
    )
    await op.step("upload", images.upload, runtime, ctx, input.image_id, path)
    await op.step("clean", _remove, path)
    await op.finish(imaged, input)


def snapshot_path(runtime: Runtime, image_id: str) -> Path:
    """Return where a host puts the copy of a disk until it has been uploaded."""
    return runtime.config.state / "compute" / "snapshots" / f"{image_id}.qcow2"


async def _keep(runtime: Runtime, ctx: Context, image_id: str) -> None:
    """Do nothing: the request has made the image; this step exists for its undo."""


async def _drop(runtime: Runtime, ctx: Context, image_id: str) -> None:
    await runtime.db.write(images.delete, ctx, runtime, image_id)


async def _make_folder(path: Path) -> None:
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)


async def _remove(path: Path) -> None:
    await asyncio.to_thread(path.unlink, missing_ok=True)


def imaged(tx: Tx, input: ImageInput) -> None:
    """The server goes on."""
    finish(tx, CREATE_IMAGE, input.server_id)
