"""Images from users are read, never believed: what refers to other files is refused, what is broken is named."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pileus.kernel.errors import Invalid, Unavailable
from pileus.services.compute.commands import Blank, FromImage
from pileus.services.compute.drivers.qemu import disks

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="the Debian package qemu-utils is missing"),
]


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


def source(path: Path, disk_format: str = "qcow2", size_gib: int = 1) -> FromImage:
    return FromImage(image_id=path.stem, path=str(path), format=disk_format, size_gib=size_gib)


@pytest.fixture
def images(tmp_path: Path) -> disks.Images:
    (tmp_path / "images").mkdir()
    return disks.Images(tmp_path / "images")


async def test_a_backing_file_is_refused(images: disks.Images, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:hash" + bytes(512))
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", tmp_path / "evil.qcow2")
    with pytest.raises(Invalid, match="backing file"):
        await images.ensure(source(tmp_path / "evil.qcow2"))
    assert list(images.folder.iterdir()) == []


async def test_an_external_data_file_is_refused(images: disks.Images, tmp_path: Path) -> None:
    data = tmp_path / "data"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={data}", tmp_path / "evil.qcow2", "1M")
    with pytest.raises(Invalid, match="another file"):
        await images.ensure(source(tmp_path / "evil.qcow2"))


async def test_vmdk_extents_are_refused(images: disks.Images, tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", tmp_path / "evil.vmdk", "1M")
    with pytest.raises(Invalid, match="VMDK"):
        await images.ensure(source(tmp_path / "evil.vmdk", "vmdk"))


async def test_a_raw_image_is_not_probed(images: disks.Images, tmp_path: Path) -> None:
    """A qcow2 file declared as raw is bytes to the guest; its header means nothing to us."""
    qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", tmp_path / "sly.img")
    copy = await images.ensure(source(tmp_path / "sly.img", "raw"))
    assert copy.read_bytes()[:4] == b"QFI\xfb"


async def test_rubbish_is_named(images: disks.Images, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"no disk" * 1000)
    with pytest.raises(Invalid, match="not a readable qcow2"):
        await images.ensure(source(tmp_path / "rubbish"))
    with pytest.raises(Invalid, match="cannot become a disk"):
        await images.ensure(source(tmp_path / "rubbish", "ploop"))
    with pytest.raises(Unavailable, match="not on this host"):
        await images.ensure(source(tmp_path / "absent"))


async def test_names_cannot_leave_the_folder(images: disks.Images, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Image id"):
        await images.ensure(FromImage(image_id="../x", path=str(tmp_path), format="raw", size_gib=1))


async def test_one_copy_serves_many(images: disks.Images, tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", tmp_path / "good.qcow2", "8M")
    first, second = await asyncio.gather(*(images.ensure(source(tmp_path / "good.qcow2")) for _ in range(2)))
    assert first == second
    assert first.stat().st_size == 8 << 20
    (tmp_path / "good.qcow2").unlink()
    assert await images.ensure(source(tmp_path / "good.qcow2")) == first
    images.forget(used=["good"], older_than_s=-1)
    assert first.exists()
    images.forget(used=[], older_than_s=-1)
    assert not first.exists()


async def test_a_disk_smaller_than_its_image_is_refused(images: disks.Images, tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", tmp_path / "large.qcow2", "3G")
    with pytest.raises(Invalid, match="needs a disk of 3 GiB"):
        await images.ensure(source(tmp_path / "large.qcow2"))
    assert list(images.folder.iterdir()) == []
    base = await images.ensure(source(tmp_path / "large.qcow2", size_gib=0))
    with pytest.raises(Invalid, match="needs a disk of 3 GiB"):
        await disks.make_overlay(base, tmp_path / "disk.qcow2", source(tmp_path / "large.qcow2"))
    await disks.make_overlay(base, tmp_path / "disk.qcow2", source(tmp_path / "large.qcow2", size_gib=0))
    assert await disks.virtual_size(tmp_path / "disk.qcow2", "qcow2") == 3 << 30


async def test_blank_disks_come_formatted(tmp_path: Path) -> None:
    for kind in ("ext4", "vfat", "swap"):
        await disks.make_blank(tmp_path / kind, Blank(size_mib=64, format=kind, label="scratch"))
        told = await disks.run("blkid", "-o", "export", tmp_path / kind)
        assert f"TYPE={kind}" in told
        assert "LABEL=" in told
    assert sorted(os.listdir(tmp_path)) == ["ext4", "swap", "vfat"]


async def test_a_tool_that_eats_memory_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="failed"):
        await disks.run("python3", "-c", "bytearray(4 << 30)")
    with pytest.raises(Unavailable, match="within"):
        await disks.run("sleep", "5", timeout_s=0.1)
