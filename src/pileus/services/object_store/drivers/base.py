"""What a store of bytes promises: staged, sealed, then published; read in bounded chunks.

The one rule: bytes become an object only when a database row names their blob.  An upload is therefore
*sealed* (durable, but temporary) before the row is committed and *published* after it.  Whatever a crash
leaves between the two is temporary, and ``sweep`` either publishes it (the row exists) or removes it.
"""

import errno
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pileus.kernel.errors import OutOfSpace

BLOCK_BYTES = 1 << 20  # one hop to a disk thread moves this much; measured, see the service's README


@dataclass(frozen=True, slots=True)
class Blob:
    """One version of one object's bytes: the ring's hash of its path, and a timestamp no other version has."""

    hash: str
    version: str

    @classmethod
    def of(cls, account: str, container: str, name: str, version: str) -> "Blob":
        """Name the blob of ``/account/container/name``; MD5 as the ring's placement hash, not for security."""
        path = f"/{account}/{container}/{name}".encode("utf-8", "surrogateescape")
        return cls(hashlib.md5(path, usedforsecurity=False).hexdigest(), version)

    @classmethod
    def parse(cls, text: str) -> "Blob":
        """Read back what ``str(blob)`` wrote."""
        blob_hash, _, version = text.partition("/")
        return cls(blob_hash, version)

    def __str__(self) -> str:
        return f"{self.hash}/{self.version}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was stored: size in bytes and the MD5 that clients know as the etag."""

    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found among the temporary files."""

    published: int
    removed: int


class DeviceFull(OutOfSpace):
    """The device (or its quota) has no room for the bytes."""


class BlobNotFound(Exception):
    """No bytes are kept under this blob."""


class Upload(Protocol):
    """Bytes on their way in; exactly one of ``publish`` and ``abort`` ends it."""

    async def write(self, data: bytes) -> None:
        """Take the next bytes; waits while the device is behind.  Raises DeviceFull."""
        ...

    async def seal(self) -> Sealed:
        """Make all bytes durable under their temporary name.  Raises DeviceFull."""
        ...

    async def publish(self) -> None:
        """Give sealed bytes their final place; call after the row is committed.  Safe to repeat."""
        ...

    async def abort(self) -> None:
        """Forget the bytes, unless they were published.  Safe to repeat."""
        ...


class Download(Protocol):
    """Bytes on their way out; stays readable when the blob is removed meanwhile."""

    size: int

    def chunks(self, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield ``length`` bytes from ``start`` in chunks of at most BLOCK_BYTES."""
        ...

    async def close(self) -> None:
        """Let go of the file.  Safe to repeat."""
        ...


class ObjectDriver(Protocol):
    """A store of blobs."""

    async def create(self, blob: Blob) -> Upload:
        """Begin an upload of ``blob``.  Raises DeviceFull."""
        ...

    async def open(self, blob: Blob) -> Download:
        """Open ``blob`` for reading.  Raises BlobNotFound."""
        ...

    async def ensure_gone(self, blob: Blob) -> None:
        """Remove the bytes of ``blob``; fine when there are none."""
        ...

    async def sweep(self, is_wanted: Callable[[Blob], Awaitable[bool]]) -> Swept:
        """Settle what crashed uploads left: publish what is wanted, remove the rest, spare living uploads."""
        ...

    async def path(self, blob: Blob) -> Path | None:
        """Return the local file that holds exactly these bytes, or None where there is no such file."""
        ...

    async def close(self) -> None:
        """End the driver's threads."""
        ...


def is_full(error: OSError) -> bool:
    """Say whether the error means that the device, or the quota on it, is exhausted."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def device_full(folder: str | os.PathLike[str]) -> DeviceFull:
    """Name the full device and the remedy."""
    return DeviceFull(f"The device that holds {os.fspath(folder)} is full; free space there or add a device.")
