"""The drivers of object storage: the shared contract, and what is particular to each."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pileus.services.object_store.drivers.base import BLOCK_BYTES, Blob, BlobNotFound, DeviceFull
from pileus.services.object_store.drivers.contract import (
    ObjectDriverContract,
    blob_named,
    fetch,
    nobody,
    store,
)
from pileus.services.object_store.drivers.directory import DirectoryDriver
from pileus.services.object_store.drivers.fake import FakeDriver


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def small_device(tmp_path: Path) -> Iterator[Path]:
    device = tmp_path / "small"
    device.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "pileus-test", device]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield device
    subprocess.run(["umount", device], check=True)


class TestFake(ObjectDriverContract):
    @pytest.fixture
    def driver(self) -> FakeDriver:
        return FakeDriver()

    async def test_a_full_device_is_named(self) -> None:
        upload = await FakeDriver(capacity_bytes=10).create(blob_named("big"))
        with pytest.raises(DeviceFull, match="free space"):
            await upload.write(bytes(11))


class TestDirectory(ObjectDriverContract):
    @pytest.fixture
    async def driver(self, tmp_path: Path) -> AsyncIterator[DirectoryDriver]:
        driver = DirectoryDriver(tmp_path)
        yield driver
        await driver.close()

    async def test_the_layout_is_the_rings(self, driver: DirectoryDriver) -> None:
        blob = Blob("ffc00000aaaabbbbccccddddeeee1abc", "1700000000.12345_0000cafe")
        await store(driver, blob, b"x")
        path = await driver.path(blob)
        assert path is not None
        assert path.relative_to(driver.device).parts == (
            "objects",
            "1023",
            "abc",
            blob.hash,
            "1700000000.12345_0000cafe.data",
        )
        assert path.read_bytes() == b"x"

    async def test_ensure_gone_leaves_no_folders(self, driver: DirectoryDriver) -> None:
        await store(driver, blob_named("lonely"), b"x")
        await driver.ensure_gone(blob_named("lonely"))
        assert list(driver.objects.iterdir()) == []

    async def test_publishing_survives_a_neighbour_that_empties_the_folder(self, driver: DirectoryDriver) -> None:
        for round_number in range(20):
            old, new = blob_named("busy", f"{round_number}_a"), blob_named("busy", f"{round_number}_b")
            await store(driver, old, b"old")
            upload = await driver.create(new)
            await upload.write(b"new")
            await upload.seal()
            await asyncio.gather(driver.ensure_gone(old), upload.publish())
            assert await fetch(driver, new) == b"new"
            await driver.ensure_gone(new)

    async def test_the_sweep_after_a_kill_publishes_what_has_a_row_and_removes_the_rest(
        self, driver: DirectoryDriver, tmp_path: Path
    ) -> None:
        killed_uploads(tmp_path, ["committed", "lost"])
        committed = blob_named("committed")

        async def is_wanted(blob: Blob) -> bool:
            return blob == committed

        swept = await driver.sweep(is_wanted)
        assert (swept.published, swept.removed) == (1, 1)
        assert await fetch(driver, committed) == b"from a process that died"
        with pytest.raises(BlobNotFound):
            await driver.open(blob_named("lost"))
        assert files_below(driver.tmp) == []

    async def test_the_sweep_removes_foreign_files_in_tmp(self, driver: DirectoryDriver) -> None:
        (driver.tmp / "junk").write_bytes(b"junk")
        assert (await driver.sweep(nobody)).removed == 1

    async def test_a_full_disk_is_named_and_leaves_nothing(self, small_device: Path) -> None:
        driver = DirectoryDriver(small_device)
        upload = await driver.create(blob_named("big"))
        with pytest.raises(DeviceFull, match="small/d1 is full; free space there"):
            await fill(upload)
        await upload.abort()
        assert files_below(small_device) == []
        await driver.close()

    async def test_memory_stays_flat_when_the_receiver_is_slow(self, driver: DirectoryDriver) -> None:
        await store(driver, blob_named("slow"), bytes(8 * BLOCK_BYTES), piece_bytes=BLOCK_BYTES)
        download = await driver.open(blob_named("slow"))
        reads = 0
        read = driver.run

        async def counted(work, *args):
            nonlocal reads
            reads += work is os.pread
            return await read(work, *args)

        driver.run = counted  # type: ignore[method-assign]
        chunks = download.chunks()
        await anext(chunks)
        await asyncio.sleep(0.05)
        assert reads == 2  # the block handed out and the one ahead
        await chunks.aclose()
        await download.close()

    async def test_a_cancelled_upload_can_be_aborted(self, driver: DirectoryDriver) -> None:
        upload = await driver.create(blob_named("cancelled"))

        async def feed() -> None:
            while True:
                await upload.write(bytes(65536))
                await asyncio.sleep(0)

        task = asyncio.create_task(feed())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upload.abort()
        assert files_below(driver.tmp) == []


async def fill(upload) -> None:
    for _ in range(8):
        await upload.write(bytes(BLOCK_BYTES))
    await upload.seal()


def killed_uploads(root: Path, names: list[str]) -> None:
    """Let another process seal uploads, and kill it with -9 before it publishes."""
    program = """
import asyncio, sys
from pathlib import Path
from pileus.services.object_store.drivers.contract import blob_named
from pileus.services.object_store.drivers.directory import DirectoryDriver

async def main():
    driver = DirectoryDriver(Path(sys.argv[1]))
    uploads = []
    for name in sys.argv[2:]:
        upload = await driver.create(blob_named(name))
        await upload.write(b"from a process that died")
        await upload.seal()
        uploads.append(upload)
    print("sealed", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(root), *names], stdout=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"sealed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
