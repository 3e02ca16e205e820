"""Real guests: pileus-mini boots, is logged into, gets and loses devices, and is told of when it stops."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from pileus.kernel.errors import Unavailable
from pileus.services.compute.commands import Blank, Disk, FromImage, GuestEvent, GuestSpec, LocalFile, Nic, Power
from pileus.services.compute.drivers.config_drive import openstack_files
from pileus.services.compute.drivers.qemu import QemuHypervisor
from pileus.services.image.mini import MiniImage

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="making a tap needs root"),
]
TAP, HOST_IP, GUEST_IP = "plt-drv0", "10.203.177.1", "10.203.177.2"


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tap() -> Iterator[str]:
    """A tap of the test's own, with the host's leg on it."""
    sh("ip", "tuntap", "add", TAP, "mode", "tap")
    sh("ip", "addr", "add", f"{HOST_IP}/30", "dev", TAP)
    sh("ip", "link", "set", TAP, "up")
    yield TAP
    sh("ip", "link", "del", TAP)


@pytest.fixture
def key(host_state: Path) -> Path:
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_state / "key"))
    return host_state / "key"


@pytest.fixture
def events() -> list[GuestEvent]:
    return []


@pytest.fixture
async def driver(host_state: Path, events: list[GuestEvent]) -> AsyncIterator[QemuHypervisor]:
    driver = QemuHypervisor(host_state / "compute")
    await driver.start(events.append)
    yield driver
    await driver.ensure_all_gone()
    await driver.close()


@pytest.fixture
def spec(mini: MiniImage, key: Path, tap: str) -> GuestSpec:
    public_key = key.with_suffix(".pub").read_text()
    guest_id = str(uuid4())
    meta_data = {"uuid": guest_id, "hostname": "vm-one.novalocal", "public_keys": {"mine": public_key}}
    script = f"#!/bin/sh\nip addr add {GUEST_IP}/30 dev eth0\ntouch /root/user-data-ran\n".encode()
    root = FromImage(image_id="mini", path=mini.path, format=mini.disk_format, size_gib=1)
    return GuestSpec(
        id=guest_id,
        name="one",
        vcpus=1,
        memory_mib=128,
        disks=(Disk(id="root", source=root, serial=guest_id, boot_index=0),),
        nics=(Nic(port_id="port-one", mac="fa:16:3e:aa:00:01", tap=tap, mtu=1430),),
        config_drive=openstack_files(meta_data, {"links": [], "networks": [], "services": []}, user_data=script),
    )


async def first(events: list[GuestEvent], timeout_s: float) -> GuestEvent:
    until = asyncio.get_running_loop().time() + timeout_s
    while not events and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return events[0]


class Login:
    """A shell in the guest."""

    def __init__(self, key: Path) -> None:
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "3",
        }
        self._words = ["ssh", "-i", str(key), *(f"-o{name}={value}" for name, value in options.items())]

    async def run(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._words, f"demo@{GUEST_IP}", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
        assert process.returncode == 0, out
        return out

    async def until(self, command: str, timeout_s: float = 90.0) -> str:
        """Repeat a command until it succeeds."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await self.run(command)
                except (AssertionError, TimeoutError):
                    await asyncio.sleep(0.2)


@pytest.fixture
def login(key: Path) -> Login:
    return Login(key)


