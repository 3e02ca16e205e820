"""Promises every volume driver keeps, as tests.  One rule: they speak only the verbs of ``base.py``.

A test module subclasses ``VolumeDriverContract`` and gives two fixtures: ``pool`` (a started driver behind
``PoolUnderTest``, which also writes and reads a volume's first bytes the way an attached guest would).
"""

from pathlib import Path
from typing import Protocol

import pytest

from pileus.kernel.errors import Invalid, NotFound
from pileus.services.block_storage.drivers.base import (
    Blank,
    FromSnapshot,
    FromVolume,
    ImageFile,
    LocalFile,
    NbdSocket,
    VolumeDriver,
)

VOLUME = "3b1f7a52-6e5c-4c0e-9a0b-0d3f8f1c2a01"
OTHER = "3b1f7a52-6e5c-4c0e-9a0b-0d3f8f1c2a02"
SNAPSHOT = "9c2e4b10-1111-4222-8333-444455556601"
OLDER = "9c2e4b10-1111-4222-8333-444455556602"


class PoolUnderTest(Protocol):
    """A driver and the means to act as its volumes' user."""

    driver: VolumeDriver

    async def restart(self) -> None:
        """Replace ``driver`` by a new one on the same directory, as after a restart of the agent."""
        ...

    async def write(self, volume_id: str, data: bytes) -> None:
        """Write ``data`` at the volume's beginning."""
        ...

    async def read(self, volume_id: str, count: int) -> bytes:
        """Read the volume's first bytes."""
        ...


