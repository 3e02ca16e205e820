"""The QEMU hypervisor: the verbs of `drivers/base.py` over guests, images and slots.

One rule: a verb takes its guest's lock, looks at what is, and does what is missing.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from pileus.kernel import clock
from pileus.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from pileus.services.compute.drivers import config_drive
from pileus.services.compute.drivers.base import (
    Blank,
    ConsoleAddress,
    Disk,
    FromImage,
    GuestEvent,
    GuestFacts,
    GuestSpec,
    HostFacts,
    Listener,
    Nic,
    Power,
)
from pileus.services.compute.drivers.qemu import devices, disks, host
from pileus.services.compute.drivers.qemu.boots import BootSlots
from pileus.services.compute.drivers.qemu.guest import Guest
from pileus.services.compute.drivers.qemu.record import CONFIG_DRIVE, CONSOLE_LOG, MEMORY_FILE, GuestFolder, Record

log = logging.getLogger("pileus.compute.qemu")

QEMU_USER = 60900
"""The user without a name that guests' processes run as, where the driver may choose."""
LOG_LIMIT_BYTES = 1 << 20
_TRIM_EVERY_S = 20.0
_LONGEST_SOCKET_PATH = 107
_DOWN = (Power.OFF, Power.CRASHED)


class QemuHypervisor:
    """One cloud's guests on this host; everything of theirs lives under `state`."""

    def __init__(self, state: Path, *, slots: int | None = None, user: int | None = QEMU_USER) -> None:
        self._state = state
        self._guests_folder = state / "guests"
        self._images = disks.Images(state / "images")
        self._sockets = _socket_folder(state)
        self._accelerator = host.accelerator()
        self._slots = BootSlots(slots or (os.cpu_count() or 1) * (8 if self._accelerator == "kvm" else 1))
        self._user = user if os.geteuid() == 0 else None
        self._guests: dict[str, Guest] = {}
        self._listener: Listener = lambda event: None
        self._lock: int | None = None
        self._trimming: asyncio.Task[None] | None = None

    # Beginning and end

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        for folder in (self._state, self._guests_folder, self._images.folder, self._sockets):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._state / "driver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise Unavailable(f"Another process drives the guests in {self._state}; stop it first.") from error
        if self._user is not None and not host.reachable(self._guests_folder, self._user):
            log.warning("guests run as root: user %d may not pass through all folders to %s", self._user, self._state)
            self._user = None
        for path in self._guests_folder.iterdir():
            folder = self._folder(path.name)
            if record := folder.load():
                self._guests[path.name] = Guest(folder, record, self._report)
            else:
                await asyncio.to_thread(folder.remove)
        await asyncio.gather(*(guest.adopt() for guest in self._guests.values()))
        used = {source.image_id for guest in self._guests.values() for source in _image_sources(guest)}
        self._images.forget(used)
        self._trimming = asyncio.create_task(self._trim_logs())

    async def close(self) -> None:
        if self._trimming:
            self._trimming.cancel()
        await self._slots.close()
        for guest in self._guests.values():
            await guest.let_go()
        self._guests.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _report(self, event: GuestEvent) -> None:
        log.warning("%s", event.reason or f"Guest {event.guest_id} shut itself down.")
        self._listener(event)

    def _folder(self, guest_id: str) -> GuestFolder:
        return GuestFolder(guest_id, self._guests_folder, self._sockets, self._user)

    @asynccontextmanager
    async def _locked(self, guest_id: str) -> AsyncIterator[Guest]:
        guest = self._guests.get(guest_id)
        if guest is None:
            raise NotFound(f"Guest {guest_id} is not on this host.")
        async with guest.lock:
            if self._guests.get(guest_id) is not guest:
                raise NotFound(f"Guest {guest_id} is not on this host any more.")
            yield guest

    # What is here

    async def facts(self) -> HostFacts:
        return await host.facts(self._state)

    async def guests(self) -> Sequence[GuestFacts]:
        return await asyncio.gather(*(guest.facts() for guest in list(self._guests.values())))

    async def guest(self, guest_id: str) -> GuestFacts:
        if guest_id not in self._guests:
            raise NotFound(f"Guest {guest_id} is not on this host.")
        return await self._guests[guest_id].facts()

    # Being and not being

    async def ensure_guest(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        if spec.id not in self._guests:
            folder = self._folder(spec.id)
            folder.make()
            folder.save(record := Record(spec))
            self._guests[spec.id] = Guest(folder, record, self._report)
        async with self._locked(spec.id) as guest:
            power = await guest.power()
            if power in _DOWN:
                if guest.alive:
                    await guest.end()
                await self._make(guest, spec)
                if running:
                    await self._boot(guest)
            else:
                await self._converge(guest, spec, power)
            return await guest.facts()

    async def ensure_guest_gone(self, guest_id: str) -> None:
        if guest_id not in self._guests:
            return
        async with self._locked(guest_id) as guest:
            await guest.kill()
            await asyncio.to_thread(guest.folder.remove)
            del self._guests[guest_id]

    async def ensure_all_gone(self) -> None:
        await asyncio.gather(*(self.ensure_guest_gone(guest_id) for guest_id in list(self._guests)))
        await asyncio.to_thread(shutil.rmtree, self._images.folder)
        self._images.folder.mkdir()
        if not self._sockets.is_relative_to(self._state):
            await asyncio.to_thread(shutil.rmtree, self._sockets)
            self._sockets.mkdir()

    async def _make(self, guest: Guest, spec: GuestSpec) -> None:
        """Bring the disks of a guest that is off to what `spec` says, and keep `spec`."""
        record, folder = guest.record, guest.folder
        named = {disk.id: disk.source for disk in spec.disks if isinstance(disk.source, FromImage | Blank)}
        for disk_id, source in list(record.made.items()):
            if disk_id not in named or not _same_origin(source, named[disk_id]):
                del record.made[disk_id]
                guest.save()
                if file := folder.own_file(disk_id, source):
                    file.unlink(missing_ok=True)
        for disk_id, source in named.items():
            await self._make_disk(guest, disk_id, source)
        record.spec = spec
        guest.save()
        if spec.config_drive is not None:
            content = await asyncio.to_thread(config_drive.write_iso, spec.config_drive)
            (folder.path / CONFIG_DRIVE).write_bytes(content)
            folder.give(folder.path / CONFIG_DRIVE)

    async def _make_disk(self, guest: Guest, disk_id: str, source: FromImage | Blank) -> None:
        file, before = guest.folder.own_file(disk_id, source), guest.record.made.get(disk_id)
        assert file is not None
        if before is None:
            file.unlink(missing_ok=True)
            if isinstance(source, FromImage):
                await disks.make_overlay(await self._images.ensure(source), file, source)
            else:
                await disks.make_blank(file, source)
            guest.folder.give(file)
        elif not file.exists():
            raise Unavailable(f"Disk {disk_id} of guest {guest.id} is lost: there is no file {file}.")
        elif isinstance(source, FromImage) and isinstance(before, FromImage) and source.size_gib > before.size_gib:
            await disks.grow(file, "qcow2", source.size_gib << 30)
        guest.record.made[disk_id] = source
        guest.save()

    async def _converge(self, guest: Guest, spec: GuestSpec, power: Power) -> None:
        """Bring a guest that has a process to what `spec` says, as far as that is possible."""
        have = guest.record.spec
        if (have.vcpus, have.memory_mib) != (spec.vcpus, spec.memory_mib):
            raise Conflict(f"Guest {guest.id} is {power} with another size; power it off before it is changed.")
        if power is not Power.SUSPENDED:
            for disk in have.disks:
                if disk.id not in {wanted.id for wanted in spec.disks}:
                    await devices.detach_disk(guest, disk.id, 20.0)
            for nic in have.nics:
                if nic.port_id not in {wanted.port_id for wanted in spec.nics}:
                    await devices.detach_nic(guest, nic.port_id, 20.0)
            for disk in spec.disks:
                if disk.id not in {had.id for had in have.disks}:
                    await self._plug(guest, disk)
            for nic in spec.nics:
                await devices.attach_nic(guest, nic)
        guest.record.spec = spec
        guest.save()

    async def _boot(self, guest: Guest) -> None:
        (guest.folder.path / MEMORY_FILE).unlink(missing_ok=True)
        await guest.launch(self._accelerator, self._user)
        try:
            assert guest.process
            await self._slots.take(guest.process)
            await guest.go()
        except BaseException:
            await guest.kill()
            raise

    # Power

    async def power_on(self, guest_id: str) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            power = await guest.power()
            if power is Power.SUSPENDED:
                await self._wake(guest)
            elif power in _DOWN:
                if guest.alive:
                    await guest.end()
                await self._make(guest, guest.record.spec)
                await self._boot(guest)
            return await guest.facts()

    async def power_off(self, guest_id: str, timeout_s: float = 0.0) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            await guest.shut_down(timeout_s)
            return await guest.facts()

    async def reboot(self, guest_id: str, *, hard: bool = False, timeout_s: float = 60.0) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            if not hard and (power := await guest.power()) is not Power.RUNNING:
                raise Conflict(f"Guest {guest_id} is {power}: only a running guest can be asked to reboot.")
            await guest.shut_down(0.0 if hard else timeout_s)
            await self._make(guest, guest.record.spec)
            await self._boot(guest)
            return await guest.facts()

    async def pause(self, guest_id: str) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            await self._expect(guest, "pause", Power.RUNNING, Power.PAUSED)
            await guest.living("processors").execute("stop")
            return await guest.facts()

    async def resume(self, guest_id: str) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            power = await self._expect(guest, "resume", Power.PAUSED, Power.SUSPENDED, Power.RUNNING)
            if power is Power.SUSPENDED:
                await self._wake(guest)
            else:
                await guest.go()
            return await guest.facts()

    async def suspend(self, guest_id: str) -> GuestFacts:
        async with self._locked(guest_id) as guest:
            power = await self._expect(guest, "suspend", Power.RUNNING, Power.PAUSED, Power.SUSPENDED)
            if power is not Power.SUSPENDED:
                await guest.suspend()
            return await guest.facts()

    async def _expect(self, guest: Guest, verb: str, *allowed: Power) -> Power:
        power = await guest.power()
        if power not in allowed:
            raise Conflict(f"Guest {guest.id} is {power}: it cannot {verb} now.")
        return power

    async def _wake(self, guest: Guest) -> None:
        await guest.launch(self._accelerator, self._user, incoming=True)
        try:
            await guest.restore()
        except BaseException:
            if guest.record.wanted == "suspended":
                await guest.kill()
            raise

    # Devices

    async def ensure_disk_attached(self, guest_id: str, disk: Disk) -> None:
        async with self._locked(guest_id) as guest:
            _expect_awake(guest)
            if guest.alive:
                await self._plug(guest, disk)
            others = (other for other in guest.record.spec.disks if other.id != disk.id)
            self._keep(guest, disks=(*others, disk))

    async def _plug(self, guest: Guest, disk: Disk) -> None:
        if isinstance(disk.source, FromImage | Blank):
            await self._make_disk(guest, disk.id, disk.source)
        await devices.attach_disk(guest, disk)

    async def ensure_disk_detached(self, guest_id: str, disk_id: str, timeout_s: float = 20.0) -> None:
        async with self._locked(guest_id) as guest:
            _expect_awake(guest)
            if guest.alive:
                await devices.detach_disk(guest, disk_id, timeout_s)
            self._keep(guest, disks=tuple(disk for disk in guest.record.spec.disks if disk.id != disk_id))

    async def ensure_nic_attached(self, guest_id: str, nic: Nic) -> None:
        async with self._locked(guest_id) as guest:
            _expect_awake(guest)
            if guest.alive:
                await devices.attach_nic(guest, nic)
            others = (other for other in guest.record.spec.nics if other.port_id != nic.port_id)
            self._keep(guest, nics=(*others, nic))

    async def ensure_nic_detached(self, guest_id: str, port_id: str, timeout_s: float = 20.0) -> None:
        async with self._locked(guest_id) as guest:
            _expect_awake(guest)
            if guest.alive:
                await devices.detach_nic(guest, port_id, timeout_s)
            self._keep(guest, nics=tuple(nic for nic in guest.record.spec.nics if nic.port_id != port_id))

    def _keep(self, guest: Guest, **changes: object) -> None:
        guest.record.spec = msgspec.structs.replace(guest.record.spec, **changes)
        guest.save()

    async def resize_disk(self, guest_id: str, disk_id: str, size_bytes: int) -> None:
        async with self._locked(guest_id) as guest:
            disk = guest.disk(disk_id)
            own = guest.folder.own_file(disk_id, disk.source)
            if guest.alive:
                have = await devices.live_size(guest, disk_id)
            elif own is None:
                return  # a volume's size is its own; the guest sees it when it starts
            else:
                have = await disks.virtual_size(own, own.suffix[1:])
            if size_bytes < have:
                raise Invalid(f"Disk {disk_id} of guest {guest_id} has {have} bytes and cannot shrink to {size_bytes}.")
            if size_bytes == have:
                return
            if guest.alive:
                await devices.resize(guest, disk_id, size_bytes)
            elif own is not None:
                await disks.grow(own, own.suffix[1:], size_bytes)

    async def snapshot_disk(self, guest_id: str, disk_id: str, path: str) -> int:
        async with self._locked(guest_id) as guest:
            disk = guest.disk(disk_id)
            unnamed = guest.folder.path / f"copy-{hashlib.sha256(path.encode()).hexdigest()[:16]}.part"
            try:
                if guest.alive:
                    size_bytes = await devices.live_size(guest, disk_id)
                    await disks.run("qemu-img", "create", "-q", "-f", "qcow2", unnamed, str(size_bytes))
                    guest.folder.give(unnamed)
                    await devices.copy_live(guest, disk_id, str(unnamed))
                else:
                    file = guest.folder.disk_file(disk_id, disk.source)
                    await disks.copy(Path(file.path), file.format, unnamed)
                return await asyncio.to_thread(_hand_over, unnamed, Path(path))
            finally:
                unnamed.unlink(missing_ok=True)

    # Consoles

    async def console_log(self, guest_id: str, lines: int | None = None) -> str:
        if guest_id not in self._guests:
            raise NotFound(f"Guest {guest_id} is not on this host.")
        text = _tail(self._guests[guest_id].folder.path / CONSOLE_LOG).decode(errors="replace").replace("\r\n", "\n")
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:] if lines > 0 else ())

    async def console_address(self, guest_id: str) -> ConsoleAddress:
        async with self._locked(guest_id) as guest:
            guest.living("screen")
            return ConsoleAddress(kind="vnc", path=str(guest.folder.vnc))

    async def screenshot(self, guest_id: str) -> bytes:
        async with self._locked(guest_id) as guest:
            picture = guest.folder.path / "screen.png"
            await guest.living("screen").execute("screendump", filename=picture.name, format="png")
            content = picture.read_bytes()
            picture.unlink()
            return content

    async def _trim_logs(self) -> None:
        while True:
            await clock.sleep(_TRIM_EVERY_S)
            for guest in list(self._guests.values()):
                with contextlib.suppress(FileNotFoundError):
                    trim(guest.folder.path / CONSOLE_LOG)


