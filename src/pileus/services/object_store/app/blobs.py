"""The bytes of one cloud: the driver, uploads that end in a row, and the removal of what no row names.

The one rule: an upload ends in one database transaction that writes the object's row; bytes whose
transaction did not happen are removed, at once or by the sweep at the next start.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from pileus.kernel import clock, ids
from pileus.kernel.config import Configuration, Settings
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, TooLarge
from pileus.services.object_store import store
from pileus.services.object_store.drivers.base import Blob, BlobNotFound, Download, ObjectDriver, Sealed, Upload
from pileus.services.object_store.drivers.directory import DirectoryDriver
from pileus.services.object_store.drivers.fake import FakeDriver
from pileus.services.object_store.drivers.sparing import removing

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

log = logging.getLogger(__name__)
T = TypeVar("T")
EMPTY = Sealed(0, "d41d8cd98f00b204e9800998ecf8427e")
IDLE_S = 30.0
BATCH = 200


class ObjectStoreSettings(Settings, frozen=True):
    """Table ``[object_store]``."""

    driver: str = "directory"
    """``directory``, or ``fake`` to keep bytes in memory (tests)."""
    folder: str | None = None
    """Where device folders lie; by default ``STATE/object_store``."""
    device: str = "d1"
    """The folder below it in which the bytes lie."""
    at_root: bool = False
    """Answer ``/v1``, ``/info`` and ``/healthcheck`` too, for programs that expect a port of object storage's own."""


def folder_of(config: Configuration) -> Path:
    """Return where the device folders lie."""
    chosen = config.get(ObjectStoreSettings).folder
    return Path(chosen) if chosen else config.state / "object_store"


@dataclass(frozen=True, slots=True)
class Arrived:
    """Bytes that are durable and wait for their row."""

    size: int
    md5: str
    blob: str | None
    """None when there were no bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one blob to be sent."""

    blob: str
    start: int
    length: int


class Blobs:
    """Uploads and downloads of one cloud, and the cleaning up after them."""

    def __init__(self, runtime: "Runtime") -> None:
        settings = runtime.config.get(ObjectStoreSettings)
        folder = self._folder = folder_of(runtime.config)
        self.db = runtime.db
        self.driver: ObjectDriver
        if settings.driver == "fake":
            self.driver = FakeDriver()
        else:
            self.driver = DirectoryDriver(folder, settings.device)
        self._nudge = asyncio.Event()
        self._commits: set[asyncio.Task[object]] = set()
        self._cleaner: asyncio.Task[None] | None = None

    async def upload(
        self,
        place: tuple[str, str, str],
        chunks: AsyncIterator[bytes],
        commit: Callable[[Tx, Arrived], T],
        *,
        max_bytes: int | None = None,
        etag: str | None = None,
        expected_bytes: int | None = None,
    ) -> T:
        """Store ``chunks`` for ``(account, container, object)`` and run ``commit`` in the transaction that ends it.

        Raises TooLarge beyond ``max_bytes``, ApiError 422 when the MD5 is not ``etag``, DeviceFull, and
        whatever ``commit`` raises; then nothing is kept.
        """
        upload: Upload | None = None
        blob = Blob.of(*place, new_version())
        size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise TooLarge(f"The upload is larger than the {max_bytes} bytes that are allowed here.")
                if upload is None and chunk:
                    upload = await self.driver.create(blob)
                if upload is not None:
                    await upload.write(chunk)
            sealed = await upload.seal() if upload is not None else EMPTY
            check_complete(sealed, etag, expected_bytes)
        except BaseException:
            if upload is not None:
                await upload.abort()
            raise
        arrived = Arrived(sealed.size, sealed.md5, str(blob) if upload is not None else None)
        # A client that leaves now must not leave a row without bytes: the end runs to its end by itself.
        task = asyncio.ensure_future(self._finish(upload, commit, arrived))
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        return await asyncio.shield(task)

    async def _finish(self, upload: Upload | None, commit: Callable[[Tx, Arrived], T], arrived: Arrived) -> T:
        def work(tx: Tx) -> tuple[T, bool]:
            return commit(tx, arrived), store.has_discards(tx)

        try:
            result, discarded = await self.db.write(work)
        except BaseException:
            if upload is not None:
                await upload.abort()
            raise
        if upload is not None:
            await self._publish(upload, str(arrived.blob))
        if discarded:
            self.nudge()
        return result

    async def _publish(self, upload: Upload, blob: str) -> None:
        """Put the bytes where readers look; they may be gone if the object was replaced since its row was written."""
        try:
            await upload.publish()
        except BlobNotFound:
            await upload.abort()
            if await self.db.read(store.is_blob_named, blob):
                raise

    async def open(self, parts: AsyncIterator[Part] | list[Part]) -> "Sending":
        """Open the first part, so that what is missing is known before the answer begins.  Raises BlobNotFound.

        What finding the first part raises is raised here, what finding a later one raises in the middle of the bytes.
        """
        more = _each(parts) if isinstance(parts, list) else parts
        first = await anext(more, None)
        return Sending(self.driver, more, first, await self.driver.open(Blob.parse(first.blob)) if first else None)

    def nudge(self) -> None:
        """Let the background task look for discarded bytes soon."""
        self._nudge.set()

    async def sweep(self) -> None:
        """Settle what a crash left: publish temporary files that have a row, remove the others."""

        async def is_named(blob: Blob) -> bool:
            return await self.db.read(store.is_blob_named, str(blob))

        swept = await self.driver.sweep(is_named)
        if swept.published or swept.removed:
            log.info("swept temporary files: %d published, %d removed", swept.published, swept.removed)

    async def clean_once(self) -> int:
        """Remove expired objects and discarded bytes; return how many blobs went."""
        while await self.db.read(store.list_expired, _now_s(), 1) and await self.db.write(_expire):
            continue
        removed = 0
        while discarded := await self.db.read(store.list_discards, BATCH):
            with removing(self._folder) as allowed:
                if not allowed:  # a backup copies all bytes: later
                    break
                for blob in discarded:
                    await self.driver.ensure_gone(Blob.parse(blob))
            await self.db.write(store.delete_discards, discarded)
            removed += len(discarded)
        return removed

    async def clean_forever(self) -> None:
        """Clean whenever something was discarded, and now and then for what expired."""
        while True:
            try:
                await self.clean_once()
            except (OSError, ApiError):
                log.exception("cleaning failed; it will be tried again")
            try:
                await asyncio.wait_for(self._nudge.wait(), IDLE_S)
            except TimeoutError:
                continue
            self._nudge.clear()

    async def start(self, runtime: "Runtime") -> None:
        """Settle what a crash left before the first request, then clean in the background."""
        await self.sweep()
        self._cleaner = runtime.keep(self.clean_forever, "object_store.clean")

    async def close(self) -> None:
        """Stop cleaning, let uploads that are committing end, then the driver."""
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.wait([self._cleaner])
        if self._commits:
            await asyncio.wait(self._commits)
        await self.driver.close()