class VolumeDriverContract:
    """Subclass it in the driver's tests."""

    async def test_a_blank_volume_has_the_size_asked_for(self, pool: PoolUnderTest) -> None:
        made = await pool.driver.ensure_volume(VOLUME, 3, Blank())
        assert (made.id, made.size_gib) == (VOLUME, 3)
        assert [(v.id, v.size_gib) for v in (await pool.driver.inventory()).volumes] == [(VOLUME, 3)]

    async def test_ensuring_a_volume_again_keeps_what_was_written(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"kept")
        await pool.restart()
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        assert await pool.read(VOLUME, 4) == b"kept"

    async def test_gone_may_be_said_twice(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.driver.ensure_volume_gone(VOLUME)
        await pool.driver.ensure_volume_gone(VOLUME)
        await pool.driver.ensure_snapshot_gone(SNAPSHOT)
        await pool.driver.ensure_export_gone(VOLUME)
        assert (await pool.driver.inventory()).volumes == []

    async def test_a_volume_from_an_image_holds_its_bytes(self, pool: PoolUnderTest, tmp_path: Path) -> None:
        image = tmp_path / "image.raw"
        image.write_bytes(b"boot me" + bytes(1024 * 1024 - 7))
        made = await pool.driver.ensure_volume(VOLUME, 2, ImageFile(path=str(image), format="raw"))
        assert made.size_gib == 2
        assert await pool.read(VOLUME, 7) == b"boot me"

    async def test_an_image_that_does_not_fit_is_refused_and_leaves_nothing(
        self, pool: PoolUnderTest, tmp_path: Path
    ) -> None:
        image = tmp_path / "image.raw"
        with image.open("wb") as file:
            file.truncate((1 << 30) + 1)
        with pytest.raises(Invalid, match="bytes"):
            await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="raw"))
        assert (await pool.driver.inventory()).volumes == []

    async def test_an_unknown_image_format_is_refused(self, pool: PoolUnderTest, tmp_path: Path) -> None:
        image = tmp_path / "image"
        image.write_bytes(b"x")
        with pytest.raises(Invalid, match="docker"):
            await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="docker"))

    async def test_a_snapshot_keeps_the_moment(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"then")
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.write(VOLUME, b"now!")
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.driver.ensure_volume(OTHER, 2, FromSnapshot(SNAPSHOT))
        assert await pool.read(OTHER, 4) == b"then"
        assert await pool.read(VOLUME, 4) == b"now!"
        assert [v.size_gib for v in (await pool.driver.inventory()).volumes] == [1, 2]

    async def test_any_order_of_deletion(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"old")
        await pool.driver.ensure_snapshot(OLDER, VOLUME)
        await pool.write(VOLUME, b"new")
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.driver.ensure_volume(OTHER, 1, FromSnapshot(OLDER))
        await pool.driver.ensure_volume_gone(VOLUME)
        await pool.driver.ensure_snapshot_gone(OLDER)
        assert await pool.read(OTHER, 3) == b"old"
        await pool.driver.ensure_volume(VOLUME, 1, FromSnapshot(SNAPSHOT))
        assert await pool.read(VOLUME, 3) == b"new"

    async def test_a_clone_is_independent(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"one")
        await pool.driver.ensure_volume(OTHER, 1, FromVolume(VOLUME))
        await pool.write(OTHER, b"two")
        await pool.driver.ensure_volume_gone(VOLUME)
        assert await pool.read(OTHER, 3) == b"two"

    async def test_extend_grows_and_never_shrinks(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"kept")
        assert (await pool.driver.extend(VOLUME, 3)).size_gib == 3
        assert (await pool.driver.extend(VOLUME, 3)).size_gib == 3
        assert (await pool.driver.extend(VOLUME, 2)).size_gib == 3
        assert await pool.read(VOLUME, 4) == b"kept"

    async def test_revert_brings_back_the_content_and_keeps_the_size(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"then")
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.write(VOLUME, b"now!")
        await pool.driver.extend(VOLUME, 2)
        assert (await pool.driver.revert(VOLUME, SNAPSHOT)).size_gib == 2
        assert await pool.read(VOLUME, 4) == b"then"

    async def test_a_local_export_names_a_file(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        export = await pool.driver.ensure_export(VOLUME)
        assert isinstance(export, LocalFile)
        assert VOLUME in export.path
        assert await pool.driver.ensure_export(VOLUME) == export

    async def test_an_nbd_export_lives_until_it_is_ended(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        export = await pool.driver.ensure_export(VOLUME, nbd=True)
        try:
            assert isinstance(export, NbdSocket)
            await pool.restart()
            assert (await pool.driver.inventory()).exports == [VOLUME]
            assert await pool.driver.ensure_export(VOLUME, nbd=True) == export
        finally:
            await pool.driver.ensure_export_gone(VOLUME)
        assert (await pool.driver.inventory()).exports == []

    async def test_an_image_written_from_a_volume_makes_the_same_volume(
        self, pool: PoolUnderTest, tmp_path: Path
    ) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"template")
        target = tmp_path / "upload.raw"
        size = await pool.driver.write_image("volume", VOLUME, str(target), "raw")
        assert size == target.stat().st_size
        await pool.driver.ensure_volume(OTHER, 1, ImageFile(path=str(target), format="raw"))
        assert await pool.read(OTHER, 8) == b"template"
        assert await pool.driver.write_image("volume", VOLUME, str(tmp_path / "upload.qcow2"), "qcow2") > 0
        assert (tmp_path / "upload.qcow2").read_bytes()[:4] == b"QFI\xfb"
        with pytest.raises(Invalid, match="docker"):
            await pool.driver.write_image("volume", VOLUME, str(tmp_path / "x"), "docker")

    async def test_an_image_written_from_a_snapshot_holds_that_moment(
        self, pool: PoolUnderTest, tmp_path: Path
    ) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"then")
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.write(VOLUME, b"now!")
        await pool.driver.write_image("snapshot", SNAPSHOT, str(tmp_path / "image.raw"), "raw")
        with (tmp_path / "image.raw").open("rb") as file:
            assert file.read(4) == b"then"

    async def test_what_is_not_here_is_named(self, pool: PoolUnderTest) -> None:
        with pytest.raises(NotFound, match=SNAPSHOT):
            await pool.driver.ensure_volume(VOLUME, 1, FromSnapshot(SNAPSHOT))
        with pytest.raises(NotFound, match=VOLUME):
            await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        with pytest.raises(NotFound, match=VOLUME):
            await pool.driver.extend(VOLUME, 2)
        with pytest.raises(NotFound, match=VOLUME):
            await pool.driver.ensure_export(VOLUME)
        inventory = await pool.driver.inventory()
        assert (inventory.volumes, inventory.snapshots) == ([], [])

    async def test_quarantine_takes_out_of_the_pool(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        await pool.driver.quarantine("volume", VOLUME)
        await pool.driver.quarantine("snapshot", SNAPSHOT)
        await pool.driver.quarantine("snapshot", SNAPSHOT)
        inventory = await pool.driver.inventory()
        assert (inventory.volumes, inventory.snapshots) == ([], [])

    async def test_capacity_counts_what_was_promised(self, pool: PoolUnderTest) -> None:
        await pool.driver.ensure_volume(VOLUME, 2, Blank())
        await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        capacity = await pool.driver.capacity()
        assert capacity.provisioned_gib == 4
        assert 0 < capacity.free_gib <= capacity.total_gib
