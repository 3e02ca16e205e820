"""The QEMU hypervisor: the verbs of `drivers/base.py` over guests, images and slots.

One rule: a verb takes its guest's lock, looks at what is, and does what is missing.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from pileus.kernel import clock
from pileus.kernel.errors import Conflict, Invalid, NotFound, Unavailable
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
from pileus.services.compute.drivers.qemu.console import tail, trim
from pileus.services.compute.drivers.qemu.groups import Groups
from pileus.services.compute.drivers.qemu.guest import Guest
from pileus.services.compute.drivers.qemu.own_disks import make, make_disk
from pileus.services.compute.drivers.qemu.record import CONSOLE_LOG, MEMORY_FILE, GuestFolder, Record, socket_folder

log = logging.getLogger("pileus.compute.qemu")

QEMU_USER = 60900
"""The user without a name that guests' processes run as, where the driver may choose."""
_TRIM_EVERY_S = 20.0
_DOWN = (Power.OFF, Power.CRASHED)


class QemuHypervisor:
    """One cloud's guests on this host; everything of theirs lives under `state`."""

    def __init__(self, state: Path, *, slots: int | None = None, user: int | None = QEMU_USER) -> None:
        self._state = state
        self._guests_folder = state / "guests"
        self._images = disks.Images(state / "images")
        self._sockets = socket_folder(state)
        self._user = user if os.geteuid() == 0 else None
        self._accelerator = host.accelerator(self._user)
        self._slots = BootSlots(slots or (os.cpu_count() or 1) * (8 if self._accelerator == "kvm" else 1))
        self._groups = Groups(state) if os.geteuid() == 0 else None
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
        if self._user is not None and not disks.reachable(self._guests_folder, self._user):
            log.warning("guests run as root: user %d may not pass through all folders to %s", self._user, self._state)
            self._user = None
        for path in self._guests_folder.iterdir():
            folder = self._folder(path.name)
            if record := folder.load():
                folder.tidy()
                self._guests[path.name] = Guest(folder, record, self._report)
            else:
                await asyncio.to_thread(folder.remove)
        await asyncio.gather(*(guest.adopt() for guest in self._guests.values()))
        if self._groups is not None:
            self._groups.sweep()
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
        return await host.facts(self._state, self._accelerator)

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
                await make(guest, spec, self._images)
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
            if self._groups is not None:
                self._groups.drop(guest_id)
            del self._guests[guest_id]

    async def ensure_all_gone(self) -> None:
        await asyncio.gather(*(self.ensure_guest_gone(guest_id) for guest_id in list(self._guests)))
        if self._groups is not None:
            self._groups.sweep()
        await asyncio.to_thread(shutil.rmtree, self._images.folder)
        self._images.folder.mkdir()
        if not self._sockets.is_relative_to(self._state):
            await asyncio.to_thread(shutil.rmtree, self._sockets)
            self._sockets.mkdir()

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

    async def _launch(self, guest: Guest, *, incoming: bool = False) -> None:
        """Start the guest's process, bounded before the guest's own code runs."""
        await guest.launch(self._accelerator, self._user, incoming=incoming)
        if self._groups is not None and guest.process is not None:
            spec = guest.record.spec
            self._groups.hold(guest.id, guest.process.pid, spec.memory_mib, spec.vcpus)

    async def _boot(self, guest: Guest) -> None:
        (guest.folder.path / MEMORY_FILE).unlink(missing_ok=True)
        await self._launch(guest)
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
                await make(guest, guest.record.spec, self._images)
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
            await make(guest, guest.record.spec, self._images)
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
        await self._launch(guest, incoming=True)
        try:
            await guest.restore()
        except BaseException:
            if guest.record.wanted == "suspended":
                await guest.kill()
            raise

    # Devices

    async def ensure_disk_attached(self, guest_id: str, disk: Disk) -> None:
        async with self._locked(guest_id) as guest:
            if guest.record.wanted == "suspended" and any(disk.id == had.id for had in guest.record.spec.disks):
                return
            _expect_awake(guest)
            if guest.alive:
                await self._plug(guest, disk)
            others = (other for other in guest.record.spec.disks if other.id != disk.id)
            self._keep(guest, disks=(*others, disk))

    async def _plug(self, guest: Guest, disk: Disk) -> None:
        if isinstance(disk.source, FromImage | Blank):
            await make_disk(guest, disk.id, disk.source, self._images)
        await devices.attach_disk(guest, disk)

    async def ensure_disk_detached(self, guest_id: str, disk_id: str, timeout_s: float = 20.0) -> None:
        if guest_id not in self._guests:
            return
        async with self._locked(guest_id) as guest:
            if not guest.alive and all(disk.id != disk_id for disk in guest.record.spec.disks):
                return
            _expect_awake(guest)
            if guest.alive:
                await devices.detach_disk(guest, disk_id, timeout_s)
            self._keep(guest, disks=tuple(disk for disk in guest.record.spec.disks if disk.id != disk_id))

    async def ensure_nic_attached(self, guest_id: str, nic: Nic) -> None:
        async with self._locked(guest_id) as guest:
            if guest.record.wanted == "suspended" and any(nic.port_id == n.port_id for n in guest.record.spec.nics):
                return
            _expect_awake(guest)
            if guest.alive:
                await devices.attach_nic(guest, nic)
            others = (other for other in guest.record.spec.nics if other.port_id != nic.port_id)
            self._keep(guest, nics=(*others, nic))

    async def ensure_nic_detached(self, guest_id: str, port_id: str, timeout_s: float = 20.0) -> None:
        if guest_id not in self._guests:
            return
        async with self._locked(guest_id) as guest:
            if not guest.alive and all(nic.port_id != port_id for nic in guest.record.spec.nics):
                return
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
            unnamed = disks.unnamed_beside(guest.folder.path / "copy")
            try:
                if guest.alive:
                    size_bytes = await devices.live_size(guest, disk_id)
                    await disks.run("qemu-img", "create", "-q", "-f", "qcow2", unnamed, str(size_bytes))
                    guest.folder.give(unnamed)
                    await devices.copy_live(guest, disk_id, str(unnamed))
                else:
                    file = guest.folder.disk_file(disk_id, disk.source)
                    await disks.copy(Path(file.path), file.format, unnamed, self._user)
                return await asyncio.to_thread(disks.hand_over, unnamed, Path(path))
            finally:
                unnamed.unlink(missing_ok=True)

    # Consoles

    async def console_log(self, guest_id: str, lines: int | None = None) -> str:
        if guest_id not in self._guests:
            raise NotFound(f"Guest {guest_id} is not on this host.")
        text = tail(self._guests[guest_id].folder.path / CONSOLE_LOG).decode(errors="replace").replace("\r\n", "\n")
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


def _image_sources(guest: Guest) -> list[FromImage]:
    every = [*guest.record.made.values(), *(disk.source for disk in guest.record.spec.disks)]
    return [source for source in every if isinstance(source, FromImage)]