def _expect_awake(guest: Guest) -> None:
    if guest.record.wanted == "suspended":
        raise Conflict(f"Guest {guest.id} is suspended: its devices cannot change now; resume it first.")


def trim(path: Path) -> None:
    """Cut a log that has grown beyond twice its limit down to its end; QEMU appends, so it goes on behind that."""
    if path.stat().st_size > 2 * LOG_LIMIT_BYTES:
        rest = _tail(path)
        with path.open("r+b") as file:
            file.truncate(0)
        with path.open("ab") as file:
            file.write(rest)


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_LIMIT_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""


def _image_sources(guest: Guest) -> list[FromImage]:
    every = [*guest.record.made.values(), *(disk.source for disk in guest.record.spec.disks)]
    return [source for source in every if isinstance(source, FromImage)]


def _same_origin(made: object, wanted: FromImage | Blank) -> bool:
    """Say whether a disk made from one source serves for another: the same image, perhaps larger; the same blank."""
    if isinstance(made, FromImage) and isinstance(wanted, FromImage):
        return made.image_id == wanted.image_id and made.size_gib <= wanted.size_gib
    return made == wanted


def _hand_over(made: Path, target: Path) -> int:
    """Move a finished file to where it was asked for, across file systems if need be; return its size in bytes."""
    os.chown(made, os.geteuid(), os.getegid())
    unnamed = target.with_name(f"{target.name}.part")
    try:
        made.rename(unnamed)
    except OSError:
        shutil.copyfile(made, unnamed)
    unnamed.rename(target)
    return target.stat().st_size


def _socket_folder(state: Path) -> Path:
    """Return where sockets go: under `state`, or in /run where that would be longer than a socket's name may be."""
    here = state / "run"
    if len(str(here / ("x" * 36) / "monitor")) <= _LONGEST_SOCKET_PATH:
        return here
    short = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    return runtime / f"pileus-{short}"
