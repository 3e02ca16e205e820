"""How bytes become an image: hashed and inspected on their way into object storage.

The one rule: the transaction that makes the object is the one that makes the image active; a failure
before it leaves a queued image and no bytes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pileus.kernel import clock, events, ids, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.disk_formats import Inspector, UnsafeImage
from pileus.kernel.errors import ApiError, Conflict, Invalid
from pileus.services.image import store
from pileus.services.image.app.images import limits
from pileus.services.image.model import (
    ACTIVE,
    QUEUED,
    SAVING,
    UPLOADING,
    ImageRow,
    ImageSettings,
    data_of,
    staging_of,
)
from pileus.services.object_store import public as objects
from pileus.services.object_store.public import BLOCK_BYTES, Arrived

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload under way."""

    id: str
    image_id: str
    disk_format: str
    enforce: bool
    max_bytes: int


class Measure:
    """Passes bytes on; hashes a block of them on a thread while the next arrives, and inspects the format."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._sha512 = hashlib.sha512()
        self._inspector = Inspector()
        self.virtual_size: int | None = None

    @property
    def sha512(self) -> str:
        """The digest of all bytes."""
        return self._sha512.hexdigest()

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes; raise ApiError 415 as soon as they are seen to be the wrong format."""
        hashing: asyncio.Future[None] | None = None
        judged = False
        try:
            async for pieces in _blocks(chunks):
                for piece in pieces:
                    self._inspector.feed(piece)
                if self._inspector.knows_head and not judged:
                    self._check(whole=False)
                    judged = True
                if hashing is not None:
                    await asyncio.shield(hashing)
                hashing = asyncio.ensure_future(asyncio.to_thread(self._hash, pieces))
                for piece in pieces:
                    yield piece
        finally:
            if hashing is not None:
                await asyncio.wait([hashing])
        self._check(whole=True)

    def _hash(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._sha512.update(piece)

    def _check(self, *, whole: bool) -> None:
        try:
            if whole and self._upload.enforce:
                self.virtual_size = self._inspector.check(self._upload.disk_format).virtual_size
            elif whole:
                facts = self._inspector.facts()
                self.virtual_size = facts.virtual_size if facts.format == self._upload.disk_format else None
            elif self._upload.enforce:
                self._inspector.check_head(self._upload.disk_format)
        except UnsafeImage as error:
            if self._upload.enforce:
                raise ApiError(f"Image {self._upload.image_id}: {error}", status=415) from error


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Gather small pieces, uncopied, so that a thread is asked once for each block and not for each packet."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size >= BLOCK_BYTES:
            yield pieces
            pieces, size = [], 0
    if size:
        yield pieces


def begin_upload(tx: Tx, image_id: str, settings: ImageSettings, size: int | None, *, stage: bool) -> Upload:
    """Claim a queued image for one upload.  Raises Conflict, Invalid, OverQuota."""
    row = store.get_image(tx, image_id)
    if row is None:
        raise Conflict(f"Image {image_id} was deleted before its data arrived.")
    if row.status != QUEUED:
        verb = "staged" if stage else "uploaded"
        raise Conflict(f"Image data cannot be {verb}: image {row.id} is {row.status}, and it must be queued.")
    if row.container_format is None or row.disk_format is None:
        raise Invalid("Properties disk_format, container_format must be set prior to saving data.")
    max_bytes = settings.image_size_cap
    if row.project_id is not None:
        name = _limit(stage)
        named = limits(settings)
        quota.claim(tx, row.project_id, named, {"image_count_uploading": 1, name: -(-(size or 1) // MIB)})
        ceiling = quota.limits_of(tx, row.project_id, named)[name]
        if ceiling != quota.UNLIMITED:
            max_bytes = min(max_bytes, (ceiling - named[name].used(tx, row.project_id)) * MIB)
    upload = ids.new_id()
    row.status, row.upload, row.updated_at = UPLOADING if stage else SAVING, upload, clock.now()
    enforce = settings.image_format_enforcement and row.container_format == "bare"
    return Upload(upload, row.id, row.disk_format, enforce, max_bytes)


async def store_bytes(
    runtime: "Runtime", ctx: Context, image_id: str, chunks: AsyncIterator[bytes], size: int | None = None
) -> None:
    """Upload bytes into a queued image, which is active afterwards; on any failure it is queued again.

    Raises Conflict, Invalid, OverQuota, TooLarge, OutOfSpace, ApiError 415 (format) and 410 (deleted meanwhile).
    """
    settings = runtime.config.get(ImageSettings)
    upload = await runtime.db.write(begin_upload, image_id, settings, size, stage=False)
    await _put(runtime, ctx, upload, chunks, size, stage=False)


async def stage_bytes(
    runtime: "Runtime", ctx: Context, image_id: str, chunks: AsyncIterator[bytes], size: int | None = None
) -> None:
    """Keep bytes aside for an import; the image is ``uploading`` until then.  Raises as ``store_bytes``."""
    settings = runtime.config.get(ImageSettings)
    upload = await runtime.db.write(begin_upload, image_id, settings, size, stage=True)
    await _put(runtime, ctx, upload, chunks, size, stage=True)


async def _put(
    runtime: "Runtime", ctx: Context, upload: Upload, chunks: AsyncIterator[bytes], size: int | None, *, stage: bool
) -> None:
    measure = Measure(upload)

    def then(tx: Tx, arrived: Arrived) -> None:
        if size is not None and arrived.size != size:
            raise Invalid(f"The request announced {size} bytes of image data and sent {arrived.size}.")
        row = uploaded_row(tx, upload)
        if row.project_id is not None:  # once more: what arrived side by side may be too much together
            wanted = {_limit(stage): -(-arrived.size // MIB)}
            quota.claim(tx, row.project_id, limits(runtime.config.get(ImageSettings)), wanted)
        facts = {"size": arrived.size, "checksum": arrived.md5, "os_hash_value": measure.sha512}
        facts["virtual_size"] = measure.virtual_size
        if stage:
            row.staged, row.upload, row.updated_at = facts, None, clock.now()
        else:
            activate(tx, ctx, row, facts)

    try:
        path = staging_of(upload.image_id) if stage else data_of(upload.image_id)
        await objects.put(runtime, path, measure.through(chunks), then, max_bytes=upload.max_bytes)
    except BaseException:
        await runtime.db.write(give_up, upload)
        raise


def _limit(stage: bool) -> str:
    """Return which limit counts the bytes."""
    return "image_stage_total" if stage else "image_size_total"


def uploaded_row(tx: Tx, upload: Upload) -> ImageRow:
    """Return the image that an upload is for.  Raises ApiError 410 when it is gone, Conflict when it moved on."""
    row = store.get_image(tx, upload.image_id)
    if row is None:
        raise ApiError(f"Image {upload.image_id} was deleted while its data arrived.", status=410)
    if row.upload != upload.id:
        raise Conflict(f"The upload into image {upload.image_id} was given up; upload again.")
    return row


def activate(tx: Tx, ctx: Context, row: ImageRow, facts: dict[str, object]) -> None:
    """Make an image usable."""
    for name, value in facts.items():
        setattr(row, name, value)
    row.status, row.upload, row.staged, row.updated_at = ACTIVE, None, None, clock.now()
    events.emit(tx, "image.image.activated", row.id, ctx=ctx, project_id=row.project_id, name=row.name)


def give_up(tx: Tx, upload: Upload) -> None:
    """Put an image whose upload failed back to queued."""
    row = store.get_image(tx, upload.image_id)
    if row is not None and row.upload == upload.id:
        row.status, row.upload, row.updated_at = QUEUED, None, clock.now()
