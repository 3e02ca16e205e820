"""Blobs as files below device folders, laid out as the ring will want them.

``<root>/<device>/objects/<partition>/<suffix>/<hash>/<version>.data``: the partition is the top bits of
the hash, the suffix its last three digits.  The one rule: a file appears there only by a rename of a file
in ``<device>/tmp`` that is already durable, so a reader never sees half an object, and a rename that a
power failure loses is repeated by the sweep.  An upload holds a lock on its temporary file; the kernel
drops it when the process dies, and that is how the sweep tells crashed uploads from living ones.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pileus.services.object_store.drivers.base import (
    BLOCK_BYTES,
    Blob,
    BlobNotFound,
    Sealed,
    Swept,
    device_full,
    is_full,
)

PARTITION_POWER = 10
DISK_THREADS = 8
WRITE_OUT_BYTES = 8 << 20  # start writing dirty pages this often, so that the final fsync is short

T = TypeVar("T")


class DirectoryDriver:
    """Keeps blobs in one device folder; the ring will choose among several."""

    def __init__(self, root: Path, device: str = "d1") -> None:
        self.device = root / device
        self.objects = self.device / "objects"
        self.tmp = self.device / "tmp"
        for folder in (self.objects, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="object-disk")

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run blocking work on a disk thread; an exhausted device becomes DeviceFull."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except OSError as error:
            if is_full(error):
                raise device_full(self.device) from error
            raise

    async def create(self, blob: Blob) -> "DirectoryUpload":
        """Begin an upload; its file is made with the first block: a small object costs one visit to a thread."""
        return DirectoryUpload(self, blob)

    def make_temporary(self, blob: Blob) -> int:
        """Make and lock the temporary file; blocking."""
        fd = os.open(self.temporary(blob), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    async def open(self, blob: Blob) -> "DirectoryDownload":
        """Open the published file, or the sealed one whose publishing is still under way."""
        fd, size = await self.run(self._open, blob)
        return DirectoryDownload(self, fd, size)

    def _open(self, blob: Blob) -> tuple[int, int]:
        # Between commit and publish the bytes are in tmp; between the two attempts they may move.
        for path in (self.final(blob), self.temporary(blob), self.final(blob)):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            return fd, os.fstat(fd).st_size
        raise BlobNotFound(f"No bytes are kept for blob {blob} on device {self.device}.")

    async def ensure_gone(self, blob: Blob) -> None:
        """Unlink the file and the folders that it leaves empty."""
        await self.run(self._ensure_gone, blob)

    def _ensure_gone(self, blob: Blob) -> None:
        final = self.final(blob)
        self.temporary(blob).unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        folder = final.parent
        for _ in range(3):  # hash, suffix, partition
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:  # another version or object lives here: make the unlink durable and stop
                _sync_folder(folder)
                return
            folder = folder.parent
        _sync_folder(folder)

    async def sweep(self, is_wanted: Callable[[Blob], Awaitable[bool]]) -> Swept:
        """Publish or remove every temporary file whose upload died."""
        published = removed = 0
        for name in await self.run(os.listdir, self.tmp):
            blob = Blob(*name.split(".", 1)) if "." in name else Blob(name, "")
            fd = await self.run(self._lock_abandoned, self.tmp / name)
            if fd is None:
                continue
            try:
                if await is_wanted(blob):
                    await self.run(self.publish, blob)
                    published += 1
                else:
                    await self.run(_unlink, self.tmp / name)
                    removed += 1
            finally:
                os.close(fd)
        return Swept(published, removed)

    def _lock_abandoned(self, path: Path) -> int | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    async def path(self, blob: Blob) -> Path | None:
        """Return the published file."""
        final = self.final(blob)
        return final if await self.run(final.exists) else None

    async def close(self) -> None:
        """Let running disk work end, then stop the threads."""
        self._threads.shutdown(wait=False)

    def final(self, blob: Blob) -> Path:
        """Return the place of a published blob."""
        partition = int(blob.hash[:8], 16) >> (32 - PARTITION_POWER)
        return self.objects / str(partition) / blob.hash[-3:] / blob.hash / f"{blob.version}.data"

    def temporary(self, blob: Blob) -> Path:
        """Return the place of a blob that is not published yet."""
        return self.tmp / f"{blob.hash}.{blob.version}"

    def publish(self, blob: Blob) -> None:
        """Rename the temporary file to its final place; blocking."""
        final = self.final(blob)
        while True:
            try:
                final.parent.mkdir(parents=True, exist_ok=True)
                os.rename(self.temporary(blob), final)
                return
            except FileExistsError:  # mkdir's: made and removed again by our neighbours meanwhile
                continue
            except FileNotFoundError:
                if final.exists():  # published before
                    return
                if not self.temporary(blob).exists():
                    raise BlobNotFound(f"Blob {blob} cannot be published: its temporary file is gone.") from None
                # else an ensure_gone beside us removed the empty folder: make it again


class DirectoryUpload:
    """One temporary file: a block is written and hashed on threads while the next one arrives."""

    def __init__(self, driver: DirectoryDriver, blob: Blob) -> None:
        self._driver = driver
        self._blob = blob
        self._fd = -1
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._arrived: list[bytes] = []
        self._arrived_bytes = 0
        self._size = 0
        self._written_out = 0
        self._in_flight: asyncio.Future[Any] | None = None

    async def write(self, data: bytes) -> None:
        """Gather small pieces into a block; wait for the block before when a block is full."""
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        if self._arrived_bytes >= BLOCK_BYTES:
            await self._start_block()

    async def seal(self) -> Sealed:
        """Write what is left, then fsync the file and the folder that names it."""
        await self._settle()
        block = self._take_block()
        self._in_flight = asyncio.ensure_future(self._driver.run(self._finish, block))
        await self._settle()
        return Sealed(self._size, self._md5.hexdigest())

    async def publish(self) -> None:
        """Rename into place and release the lock."""
        await self._driver.run(self._driver.publish, self._blob)
        self._close()

    async def abort(self) -> None:
        """Remove the temporary file."""
        if self._in_flight is not None:
            await asyncio.wait([self._in_flight])
            self._in_flight.exception()
            self._in_flight = None
        if self._fd < 0:
            return
        await self._driver.run(_unlink, self._driver.temporary(self._blob))
        self._close()

    async def _start_block(self) -> None:
        await self._settle()
        block = self._take_block()
        self._in_flight = asyncio.gather(
            self._driver.run(self._write_block, block), self._driver.run(self._hash_block, block)
        )

    def _take_block(self) -> list[bytes]:
        block, self._arrived = self._arrived, []
        self._size += self._arrived_bytes
        self._arrived_bytes = 0
        return block

    async def _settle(self) -> None:
        if self._in_flight is not None:
            in_flight, self._in_flight = self._in_flight, None
            try:
                await asyncio.shield(in_flight)
            except asyncio.CancelledError:
                self._in_flight = in_flight  # abort() waits for it before it closes the file
                raise

    def _hash_block(self, block: list[bytes]) -> None:
        for piece in block:
            self._md5.update(piece)

    def _write_block(self, block: list[bytes]) -> None:
        if self._fd < 0:
            self._fd = self._driver.make_temporary(self._blob)
        for i in range(0, len(block), _IOV_MAX):
            _write_all(self._fd, block[i : i + _IOV_MAX])
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        if end - self._written_out >= WRITE_OUT_BYTES:
            # DONTNEED on dirty pages starts their write-back without waiting (they are not clean, so they stay).
            os.posix_fadvise(self._fd, self._written_out, end - self._written_out, os.POSIX_FADV_DONTNEED)
            self._written_out = end

    def _finish(self, block: list[bytes]) -> None:
        self._write_block(block)
        self._hash_block(block)
        os.fsync(self._fd)
        _sync_folder(self._driver.tmp)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class DirectoryDownload:
    """One open file, read a block ahead of the receiver."""

    def __init__(self, driver: DirectoryDriver, fd: int, size: int) -> None:
        self._driver = driver
        self._fd = fd
        self.size = size

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield blocks; one more is being read while the receiver takes the last."""
        end = self.size if length is None else min(self.size, start + length)
        ahead: asyncio.Future[bytes] | None = None
        try:
            while start < end:
                if ahead is None:
                    ahead = self._read(start, end)
                data = await asyncio.shield(ahead)
                if not data:
                    raise BlobNotFound(f"The file ends at byte {start}, {end - start} bytes early.")
                start += len(data)
                ahead = self._read(start, end) if start < end else None
                yield data
        finally:
            if ahead is not None:  # the receiver left: do not let close() pull the file from under a thread
                await asyncio.wait([ahead])

    def _read(self, start: int, end: int) -> "asyncio.Future[bytes]":
        return asyncio.ensure_future(self._driver.run(os.pread, self._fd, min(BLOCK_BYTES, end - start), start))

    async def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_IOV_MAX = os.sysconf("SC_IOV_MAX")


def _write_all(fd: int, pieces: list[bytes]) -> None:
    left = sum(map(len, pieces)) - os.writev(fd, pieces)
    if left:  # a short write: the device filled up or a signal came; the rest goes plainly
        rest = memoryview(b"".join(pieces))[-left:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