class Sending:
    """The bytes of an answer: parts one after the other, each opened when its turn comes."""

    def __init__(
        self, driver: ObjectDriver, more: AsyncIterator[Part], part: Part | None, first: Download | None
    ) -> None:
        self._driver = driver
        self._more = more
        self._part = part
        self._open = first
        self._chunks = self._run()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def _run(self) -> AsyncGenerator[bytes, None]:
        part = self._part
        while part is not None:
            if self._open is None:
                self._open = await self._driver.open(Blob.parse(part.blob))
            async with aclosing(self._open.chunks(part.start, part.length)) as chunks:
                async for chunk in chunks:
                    yield chunk
            await self._open.close()
            self._open = None
            part = await anext(self._more, None)

    async def aclose(self) -> None:
        """Let go of what is open, however far the sending came."""
        await self._chunks.aclose()
        if self._open is not None:
            await self._open.close()
            self._open = None


async def _each(parts: list[Part]) -> AsyncIterator[Part]:
    for part in parts:
        yield part


_blobs: "WeakKeyDictionary[Runtime, Blobs]" = WeakKeyDictionary()


def blobs_of(runtime: "Runtime") -> Blobs:
    """Return the cloud's bytes."""
    found = _blobs.get(runtime)
    if found is None:
        found = _blobs[runtime] = Blobs(runtime)
    return found


def new_version() -> str:
    """Return a version that no other upload has: the time, and chance for uploads of the same moment."""
    return f"{clock.now().timestamp():.5f}_{ids.random_bytes(4).hex()}"


def check_complete(sealed: Sealed, etag: str | None, expected_bytes: int | None) -> None:
    """Raise when the bytes are not those the client announced."""
    if expected_bytes is not None and sealed.size != expected_bytes:
        raise Invalid(f"The request announced {expected_bytes} bytes and sent {sealed.size}.", status=499)
    if etag is not None and etag.strip('"').lower() != sealed.md5:
        raise ApiError(f"The MD5 of the body is {sealed.md5}, not the Etag {etag}; send it again.", status=422)


def _now_s() -> int:
    return int(clock.now().timestamp())


def _expire(tx: Tx) -> bool:
    expired = store.list_expired(tx, _now_s(), BATCH)
    for row in expired:
        store.delete_object(tx, row)
    return len(expired) == BATCH
