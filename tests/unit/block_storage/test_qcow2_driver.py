"""The qcow2 driver keeps every promise on real files, and survives what users and disks do to it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.kernel.errors import Conflict, Failed, Invalid, OutOfSpace
from pileus.services.block_storage.drivers.base import Blank, FromSnapshot, FromVolume, ImageFile, LocalFile
from pileus.services.block_storage.drivers.contract import OLDER, OTHER, SNAPSHOT, VOLUME, VolumeDriverContract
from pileus.services.block_storage.drivers.fake import FakeVolumeDriver
from pileus.services.block_storage.drivers.qcow2 import Qcow2Driver, qemu_img

pytestmark = [
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs the Debian package qemu-utils"),
    pytest.mark.skipif(
        shutil.which("qemu-storage-daemon") is None, reason="needs the Debian package qemu-system-common"
    ),
]


async def command(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def qemu_io(work: str, *target: str) -> str:
    output = await command("qemu-io", "-c", work, *target)
    assert "error" not in output.lower(), output
    assert "failed" not in output.lower(), output
    return output


class Qcow2Pool:
    """Acts as a guest: through NBD when the volume is served, else on the file."""

    def __init__(self, root: Path, run: Path) -> None:
        self.root, self.run = root, run
        self.driver = Qcow2Driver(root, run)

    async def restart(self) -> None:
        self.driver = Qcow2Driver(self.root, self.run)
        await self.driver.start()

    def _target(self, volume_id: str) -> tuple[str, ...]:
        if volume_id in self.driver.exports.served():
            return ("-f", "raw", f"nbd:unix:{self.driver.exports.socket(volume_id)}:exportname={volume_id}")
        return ("-f", "qcow2", str(self.driver.pool.path("volume", volume_id)))

    async def write(self, volume_id: str, data: bytes) -> None:
        file = self.root / "pattern"
        file.write_bytes(data + bytes(512 - len(data)))
        await qemu_io(f"write -q -s {file} 0 512", *self._target(volume_id))

    async def read(self, volume_id: str, count: int) -> bytes:
        dump = await qemu_io("read -v 0 512", *self._target(volume_id))
        pairs = [line.split()[1:17] for line in dump.splitlines() if line[:8].isalnum() and line[8:9] == ":"]
        return bytes(int(pair, 16) for line in pairs for pair in line)[:count]


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Qcow2Pool]:
    with tempfile.TemporaryDirectory(prefix="pv") as run:  # pytest's paths are too long for sockets
        pool = Qcow2Pool(tmp_path / "pool", Path(run))
        await pool.driver.start()
        yield pool
        for volume_id in pool.driver.exports.served():
            await pool.driver.ensure_export_gone(volume_id)


class TestQcow2VolumeDriver(VolumeDriverContract):
    pass


async def test_a_file_never_has_a_backing_file(pool: Qcow2Pool) -> None:
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    await driver.ensure_snapshot(SNAPSHOT, VOLUME)
    await driver.ensure_volume(OTHER, 1, FromSnapshot(SNAPSHOT))
    for path in [*pool.root.glob("volumes/*"), *pool.root.glob("snapshots/*")]:
        assert (await qemu_img.info(str(path), "qcow2")).backing_file is None
    assert list((pool.root / "work").iterdir()) == []


async def test_a_start_clears_what_a_killed_agent_left(pool: Qcow2Pool) -> None:
    leftover = pool.root / "work" / f"{VOLUME}.dead"
    leftover.write_bytes(b"half a volume")
    await pool.restart()
    assert not leftover.exists()
    assert (await pool.driver.inventory()).volumes == []


async def test_an_attached_volume_is_copied_by_the_process_that_has_it(pool: Qcow2Pool) -> None:
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    await driver.ensure_export(VOLUME, nbd=True)
    await pool.write(VOLUME, b"live")
    with pytest.raises(Conflict, match="open in another process"):
        await qemu_img.info(str(driver.pool.path("volume", VOLUME)), "qcow2")
    await driver.ensure_snapshot(SNAPSHOT, VOLUME)
    await driver.ensure_volume(OTHER, 2, FromVolume(VOLUME, monitor=driver.exports.monitor(VOLUME)))
    await pool.write(VOLUME, b"more")
    assert await pool.read(OTHER, 4) == b"live"
    await driver.ensure_volume_gone(OTHER)
    await driver.ensure_volume(OTHER, 1, FromSnapshot(SNAPSHOT))
    assert await pool.read(OTHER, 4) == b"live"
    assert await pool.read(VOLUME, 4) == b"more"


async def test_a_copy_begun_by_a_killed_agent_is_begun_again(pool: Qcow2Pool) -> None:
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    await driver.ensure_export(VOLUME, nbd=True)
    await pool.write(VOLUME, b"live")
    first = asyncio.create_task(driver.ensure_snapshot(SNAPSHOT, VOLUME))
    await asyncio.sleep(0.15)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await pool.restart()
    await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
    await pool.driver.ensure_volume(OTHER, 1, FromSnapshot(SNAPSHOT))
    assert await pool.read(OTHER, 4) == b"live"


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs the Debian package qemu-system-x86")
async def test_a_guest_is_served_through_its_own_monitor(pool: Qcow2Pool, tmp_path: Path) -> None:
    driver, monitor = pool.driver, str(pool.run / "guest.qmp")
    await driver.ensure_volume(VOLUME, 1, Blank())
    await pool.write(VOLUME, b"live")
    export = await driver.ensure_export(VOLUME)
    assert isinstance(export, LocalFile)
    guest = await asyncio.create_subprocess_exec(
        "qemu-system-x86_64", "-M", "q35", "-S", "-m", "64", "-nodefaults", "-display", "none",
        "-blockdev", f"driver=qcow2,node-name=vol,file.driver=file,file.filename={export.path}",
        "-device", "virtio-blk-pci,drive=vol", "-qmp", f"unix:{monitor},server=on,wait=off",
    )  # fmt: skip
    try:
        for _ in range(100):
            if os.access(monitor, os.W_OK):
                break
            await asyncio.sleep(0.05)
        assert (await driver.extend(VOLUME, 2, monitor)).size_gib == 2
        assert (await driver.extend(VOLUME, 2, monitor)).size_gib == 2
        await driver.ensure_snapshot(SNAPSHOT, VOLUME, monitor)
        await driver.write_image("volume", VOLUME, str(tmp_path / "image.raw"), "raw", monitor)
    finally:
        guest.terminate()
        await guest.wait()
    made = await driver.ensure_volume(OTHER, 2, FromSnapshot(SNAPSHOT))
    assert made.size_gib == 2
    assert await pool.read(OTHER, 4) == b"live"
    with (tmp_path / "image.raw").open("rb") as file:
        assert file.read(4) == b"live"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run QEMU as another user")
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs the Debian package qemu-system-x86")
async def test_a_hypervisor_that_runs_as_another_user_can_copy(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pv") as folder:  # pytest's folders are closed to other users
        os.chmod(folder, 0o711)
        pool = Qcow2Pool(Path(folder) / "pool", Path(folder) / "run")
        await pool.driver.start()
        await pool.driver.ensure_volume(VOLUME, 1, Blank())
        await pool.write(VOLUME, b"live")
        volume, monitor = pool.driver.pool.path("volume", VOLUME), str(pool.run / "guest.qmp")
        assert volume.stat().st_mode & 0o777 == 0o600
        os.chown(volume, 60900, 60900)
        os.chown(pool.run, 60900, 60900)
        guest = await asyncio.create_subprocess_exec(
            "qemu-system-x86_64", "-M", "q35", "-S", "-m", "64", "-nodefaults", "-display", "none",
            "-blockdev", f"driver=qcow2,node-name=vol,file.driver=file,file.filename={volume}",
            "-device", "virtio-blk-pci,drive=vol", "-qmp", f"unix:{monitor},server=on,wait=off",
            user=60900, group=60900, extra_groups=[],
        )  # fmt: skip
        try:
            for _ in range(100):
                if os.access(monitor, os.W_OK):
                    break
                await asyncio.sleep(0.05)
            await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME, monitor)
        finally:
            guest.terminate()
            await guest.wait()
        assert pool.driver.pool.path("snapshot", SNAPSHOT).stat().st_uid == 0
        await pool.driver.ensure_volume(OTHER, 1, FromSnapshot(SNAPSHOT))
        assert await pool.read(OTHER, 4) == b"live"


async def test_a_volume_served_over_nbd_does_not_grow(pool: Qcow2Pool) -> None:
    await pool.driver.ensure_volume(VOLUME, 1, Blank())
    await pool.driver.ensure_export(VOLUME, nbd=True)
    with pytest.raises(Conflict, match="detach it first"):
        await pool.driver.extend(VOLUME, 2)


async def test_an_attached_volume_is_uploaded_and_leaves_no_scratch(pool: Qcow2Pool, tmp_path: Path) -> None:
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    await driver.ensure_export(VOLUME, nbd=True)
    await pool.write(VOLUME, b"live")
    await driver.write_image("volume", VOLUME, str(tmp_path / "image.raw"), "raw")
    with (tmp_path / "image.raw").open("rb") as file:
        assert file.read(4) == b"live"
    assert list((pool.root / "work").iterdir()) == []


async def test_work_on_an_open_volume_without_its_monitor_is_refused(pool: Qcow2Pool) -> None:
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    await driver.ensure_snapshot(SNAPSHOT, VOLUME)
    await driver.ensure_export(VOLUME, nbd=True)
    with pytest.raises(Conflict, match="detach"):
        await driver.revert(VOLUME, SNAPSHOT)


async def test_a_monitor_that_does_not_have_the_volume_leaves_the_file_to_us(pool: Qcow2Pool) -> None:
    driver = pool.driver
    for volume_id in (VOLUME, OTHER):
        await driver.ensure_volume(volume_id, 1, Blank())
    await pool.write(VOLUME, b"here")
    await driver.ensure_export(OTHER, nbd=True)
    stranger, nobody = driver.exports.monitor(OTHER), str(pool.root / "nobody.qmp")
    await driver.ensure_snapshot(SNAPSHOT, VOLUME, monitor=stranger)
    await driver.ensure_snapshot(OLDER, VOLUME, monitor=nobody)
    assert (await driver.extend(VOLUME, 2, monitor=nobody)).size_gib == 2
    await driver.ensure_volume_gone(OTHER)
    for snapshot_id in (SNAPSHOT, OLDER):
        await driver.ensure_volume(OTHER, 1, FromSnapshot(snapshot_id))
        assert await pool.read(OTHER, 4) == b"here"
        await driver.ensure_volume_gone(OTHER)


async def test_an_image_that_points_at_host_files_is_refused(pool: Qcow2Pool, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0" + bytes(502))
    backed, split = tmp_path / "backed.qcow2", tmp_path / "split.qcow2"
    await command("qemu-img", "create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(backed))
    await command("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", str(split), "1M")
    for image in (backed, split):
        with pytest.raises(Invalid, match=r"backing file|another file"):
            await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="qcow2"))
    flat = tmp_path / "flat.vmdk"
    await command("qemu-img", "create", "-f", "vmdk", "-o", "subformat=monolithicFlat", str(flat), "1M")
    with pytest.raises(Invalid, match="points at other files"):
        await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(flat), format="vmdk"))
    assert (await pool.driver.inventory()).volumes == []


async def test_an_encrypted_image_is_refused_for_good(pool: Qcow2Pool, tmp_path: Path) -> None:
    """Invalid, which ends an operation; a failure of the tool would be tried again for an hour."""
    image = tmp_path / "secret.qcow2"
    await command("qemu-img", "create", "-q", "-f", "qcow2", str(image), "1M")
    with image.open("r+b") as file:
        file.seek(32)
        file.write((2).to_bytes(4, "big"))  # LUKS
    with pytest.raises(Invalid, match="encrypted"):
        await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="qcow2"))


async def test_what_a_tool_refuses_is_refused_for_good(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="qemu-img info failed"):
        await qemu_img.info(str(tmp_path / "absent"), "qcow2")


async def test_a_volume_whose_header_names_another_file_is_not_opened(pool: Qcow2Pool, tmp_path: Path) -> None:
    """As who broke out of a guest could write it: no verb follows it."""
    driver = pool.driver
    await driver.ensure_volume(VOLUME, 1, Blank())
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 100)
    await command(
        "qemu-img",
        "rebase",
        "-u",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        str(secret),
        str(driver.pool.path("volume", VOLUME)),
    )
    verbs = (
        driver.write_image("volume", VOLUME, str(tmp_path / "out.raw"), "raw"),
        driver.ensure_snapshot(SNAPSHOT, VOLUME),
        driver.ensure_volume(OTHER, 1, FromVolume(VOLUME)),
        driver.ensure_export(VOLUME),
        driver.ensure_export(VOLUME, nbd=True),
        driver.extend(VOLUME, 2),
    )
    for verb in verbs:
        with pytest.raises(Failed, match="backing file"):
            await verb
    assert not (tmp_path / "out.raw").exists()


async def test_a_file_that_is_not_the_format_it_claims_is_refused(pool: Qcow2Pool, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    image.write_bytes(b"not a disk")
    with pytest.raises(Invalid, match="its content is raw"):
        await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="qcow2"))


async def test_a_volume_goes_through_every_image_format(pool: Qcow2Pool, tmp_path: Path) -> None:
    await pool.driver.ensure_volume(VOLUME, 1, Blank())
    await pool.write(VOLUME, b"template")
    for format in ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"):
        path = str(tmp_path / f"image.{format}")
        await pool.driver.write_image("volume", VOLUME, path, format)
        await pool.driver.ensure_volume(OTHER, 2, ImageFile(path=path, format=format))
        assert await pool.read(OTHER, 8) == b"template"
        await pool.driver.ensure_volume_gone(OTHER)


async def test_the_fake_driver_writes_images_that_qemu_can_read(tmp_path: Path) -> None:
    fake = FakeVolumeDriver(tmp_path / "fake")
    await fake.start()
    await fake.ensure_volume(VOLUME, 3, Blank())
    await fake.write_image("volume", VOLUME, str(tmp_path / "image.qcow2"), "qcow2")
    assert (await qemu_img.info(str(tmp_path / "image.qcow2"), "qcow2")).virtual_size_bytes == 3 << 30
    await command("qemu-img", "check", str(tmp_path / "image.qcow2"))


async def test_a_damaged_volume_is_named(pool: Qcow2Pool) -> None:
    await pool.driver.ensure_volume(VOLUME, 1, Blank())
    pool.driver.pool.path("volume", VOLUME).write_bytes(b"")
    with pytest.raises(Failed, match="damaged"):
        await pool.driver.ensure_export(VOLUME)


async def test_an_id_cannot_leave_the_pool(pool: Qcow2Pool) -> None:
    with pytest.raises(Failed, match="not the id"):
        await pool.driver.ensure_volume_gone("../../etc/passwd")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    await command("mount", "-t", "tmpfs", "-o", "size=3m", "pileus-test", str(small))
    try:
        pool = Qcow2Pool(small / "pool", small / "run")
        await pool.driver.start()
        image = tmp_path / "image.raw"
        image.write_bytes(os.urandom(8 << 20))
        with pytest.raises(OutOfSpace, match="full"):
            await pool.driver.ensure_volume(VOLUME, 1, ImageFile(path=str(image), format="raw"))
        assert (await pool.driver.inventory()).volumes == []
        assert list((pool.root / "work").iterdir()) == []
    finally:
        await command("umount", str(small))


async def test_qemu_img_is_stopped_when_it_takes_too_long(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(Failed, match="did not finish within"):
        await qemu_img.run("info", "-f", "raw", str(fifo), timeout_s=0.3)


async def test_a_hypervisor_that_opens_the_file_keeps_others_out(pool: Qcow2Pool) -> None:
    await pool.driver.ensure_volume(VOLUME, 1, Blank())
    export = await pool.driver.ensure_export(VOLUME)
    assert isinstance(export, LocalFile)
    holder = await asyncio.create_subprocess_exec(
        "qemu-io", "-f", export.format, export.path,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdin
    assert holder.stdout
    try:
        # It has the file once it asks for orders; looking at the file meanwhile would keep it out itself.
        await asyncio.wait_for(holder.stdout.readuntil(b"qemu-io>"), 30)
        with pytest.raises(Conflict, match="detach the volume first"):
            await pool.driver.ensure_snapshot(SNAPSHOT, VOLUME)
        with pytest.raises(Conflict, match="detach it first"):
            await pool.driver.ensure_export(VOLUME, nbd=True)
    finally:
        holder.stdin.close()
        await holder.wait()
