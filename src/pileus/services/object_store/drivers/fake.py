"""Blobs in memory, for tests and simulation; can be told to be full."""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from pileus.services.object_store.drivers.base import BLOCK_BYTES, Blob, BlobNotFound, Sealed, Swept, device_full


class FakeDriver:
    """Keeps published and temporary blobs in two dicts; ``capacity_bytes`` bounds their sum."""

    def __init__(self, capacity_bytes: int = 1 << 62) -> None:
        self.capacity_bytes = capacity_bytes
        self.published: dict[Blob, bytes] = {}
        self.temporary: dict[Blob, bytearray] = {}
        self.living: set[Blob] = set()

    async def create(self, blob: Blob) -> "FakeUpload":
        """Begin an upload."""
        if blob in self.temporary or blob in self.published:
            raise FileExistsError(str(blob))
        self.temporary[blob] = bytearray()
        self.living.add(blob)
        return FakeUpload(self, blob)

    async def open(self, blob: Blob) -> "FakeDownload":
        """Read published or sealed bytes."""
        data = self.published.get(blob, self.temporary.get(blob))
        if data is None:
            raise BlobNotFound(f"No bytes are kept for blob {blob}.")
        return FakeDownload(bytes(data))

    async def ensure_gone(self, blob: Blob) -> None:
        """Forget the bytes."""
        self.published.pop(blob, None)
        self.temporary.pop(blob, None)

    async def sweep(self, is_wanted: Callable[[Blob], Awaitable[bool]]) -> Swept:
        """Settle what uploads that died left; ``crash`` makes all of them dead."""
        published = removed = 0
        for blob in [blob for blob in self.temporary if blob not in self.living]:
            data = self.temporary.pop(blob)
            if await is_wanted(blob):
                self.published[blob] = bytes(data)
                published += 1
            else:
                removed += 1
        return Swept(published, removed)

    async def path(self, blob: Blob) -> Path | None:
        """Have no file."""
        return None

    async def close(self) -> None:
        """Have no threads."""

    def crash(self) -> None:
        """Behave as if the process had died: uploads under way will never end."""
        self.living.clear()

    def used_bytes(self) -> int:
        """Sum all bytes kept."""
        return sum(map(len, self.published.values())) + sum(map(len, self.temporary.values()))


class FakeUpload:
    """Appends to its driver's temporary dict."""

    def __init__(self, driver: FakeDriver, blob: Blob) -> None:
        self._driver = driver
        self._blob = blob

    async def write(self, data: bytes) -> None:
        """Append, unless the capacity is reached."""
        if self._driver.used_bytes() + len(data) > self._driver.capacity_bytes:
            raise device_full("memory")
        self._driver.temporary[self._blob] += data

    async def seal(self) -> Sealed:
        """Hash what arrived."""
        data = self._driver.temporary[self._blob]
        return Sealed(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())

    async def publish(self) -> None:
        """Move to the published dict."""
        if self._blob in self._driver.temporary:
            self._driver.published[self._blob] = bytes(self._driver.temporary.pop(self._blob))
        self._driver.living.discard(self._blob)

    async def abort(self) -> None:
        """Forget what arrived."""
        if self._blob in self._driver.living:
            self._driver.temporary.pop(self._blob, None)
            self._driver.living.discard(self._blob)


class FakeDownload:
    """A snapshot of the bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield slices."""
        end = self.size if length is None else min(self.size, start + length)
        for offset in range(start, end, BLOCK_BYTES):
            yield self._data[offset : min(end, offset + BLOCK_BYTES)]

    async def close(self) -> None:
        """Hold nothing."""
