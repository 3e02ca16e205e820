"""The fake driver keeps the promises of every volume driver."""

import base64
from pathlib import Path

import pytest

from pileus.services.block_storage.drivers.contract import VolumeDriverContract
from pileus.services.block_storage.drivers.fake import FakeVolumeDriver


class FakePool:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.driver = FakeVolumeDriver(root)

    async def restart(self) -> None:
        self.driver = FakeVolumeDriver(self.root)
        await self.driver.start()

    async def write(self, volume_id: str, data: bytes) -> None:
        disk = self.driver._get("volume", volume_id)
        disk.content = base64.b64encode(data).decode()
        self.driver._write("volume", volume_id, disk)

    async def read(self, volume_id: str, count: int) -> bytes:
        return base64.b64decode(self.driver._get("volume", volume_id).content)[:count]


@pytest.fixture
async def pool(tmp_path: Path) -> FakePool:
    pool = FakePool(tmp_path / "pool")
    await pool.driver.start()
    return pool


class TestFakeVolumeDriver(VolumeDriverContract):
    pass
