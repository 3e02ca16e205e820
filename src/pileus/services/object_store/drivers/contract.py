"""Tests that every driver passes: subclass in tests/ and give a ``driver`` fixture."""

import hashlib
import os

import pytest

from pileus.services.object_store.drivers.base import BLOCK_BYTES, Blob, BlobNotFound, ObjectDriver

SIZES = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 17]


def blob_named(name: str, version: str = "1700000000.00001_00000001") -> Blob:
    """Name a blob for a test."""
    return Blob.of("AUTH_test", "box", name, version)


async def store(driver: ObjectDriver, blob: Blob, data: bytes, piece_bytes: int = 65536) -> None:
    """Upload and publish ``data`` in pieces."""
    upload = await driver.create(blob)
    for i in range(0, len(data), piece_bytes):
        await upload.write(data[i : i + piece_bytes])
    await upload.seal()
    await upload.publish()


async def fetch(driver: ObjectDriver, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
    """Read a range into memory."""
    download = await driver.open(blob)
    try:
        return b"".join([chunk async for chunk in download.chunks(start, length)])
    finally:
        await download.close()


async def nobody(_: Blob) -> bool:
    """Say that no row names the blob."""
    return False


async def somebody(_: Blob) -> bool:
    """Say that a row names the blob."""
    return True


class ObjectDriverContract:
    """What the API relies on."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_bytes_come_back_whole(self, driver: ObjectDriver, size: int) -> None:
        data = os.urandom(size)
        await store(driver, blob_named("whole"), data)
        assert await fetch(driver, blob_named("whole")) == data

    @pytest.mark.parametrize("piece_bytes", [7, 4096, 2 * BLOCK_BYTES])
    async def test_seal_reports_size_and_md5_for_any_size_of_pieces(
        self, driver: ObjectDriver, piece_bytes: int
    ) -> None:
        data = os.urandom(20_001)
        upload = await driver.create(blob_named("hashed"))
        for i in range(0, len(data), piece_bytes):
            await upload.write(data[i : i + piece_bytes])
        sealed = await upload.seal()
        await upload.abort()
        assert (sealed.size, sealed.md5) == (len(data), hashlib.md5(data).hexdigest())

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 1), (5, 10), (BLOCK_BYTES - 1, 2), (2 * BLOCK_BYTES, None), (0, 1 << 40)]
    )
    async def test_ranges(self, driver: ObjectDriver, start: int, length: int | None) -> None:
        data = os.urandom(2 * BLOCK_BYTES + 100)
        await store(driver, blob_named("ranged"), data)
        end = None if length is None else start + length
        assert await fetch(driver, blob_named("ranged"), start, length) == data[start:end]

    async def test_chunks_are_bounded(self, driver: ObjectDriver) -> None:
        await store(driver, blob_named("bounded"), bytes(3 * BLOCK_BYTES + 5))
        download = await driver.open(blob_named("bounded"))
        lengths = [len(chunk) async for chunk in download.chunks()]
        await download.close()
        assert max(lengths) <= BLOCK_BYTES

    async def test_a_missing_blob_is_named(self, driver: ObjectDriver) -> None:
        with pytest.raises(BlobNotFound, match=blob_named("absent").hash):
            await driver.open(blob_named("absent"))

    async def test_versions_live_side_by_side(self, driver: ObjectDriver) -> None:
        old, new = blob_named("versioned", "1.00000_a"), blob_named("versioned", "2.00000_b")
        await store(driver, old, b"old")
        await store(driver, new, b"new")
        await driver.ensure_gone(old)
        assert await fetch(driver, new) == b"new"
        with pytest.raises(BlobNotFound):
            await driver.open(old)

    async def test_ensure_gone_repeats(self, driver: ObjectDriver) -> None:
        await store(driver, blob_named("gone"), b"x")
        await driver.ensure_gone(blob_named("gone"))
        await driver.ensure_gone(blob_named("gone"))
        with pytest.raises(BlobNotFound):
            await driver.open(blob_named("gone"))

    async def test_a_reader_keeps_what_it_opened(self, driver: ObjectDriver) -> None:
        await store(driver, blob_named("held"), b"held bytes")
        download = await driver.open(blob_named("held"))
        await driver.ensure_gone(blob_named("held"))
        assert b"".join([chunk async for chunk in download.chunks()]) == b"held bytes"
        await download.close()

    async def test_abort_leaves_nothing_and_repeats(self, driver: ObjectDriver) -> None:
        upload = await driver.create(blob_named("aborted"))
        await upload.write(bytes(BLOCK_BYTES + 1))
        await upload.abort()
        await upload.abort()
        with pytest.raises(BlobNotFound):
            await driver.open(blob_named("aborted"))
        assert await driver.sweep(somebody) == await driver.sweep(nobody)

    async def test_abort_after_publish_keeps_the_object(self, driver: ObjectDriver) -> None:
        upload = await driver.create(blob_named("kept"))
        await upload.write(b"kept")
        await upload.seal()
        await upload.publish()
        await upload.publish()
        await upload.abort()
        assert await fetch(driver, blob_named("kept")) == b"kept"

    async def test_sealed_bytes_are_readable_before_they_are_published(self, driver: ObjectDriver) -> None:
        upload = await driver.create(blob_named("sealed"))
        await upload.write(b"sealed")
        await upload.seal()
        assert await fetch(driver, blob_named("sealed")) == b"sealed"
        await upload.publish()

    async def test_the_sweep_spares_living_uploads(self, driver: ObjectDriver) -> None:
        upload = await driver.create(blob_named("living"))
        await upload.write(b"alive")
        swept = await driver.sweep(nobody)
        await upload.seal()
        await upload.publish()
        assert (swept.published, swept.removed) == (0, 0)
        assert await fetch(driver, blob_named("living")) == b"alive"
