"""Image bytes on their way between the image service and a volume's host.

One rule: a file lives in ``STATE/block_storage/images`` under the operation's own name and no longer than it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from pileus.kernel.context import seeing_as
from pileus.kernel.db import Database, Tx
from pileus.kernel.policy import Policy
from pileus.kernel.runtime import runtime_of
from pileus.services.block_storage.model import Volume
from pileus.services.image import public as image_service
from pileus.services.object_store.public import Sending

_POLICY = Policy()
BLOCK_BYTES = 1 << 20


def path_for(db: Database, name: str) -> Path:
    """Return where an operation keeps its image file; the folder is made when missing."""
    folder = runtime_of(db).config.state / "block_storage" / "images"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / name


def require_seen(tx: Tx, volume: Volume, image_id: str, *, admin: bool) -> None:
    """Raise NotFound unless who asked for a volume sees the image now: it may have been hidden since."""
    sight = seeing_as(_POLICY, project_id=volume.project_id, user_id=volume.user_id, admin=admin)
    image_service.get_image(tx, sight, image_id)


async def fetch(db: Database, image_id: str, name: str) -> str:
    """Put an image's bytes into a file and return its path: a hard link where the bytes lie on this machine.

    The link keeps them readable when the image is deleted meanwhile.
    """
    target = path_for(db, name)
    local = await image_service.data_path(runtime_of(db), image_id)
    if local is not None and await asyncio.to_thread(_link, local, target):
        return str(target)
    await _copy(db, image_id, target)
    return str(target)


def _link(source: Path, target: Path) -> bool:
    with contextlib.suppress(OSError):  # another file system, or the image was deleted: its bytes are streamed
        target.unlink(missing_ok=True)
        os.link(source, target)
        return True
    return False


async def _copy(db: Database, image_id: str, target: Path) -> None:
    await receive(await image_service.stream(runtime_of(db), image_id), target)


async def receive(chunks: Sending, target: Path) -> None:
    """Write what is being sent into a file."""
    file = await asyncio.to_thread(target.open, "wb")
    try:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
        await chunks.aclose()


async def send(db: Database, image_id: str, name: str, project_id: str, user_id: str) -> None:
    """Fill a queued image from the operation's file; nothing happens when that has been done."""
    runtime = runtime_of(db)
    known = (await db.read(image_service.find_images, [image_id])).get(image_id)
    if known is None or not known.is_active:
        ctx = runtime.internal(project_id=project_id, user_id=user_id)
        await image_service.upload(runtime, ctx, image_id, blocks(path_for(db, name)))


async def blocks(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's bytes."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
    finally:
        await asyncio.to_thread(file.close)


async def room(db: Database, name: str) -> str:
    """Return the path of the operation's file, whose folder is there."""
    return str(path_for(db, name))


async def drop(db: Database, name: str) -> None:
    """Remove the operation's file."""
    await asyncio.to_thread(path_for(db, name).unlink, missing_ok=True)


def forget_image(tx: Tx, image_id: str, project_id: str, user_id: str) -> None:
    """Delete an image that could not be filled, if it is still there."""
    runtime = runtime_of(tx)
    ctx = runtime.internal(project_id=project_id, user_id=user_id)
    image_service.delete_image(tx, ctx, runtime, image_id)
