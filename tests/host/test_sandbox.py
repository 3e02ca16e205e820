"""A guest's process, and the programs that read users' images, may do no more than they must."""

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from pileus.kernel.agent.children import TOOL_USER, confined, readable
from pileus.kernel.errors import Invalid, Unavailable
from pileus.services.block_storage.drivers.qcow2 import qemu_img
from pileus.services.compute.commands import Blank, Disk, FromImage, GuestSpec
from pileus.services.compute.drivers.qemu import QemuHypervisor, disks
from pileus.services.compute.drivers.qemu.driver import QEMU_USER
from pileus.services.compute.drivers.qemu.groups import Groups

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="giving rights up needs having them"),
]
CONFINED_S = 60


@pytest.fixture
async def driver(host_state: Path) -> AsyncIterator[QemuHypervisor]:
    driver = QemuHypervisor(host_state / "compute")
    await driver.start(lambda event: None)
    yield driver
    await driver.ensure_all_gone()
    await driver.close()


def spec() -> GuestSpec:
    disk = Disk(id="blank", source=Blank(size_mib=16), boot_index=0)
    return GuestSpec(id=str(uuid4()), name="held", vcpus=1, memory_mib=64, disks=(disk,), nics=())


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_a_guest_runs_as_nobody_in_a_sandbox_with_limits(
    driver: QemuHypervisor, host_state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guest = spec()
    await driver.ensure_guest(guest)
    folder = host_state / "compute" / "guests" / guest.id
    pid = int((folder / "pid").read_text())
    status = status_of(pid)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(QEMU_USER)}
    assert status["Seccomp"] == "2"  # a filter, proc(5)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    disk = next(folder.glob("*.raw"))
    assert (disk.stat().st_uid, disk.stat().st_mode & 0o077) == (QEMU_USER, 0)

    groups = Groups(host_state / "compute").groups_of(guest.id)
    if not groups:  # a container that may make no groups: the operator is told
        assert "guests run without limits" in caplog.text
        return
    limits = {file.name: int(file.read_text()) for group in groups for file in _limit_files(group)}
    assert limits.pop("pids.max") == 257
    (memory_bytes,) = limits.values()
    assert memory_bytes == (64 + 1024) << 20
    for group in groups:
        assert str(pid) in (group / "cgroup.procs").read_text().split()

    await driver.ensure_guest_gone(guest.id)
    assert not any(group.exists() for group in groups)


def _limit_files(group: Path) -> list[Path]:
    names = ("memory.max", "memory.limit_in_bytes", "pids.max")
    return [group / name for name in names if (group / name).exists()]


async def test_a_disk_is_copied_with_its_guests_rights_only(driver: QemuHypervisor, host_state: Path) -> None:
    """Who broke out into QEMU can make its disk refer to any file; a snapshot must not read that for it."""
    guest = spec()
    await driver.ensure_guest(guest, running=False)
    disk = next((host_state / "compute" / "guests" / guest.id).glob("*.raw"))
    secret = host_state / "secret"
    secret.write_bytes(b"root:hash" * 1000)
    secret.chmod(0o600)
    whole = host_state / "whole.qcow2"
    assert await driver.snapshot_disk(guest.id, "blank", str(whole)) > 0
    disk.unlink()
    disk.symlink_to(secret)
    with pytest.raises(Unavailable, match="Permission denied"):
        await driver.snapshot_disk(guest.id, "blank", str(host_state / "stolen.qcow2"))


def test_groups_left_by_a_crash_are_swept(host_state: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    groups = Groups(host_state)
    groups.hold("left-over", sleeper.pid, 64, 1)
    left = groups.groups_of("left-over")
    if not left:
        sleeper.kill()
        sleeper.wait()
        pytest.skip("this host lets nobody make control groups")
    groups.sweep()
    assert groups.groups_of("left-over") == left  # its process lives
    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()
    groups.sweep()
    assert groups.groups_of("left-over") == []


def confined_run(*command: str, user: int | None = TOOL_USER, file_bytes: int = 1 << 20) -> str:
    words = confined(memory_bytes=1 << 30, cpu_s=CONFINED_S, file_bytes=file_bytes, user=user)
    return subprocess.run([*words, *command], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("user", [TOOL_USER, None])
def test_a_program_that_reads_an_image_has_no_rights_and_no_network(user: int | None) -> None:
    shown = confined_run("cat", "/proc/self/status", user=user)
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in shown.splitlines())}
    assert status["Uid"].split()[0] == str(TOOL_USER if user is not None else 0)
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    links = [line for line in confined_run("cat", "/proc/net/dev", user=user).splitlines() if ":" in line]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    assert "256" not in confined_run("sh", "-c", "ulimit -n", user=user)