async def test_a_guest_as_people_use_it(
    driver: QemuHypervisor, spec: GuestSpec, login: Login, host_state: Path, events: list[GuestEvent]
) -> None:
    await driver.ensure_guest(spec)
    await login.until("sudo test -e /root/user-data-ran")

    # It is who its config drive says, as large as its flavor, and has all that people and test suites call.
    assert (await login.run("hostname")).strip() == "vm-one"
    assert "mtu 1430" in await login.run("ip link show eth0")
    assert (await login.run("cat /sys/block/vda/serial")).strip() == spec.id[:20]
    assert (await login.run("sudo blkid -L config-2 -o device")).strip().startswith("/dev/vd")
    assert (
        int((await login.until("set -o pipefail; df -m / | awk 'NR==2 && $2>900 {print $2}' | grep .")).strip()) > 900
    )
    listed = await login.run("lsblk -lb --nodeps")
    assert "TYPE" in listed.splitlines()[0]
    assert any(" disk" in line for line in listed.splitlines()[1:])
    pinged = await login.run(f"ping -c1 -w2 -s56 {HOST_IP} && ping -I eth0 -c1 -w2 {HOST_IP}")
    assert pinged.count(", 0% packet loss") == 2
    assert "1 packets received" in (await login.run("ping6 -c1 -w1 ::1")).replace("1 received", "1 packets received")
    assert "Linux" in await login.run(
        "curl -V >/dev/null && sudo sh -c 'echo from-the-guest >/dev/console' && uname -a"
    )
    assert "from-the-guest" in await driver.console_log(spec.id)
    assert len((await driver.console_log(spec.id, lines=10)).splitlines()) == 10

    # Its screen shows something.
    picture = host_state / "screen.png"
    picture.write_bytes(await driver.screenshot(spec.id))
    assert picture.stat().st_size > 2000

    # A disk comes, is written, grows and goes.
    disk = Disk(id=str(uuid4()), source=Blank(size_mib=64), serial="0123456789abcdefghijKLM")
    await driver.ensure_disk_attached(spec.id, disk)
    await driver.ensure_disk_attached(spec.id, disk)
    found = "for d in vdb vdc; do grep -qs 0123456789abcdefghij /sys/block/$d/serial && echo $d; done | grep ."
    name = (await login.until(found, 10)).strip()
    await login.run(f"sudo mkfs -t ext4 /dev/{name} && sudo mount /dev/{name} /mnt && echo kept | sudo tee /mnt/file")
    await login.run("sudo umount /mnt")
    await driver.resize_disk(spec.id, disk.id, 96 << 20)
    assert int(await login.run(f"cat /sys/block/{name}/size")) * 512 == 96 << 20
    await driver.ensure_disk_detached(spec.id, disk.id)
    await driver.ensure_disk_detached(spec.id, disk.id)
    assert name not in await login.run("ls /sys/block")

    # A copy of the running root disk is whole and stands alone.
    copy = host_state / "copy.qcow2"
    await driver.snapshot_disk(spec.id, "root", str(copy))
    assert "backing file" not in sh("qemu-img", "info", str(copy))
    sh("qemu-img", "check", str(copy))

    # It shuts down when asked, at once, and nobody is alarmed.
    began = asyncio.get_running_loop().time()
    assert (await driver.power_off(spec.id, 30)).power is Power.OFF
    assert asyncio.get_running_loop().time() - began < 15
    assert "Power down" in await driver.console_log(spec.id)
    assert events == []


async def test_network_cards_come_and_go(driver: QemuHypervisor, spec: GuestSpec, login: Login) -> None:
    await driver.ensure_guest(spec)
    await login.until("true")
    sh("ip", "tuntap", "add", f"{TAP}b", "mode", "tap")
    try:
        nic = Nic(port_id="port-two", mac="fa:16:3e:aa:00:02", tap=f"{TAP}b")
        await driver.ensure_nic_attached(spec.id, nic)
        await driver.ensure_nic_attached(spec.id, nic)
        await login.until("ip link | grep fa:16:3e:aa:00:02 && sudo ip link set eth1 up", 10)
        await driver.ensure_nic_detached(spec.id, nic.port_id)
        await driver.ensure_nic_detached(spec.id, nic.port_id)
        assert "eth1" not in await login.run("ip link")
        with pytest.raises(Unavailable, match="no-such-tap"):
            await driver.ensure_nic_attached(spec.id, Nic(port_id="x", mac="fa:16:3e:aa:00:03", tap="no-such-tap"))
    finally:
        sh("ip", "link", "del", f"{TAP}b")


async def test_what_was_written_survives_a_move_between_guests_and_memory_survives_suspension(
    driver: QemuHypervisor, spec: GuestSpec, login: Login, host_state: Path
) -> None:
    volume = host_state / "volume.qcow2"
    sh("qemu-img", "create", "-q", "-f", "qcow2", str(volume), "64M")
    disk = Disk(id=str(uuid4()), source=LocalFile(path=str(volume), format="qcow2"), serial="volume")
    await driver.ensure_guest(spec)
    await login.until("true")
    await driver.ensure_disk_attached(spec.id, disk)
    device = "$(for d in vdb vdc; do grep -qs volume /sys/block/$d/serial && echo /dev/$d; done | grep .)"
    await login.until(f"echo across-guests | sudo dd of={device} conv=fsync", 10)
    await login.run("echo in-memory > /tmp/note")
    await driver.suspend(spec.id)
    await driver.resume(spec.id)
    assert (await login.run("cat /tmp/note")).strip() == "in-memory"
    await driver.ensure_disk_detached(spec.id, disk.id)
    await driver.reboot(spec.id, hard=True)
    await login.until("true")
    await driver.ensure_disk_attached(spec.id, disk)
    assert "across-guests" in await login.until(f"sudo head -c 13 {device}", 10)


