"""One guest: its record, its process, its monitor, and the verbs of its power.

One rule: callers hold `lock`, and whatever is done stays right if this process is killed in the middle: the record is
written before a stop and after a start, and `adopt` settles what was between.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

from pileus.kernel.errors import Conflict, NotFound, Unavailable
from pileus.services.compute.commands import Disk, GuestEvent, GuestFacts, LocalFile, Power
from pileus.services.compute.drivers.qemu import process
from pileus.services.compute.drivers.qemu.arguments import Sockets, command_line
from pileus.services.compute.drivers.qemu.monitor import Event, Monitor, Refused
from pileus.services.compute.drivers.qemu.process import GuestProcess
from pileus.services.compute.drivers.qemu.record import CONFIG_DRIVE, MEMORY_FILE, GuestFolder, Record
from pileus.services.compute.drivers.qemu.slots import first_slots, live_slots

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x400454CA, 0x0002, 0x1000, 0x4000
_PRESS_AGAIN_S = 4.0
_QUICK_S = 5.0
_FULL_SPEED = 1 << 40


class Guest:
    """A guest that this driver keeps. `report` is called when it changes without having been told to."""

    def __init__(self, folder: GuestFolder, record: Record, report: Callable[[GuestEvent], None]) -> None:
        self.folder = folder
        self.record = record
        self.lock = asyncio.Lock()
        self.monitor: Monitor | None = None
        self.process: GuestProcess | None = None
        self._report = report
        self._told_to_end = self._connected = False
        self._closing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._waiters: list[tuple[Callable[[Event], bool], asyncio.Future[Event]]] = []

    @property
    def id(self) -> str:
        return self.record.spec.id

    @property
    def alive(self) -> bool:
        return self.process is not None and not self.process.ended.is_set()

    def save(self) -> None:
        self.folder.save(self.record)

    # Facts

    async def power(self) -> Power:
        if not self.alive or self.monitor is None:
            return {"on": Power.CRASHED, "off": Power.OFF, "suspended": Power.SUSPENDED}[self.record.wanted]
        try:
            status = (await self.monitor.execute("query-status", _QUICK_S))["status"]
        except Unavailable:
            if self.alive:
                raise
            return await self.power()
        if status in ("running", "prelaunch", "inmigrate"):
            return Power.RUNNING
        if status in ("guest-panicked", "internal-error"):
            return Power.CRASHED
        return Power.OFF if status == "shutdown" else Power.PAUSED

    async def facts(self) -> GuestFacts:
        """Return what is known of the guest; a process that hangs is told of as running, with the reason."""
        spec, reason = self.record.spec, self.record.reason
        try:
            power = await self.power()
        except Unavailable as error:
            power, reason = Power.RUNNING, f"{error.message} Reboot it hard."
        return GuestFacts(
            id=spec.id,
            name=spec.name,
            power=power,
            disks=tuple(disk.id for disk in spec.disks),
            nics=tuple(nic.port_id for nic in spec.nics),
            storage_monitor=str(self.folder.storage_monitor),
            reason=reason,
        )

    def disk(self, disk_id: str) -> Disk:
        for disk in self.record.spec.disks:
            if disk.id == disk_id:
                return disk
        raise NotFound(f"Guest {self.id} has no disk {disk_id}.")

    def living(self, what: str) -> Monitor:
        """Return the monitor of a guest that has a process; raise Conflict naming what cannot be done otherwise."""
        if not self.alive or self.monitor is None:
            raise Conflict(f"Guest {self.id} is not running and has no {what}; start it first.")
        return self.monitor

    # Events

    async def next_event(self, wanted: Callable[[Event], bool], timeout_s: float) -> Event:
        """Wait for an event; raise TimeoutError, or Unavailable when the process ends first."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiter = (wanted, future)
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(future, timeout_s)
        finally:
            self._waiters.remove(waiter)

    def _on_event(self, event: Event) -> None:
        for wanted, future in self._waiters:
            if not future.done() and wanted(event):
                future.set_result(event)
        if event["event"] == "BLOCK_IO_ERROR" and event["data"]["action"] == "stop":
            self._lost_its_disk(event["data"])
        if event["event"] == "SHUTDOWN" and not self._told_to_end:
            self._ending = asyncio.get_running_loop().create_task(self._powered_itself_off())

    def _lost_its_disk(self, data: Event) -> None:
        """Tell that QEMU has paused the guest, rather than let it see a failed write."""
        cause = "the host's disk is full" if data.get("nospace") else data.get("reason", "an error")
        self.record.reason = (
            f"Guest {self.id} is paused: its disk could not be used ({cause}); mend that and resume it."
        )
        self.save()
        self._report(GuestEvent(guest_id=self.id, power=Power.PAUSED, reason=self.record.reason))

    async def _powered_itself_off(self) -> None:
        async with self.lock:
            if self.alive and not self._told_to_end and await self.power() is Power.OFF:
                await self.end()
                self._report(GuestEvent(guest_id=self.id, power=Power.OFF))

    def _on_end(self) -> None:
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(Unavailable(f"QEMU of guest {self.id} ended."))
        if self._told_to_end or not self._connected or self.process is None:
            return  # as it was told, or its launch failed and says so itself
        if self.monitor:
            self._closing = asyncio.get_running_loop().create_task(self.monitor.close())
            self.monitor = None
        self.record.reason = f"Guest {self.id} crashed: {self.process.reason}."
        if self.folder.path.exists():
            self.save()
        self._report(GuestEvent(guest_id=self.id, power=Power.CRASHED, reason=self.record.reason))

    # Life

    async def adopt(self) -> None:
        """Take over the process that an earlier life of this driver left, and settle what it was in the middle of."""
        self.process = await process.find(self.id, self.folder.path, self._on_end)
        if self.process is None:
            return
        self._told_to_end = self._connected = False
        try:
            await self._connect()
            status = (await self._monitor().execute("query-status"))["status"]
        except Unavailable:
            status = "prelaunch"  # it cannot be spoken to, so it cannot be kept
        if status in ("prelaunch", "inmigrate"):
            self._told_to_end = True
            await self.process.kill()
        elif status == "shutdown":
            await self.end()
        else:
            self.record.wanted, self.record.reason = "on", self.record.reason if status != "running" else None
            (self.folder.path / MEMORY_FILE).unlink(missing_ok=True)
            self.save()
            await self._drop_copies()

    async def _drop_copies(self) -> None:
        """Stop copies of disks whose taker is gone."""
        monitor = self._monitor()
        for job in await monitor.execute("query-jobs"):
            with contextlib.suppress(Refused):
                await monitor.execute("job-cancel", id=job["id"])

    def _monitor(self) -> Monitor:
        assert self.monitor is not None
        return self.monitor

    async def _connect(self) -> None:
        assert self.process is not None
        monitor = Monitor(self.id)
        connecting = asyncio.create_task(monitor.connect(str(self.folder.monitor), self._on_event))
        ending = asyncio.create_task(self.process.ended.wait())
        await asyncio.wait((connecting, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if self.process.ended.is_set():
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            raise Unavailable(f"QEMU could not start guest {self.id}: {process.last_words(self.folder.path)}")
        await connecting
        self.monitor = monitor
        self._connected = True

    async def launch(self, accelerator: str, user: int | None, *, incoming: bool = False) -> None:
        """Start the process, stopped before its first instruction, and connect to it."""
        lock = process.try_lock(self.folder.path)
        if lock is None:
            raise Conflict(f"Guest {self.id} has a process already.")
        inherit = [lock]
        try:
            spec = self.record.spec
            if spec.config_drive is not None:
                source = LocalFile(path=str(self.folder.path / CONFIG_DRIVE), format="raw", read_only=True)
                drive = Disk(id="config-drive", source=source)
                spec = msgspec.structs.replace(spec, disks=(*spec.disks, drive))
            files = {disk.id: self.folder.disk_file(disk.id, disk.source) for disk in spec.disks}
            sockets = Sockets(_listen(self.folder.monitor), _listen(self.folder.storage_monitor), str(self.folder.vnc))
            inherit += [sockets.monitor_fd, sockets.storage_fd]
            taps: dict[str, int] = {}
            for nic in spec.nics:
                taps[nic.port_id] = open_tap(nic.tap)
                inherit.append(taps[nic.port_id])
            self.folder.vnc.unlink(missing_ok=True)
            slots = (incoming and self.record.slots) or first_slots(spec)
            line = command_line(spec, files, sockets, taps, slots, accelerator=accelerator, incoming=incoming)
            self._told_to_end = self._connected = False
            self.process = process.start(line, self.folder.path, inherit, user, self._on_end)
        finally:
            for fd in inherit:
                os.close(fd)
        try:
            await self._connect()
        except BaseException:
            await self.kill()
            raise

    async def go(self) -> None:
        """Let the guest run, or go on; from here on it is wanted on."""
        await self._monitor().execute("cont")
        self.record.wanted, self.record.reason = "on", None
        self.save()

    async def end(self, *, wanted: str = "off") -> None:
        """End the process at once, as asked for."""
        self._told_to_end = True
        self.record.wanted, self.record.reason = ("suspended" if wanted == "suspended" else "off"), None
        self.save()
        await self.kill()
        if wanted == "off":
            (self.folder.path / MEMORY_FILE).unlink(missing_ok=True)

    async def kill(self) -> None:
        self._told_to_end = True
        if self.process and self.alive:
            with contextlib.suppress(Unavailable, Refused):
                if self.monitor:
                    # Its disks' caches are written out by a quit; the process is not asked twice.
                    await self.monitor.execute("quit", 2.0)
                    await self.process.wait(5.0)
            await self.process.kill()
        await self.let_go()

    async def let_go(self) -> None:
        """Forget the process and its monitor without touching them."""
        if self.monitor:
            await self.monitor.close()
            self.monitor = None
        if self.process:
            self.process.forget()
            self.process = None

    async def shut_down(self, timeout_s: float) -> None:
        """Ask the guest to power itself off, end its process when it has, or when the time is over."""
        if self.alive and timeout_s > 0 and await self.power() is Power.RUNNING:
            self._told_to_end = True
            try:
                await self._press_power_button(timeout_s)
            except BaseException:
                self._told_to_end = False
                raise
        await self.end()

    async def _press_power_button(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while (left := until - loop.time()) > 0:
            # A guest that has not finished booting does not hear the button; press it again.
            waiting = asyncio.create_task(self.next_event(_is_shutdown, min(left, _PRESS_AGAIN_S)))
            await asyncio.sleep(0)
            try:
                await self._monitor().execute("system_powerdown")
                await waiting
                return
            except TimeoutError:
                continue
            except Unavailable:
                return  # it ended before it was asked
            finally:
                waiting.cancel()

    async def suspend(self) -> None:
        """Write the memory to the guest's folder and end the process."""
        monitor = self.living("memory to save")
        self.record.slots = await live_slots(monitor)
        await monitor.execute("stop")
        unnamed = self.folder.path / f"{MEMORY_FILE}.part"
        fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            await monitor.send_file("memory", fd)
        finally:
            os.close(fd)
        try:
            await monitor.execute("migrate-set-parameters", **{"max-bandwidth": _FULL_SPEED})
            await monitor.execute("migrate", uri="fd:memory")
            await self._migrated()
        except BaseException:
            unnamed.unlink()
            if self.alive:
                await monitor.execute("cont")
            raise
        unnamed.rename(self.folder.path / MEMORY_FILE)
        await self.end(wanted="suspended")

    async def restore(self) -> None:
        """Read the saved memory into a process launched with `incoming`, and go on."""
        monitor, memory = self._monitor(), self.folder.path / MEMORY_FILE
        fd = os.open(memory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await monitor.send_file("memory", fd)
        finally:
            os.close(fd)
        await monitor.execute("migrate-incoming", uri="fd:memory")
        await self._migrated()
        await self.go()
        memory.unlink()

    async def _migrated(self, timeout_s: float = 600.0) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await self._monitor().execute("query-migrate")
                if found.get("status") == "completed":
                    return
                if found.get("status") in ("failed", "cancelled"):
                    raise Unavailable(
                        f"The memory of guest {self.id} could not be moved: {found.get('error-desc', 'no reason')}"
                    )
                await asyncio.sleep(0.05)


def _is_shutdown(event: Event) -> bool:
    return event["event"] == "SHUTDOWN"


def _listen(path: Path) -> int:
    """Return the file descriptor of a new listening socket that only its owner may reach."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(1)
        return listening.detach()


def open_tap(name: str) -> int:
    """Open an existing tap and return its file descriptor. Source: Linux Documentation/networking/tuntap."""
    if not os.path.exists(f"/sys/class/net/{name}"):
        raise Unavailable(f"The tap {name} is not on this host; the port has to be plugged before the guest.")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    except OSError as error:
        os.close(fd)
        raise Unavailable(f"The tap {name} cannot be opened: {error.strerror}.") from error
    return fd