def test_it_reads_no_secret_and_writes_no_more_than_it_may(tmp_path: Path, host_state: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:hash")
    assert confined_run("cat", str(secret)) == ""
    assert confined_run("cat", "/etc/shadow") == ""
    target = host_state / "out"
    target.touch()
    os.chown(target, TOOL_USER, TOOL_USER)
    confined_run("dd", "if=/dev/zero", f"of={target}", "bs=64k", "count=100", "conv=notrunc", file_bytes=1 << 20)
    assert target.stat().st_size == 1 << 20


def test_it_dies_with_its_agent() -> None:
    ask = "import ctypes; s = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(s)); print(s.value)"
    told = confined_run("python3", "-c", ask)
    assert told.strip() == str(int(signal.SIGKILL))


def test_only_the_program_gets_to_read_the_image(host_state: Path, tmp_path: Path) -> None:
    image = host_state / "image"
    image.write_bytes(b"bytes")
    image.chmod(0o600)
    assert readable(image, TOOL_USER)
    assert confined_run("cat", str(image)) == "bytes"
    other = confined_run("cat", str(image), user=65533)
    assert other == ""
    tmp_path.chmod(0o700)
    (tmp_path / "image").write_bytes(b"bytes")
    assert not readable(tmp_path / "image", TOOL_USER)


def tool(*words: str | Path) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True)


async def test_an_image_becomes_a_disk_through_the_confined_program(host_state: Path) -> None:
    source = host_state / "good.qcow2"
    disks_made = host_state / "images"
    disks_made.mkdir()
    tool("qemu-img", "create", "-q", "-f", "qcow2", source, "8M")
    tool("qemu-io", "-c", "write -P 0x5a 1M 64k", source)
    source.chmod(0o600)
    images = disks.Images(disks_made)
    made = await images.ensure(FromImage(image_id="good", path=str(source), format="qcow2", size_gib=1))
    content = made.read_bytes()
    assert len(content) == 8 << 20
    assert content[1 << 20 : (1 << 20) + 65536] == b"\x5a" * 65536
    assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (0, 0o444)
    assert made.stat().st_blocks * 512 < 1 << 20  # it stays sparse

    volume = host_state / "volume.qcow2"
    await qemu_img.unpack(str(source), await qemu_img.check_image(str(source), "qcow2", 1), str(volume), 1)
    told = await qemu_img.info(str(volume), "qcow2")
    assert told.virtual_size_bytes == 1 << 30
    tool("qemu-img", "compare", "-q", source, volume)
    assert volume.stat().st_uid == 0


def qcow2(path: Path, *, size: int = 1 << 20, l1_entries: int = 1, version: int = 3, **fields: int) -> Path:
    """Write a qcow2 header by hand (docs/interop/qcow2.txt), with whatever is to be wrong with it."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, fields.get("backing_offset", 0), fields.get("backing_size", 0),
        fields.get("cluster_bits", 16), size, 0, l1_entries, 0x30000, 0x10000, fields.get("refcount_clusters", 1),
        fields.get("snapshots", 0), fields.get("snapshot_offset", 0),
    )  # fmt: skip
    features = struct.pack(">QQQII", fields.get("incompatible", 0), 0, 0, 4, 104)
    path.write_bytes(head + features + fields.get("extra", 0) * b"\xff" + bytes(0x40000 - len(head) - len(features)))
    return path


@pytest.mark.parametrize(
    "wrong",
    [
        {"backing_offset": 104, "backing_size": 11},
        {"incompatible": 4},  # keeps its data in another file
        {"size": 1 << 62, "l1_entries": 0x7FFFFFFF},
        {"l1_entries": 0xFFFFFFFF},
        {"refcount_clusters": 0xFFFFFFFF},
        {"snapshots": 0xFFFFFFFF, "snapshot_offset": 512},
        {"cluster_bits": 63},
        {"incompatible": 1 << 40},
        {"size": 1 << 50},
        {"version": 9},
    ],
)
async def test_a_crafted_header_is_refused(host_state: Path, wrong: dict[str, int]) -> None:
    """Whatever it claims: quickly, in bounded memory, and nothing is left of it."""
    folder = host_state / "images"
    folder.mkdir()
    path = qcow2(host_state / "crafted.qcow2", **wrong)
    images = disks.Images(folder)
    with pytest.raises(Invalid):
        await images.ensure(FromImage(image_id="crafted", path=str(path), format="qcow2", size_gib=1))
    with pytest.raises(Invalid):
        await qemu_img.check_image(str(path), "qcow2", 1)
    assert list(folder.iterdir()) == []


async def test_a_vmdk_that_points_elsewhere_is_refused(host_state: Path) -> None:
    secret = host_state / "secret"
    secret.write_bytes(bytes(1 << 20))
    descriptor = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\nRW 2048 FLAT "{secret}" 0\n'
    )
    (host_state / "evil.vmdk").write_text(descriptor)
    with pytest.raises(Invalid):
        await disks.inspect(host_state / "evil.vmdk", "vmdk")
    with pytest.raises(Invalid):
        await qemu_img.check_image(str(host_state / "evil.vmdk"), "vmdk", 1)