async def test_guests_that_stop_by_themselves(
    driver: QemuHypervisor, spec: GuestSpec, login: Login, events: list[GuestEvent], host_state: Path
) -> None:
    await driver.ensure_guest(spec)
    await login.until("true")
    with contextlib.suppress(AssertionError):  # the connection may be cut before it has said good-bye
        await login.run("sudo poweroff")
    assert await first(events, 40) == GuestEvent(guest_id=spec.id, power=Power.OFF)
    assert (await driver.guest(spec.id)).power is Power.OFF

    events.clear()
    await driver.power_on(spec.id)
    pid = int((host_state / "compute/guests" / spec.id / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert (await first(events, 2)).power is Power.CRASHED
    facts = await driver.guest(spec.id)
    assert facts.power is Power.CRASHED
    assert facts.reason
    assert f"{pid} was killed by SIGKILL" in facts.reason


async def test_a_new_driver_finds_the_guest_and_hears_of_its_end(
    driver: QemuHypervisor, spec: GuestSpec, login: Login, host_state: Path, events: list[GuestEvent]
) -> None:
    await driver.ensure_guest(spec)
    await login.until("true")
    pid = (host_state / "compute/guests" / spec.id / "pid").read_text()
    await driver.close()
    with_another = QemuHypervisor(host_state / "compute")
    await with_another.start(events.append)
    try:
        with pytest.raises(Unavailable, match="Another process"):
            await driver.start(events.append)
        assert (await with_another.ensure_guest(spec)).power is Power.RUNNING
        assert (host_state / "compute/guests" / spec.id / "pid").read_text() == pid
        await with_another.ensure_disk_attached(spec.id, Disk(id="late", source=Blank(size_mib=16)))
        await with_another.ensure_disk_detached(spec.id, "late")
        os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(0.5)
        assert [event.power for event in events] == [Power.CRASHED]
    finally:
        await with_another.close()
        await driver.start(events.append)


async def test_a_process_that_hangs_does_not_hide_the_others(
    driver: QemuHypervisor, spec: GuestSpec, host_state: Path
) -> None:
    other = msgspec.structs.replace(spec, id=str(uuid4()), nics=())
    await driver.ensure_guest(spec)
    await driver.ensure_guest(other)
    pid = int((host_state / "compute/guests" / spec.id / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    found = {facts.id: facts for facts in await driver.guests()}
    assert found[other.id].reason is None
    assert "did not answer" in (found[spec.id].reason or "")
    assert (await driver.reboot(spec.id, hard=True)).reason is None
    assert processes(spec.id) != [str(pid)]


async def test_a_full_disk_pauses_the_guest_and_says_so(
    driver: QemuHypervisor, spec: GuestSpec, login: Login, host_state: Path, events: list[GuestEvent]
) -> None:
    small = host_state / "small"
    small.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "small", str(small))
    try:
        (small / "volume").write_bytes(b"")
        os.truncate(small / "volume", 64 << 20)
        await driver.ensure_guest(spec)
        await login.until("true")
        source = LocalFile(path=str(small / "volume"), format="raw")
        await driver.ensure_disk_attached(spec.id, Disk(id="v", source=source, serial="small"))
        device = "/dev/$(for d in vdb vdc; do grep -qs small /sys/block/$d/serial && echo $d; done | grep .)"
        await login.until(
            f"sudo sh -c 'dd if=/dev/urandom of={device} bs=1M count=8 oflag=direct >/dev/null 2>&1 &'", 10
        )
        event = await first(events, 20)
        assert event.power is Power.PAUSED
        assert "disk is full" in (event.reason or "")
        assert (await driver.guest(spec.id)).reason == event.reason
        sh("mount", "-o", "remount,size=64m", str(small))
        assert (await driver.resume(spec.id)).reason is None
        await login.until('pidof dd || true; test -z "$(pidof dd)"', 20)
        await driver.ensure_disk_detached(spec.id, "v")
    finally:
        await driver.ensure_guest_gone(spec.id)
        sh("umount", str(small))


BOOT = """
import asyncio, sys, msgspec
from pathlib import Path
from pileus.services.compute.commands import GuestSpec
from pileus.services.compute.drivers.qemu import QemuHypervisor

async def main():
    driver = QemuHypervisor(Path(sys.argv[1]))
    await driver.start(lambda event: None)
    print("begin", flush=True)
    await driver.ensure_guest(msgspec.json.decode(sys.stdin.buffer.read(), type=GuestSpec))
    print("done", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.08, 0.15, 0.3, 0.6])
async def test_kill_9_at_any_moment_of_a_boot(spec: GuestSpec, host_state: Path, delay_s: float) -> None:
    """Whatever the killed process had done, the next one can finish it, and can remove it without a trace."""
    compute = host_state / "compute"
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", BOOT, str(compute)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(msgspec.json.encode(spec))
    process.stdin.close()
    assert process.stdout.readline() == b"begin\n"
    await asyncio.sleep(delay_s)
    process.kill()
    process.wait()
    process.stdout.close()

    events: list[GuestEvent] = []
    driver = QemuHypervisor(compute)
    await driver.start(events.append)
    try:
        assert (await driver.ensure_guest(spec)).power is Power.RUNNING
        assert len(processes(spec.id)) == 1
        await driver.ensure_guest_gone(spec.id)
        assert processes(spec.id) == []
        assert list((compute / "guests").iterdir()) == []
        assert list((compute / "run").iterdir()) == []
        assert [path.suffix for path in (compute / "images").iterdir()] in ([".raw"], [])
    finally:
        await driver.ensure_all_gone()
        await driver.close()


def processes(guest_id: str) -> list[str]:
    found = subprocess.run(["pgrep", "-f", f"qemu-system.*{guest_id}"], capture_output=True, text=True)
    return found.stdout.split()
