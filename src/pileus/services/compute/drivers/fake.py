"""A hypervisor without guests: it obeys, remembers and refuses as the contract says, at once.

One rule: it must refuse what the QEMU driver refuses, or tests over it prove nothing. With a state file it survives
restarts as guests do; with a fault it fails where it is told to.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pileus.kernel.errors import Conflict, Invalid, NotFound
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

Fault = Callable[[str, str], None]
"""Called with (verb, guest id) before each verb acts; raises to make it fail."""

_DOWN = (Power.OFF, Power.CRASHED)
_LOG = """\
Fake guest {name} ({id})
processors: {vcpus}
memory: {memory_mib} MiB
disks: {disks}
network cards: {nics}
no kernel was loaded
no file system was mounted
no program was started
all of this took no time
login is not possible: this cloud runs without a hypervisor
"""


class Kept(msgspec.Struct):
    """What the fake remembers of a guest."""

    spec: GuestSpec
    power: Power = Power.OFF
    boots: int = 0
    sizes: dict[str, int] = {}


class FakeHypervisor:
    """Guests held in a dictionary; `calls` counts each verb."""

    def __init__(self, state: Path | None = None, *, fault: Fault | None = None, host: HostFacts | None = None) -> None:
        self.fault = fault
        self.calls: Counter[str] = Counter()
        self._state = state
        self._kept: dict[str, Kept] = {}
        self._listener: Listener = lambda event: None
        self._host = host or HostFacts(
            vcpus=1000,
            memory_mib=4 * 1024 * 1024,
            disk_gib=100_000,
            disk_free_gib=100_000,
            hypervisor_type="fake",
            hypervisor_version=1_000_000,
            accelerator="fake",
            cpu_info={"arch": "x86_64", "model": "fake", "vendor": "Pileus", "topology": {}, "features": []},
            boot_id="fake",
        )

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        if self._state and self._state.exists():
            self._kept = msgspec.json.decode(self._state.read_bytes(), type=dict[str, Kept])
        if (boot := self._boot_file) and boot.exists():
            self._host = msgspec.structs.replace(self._host, boot_id=boot.read_text())

    async def close(self) -> None:
        self._listener = lambda event: None

    async def facts(self) -> HostFacts:
        self._called("facts", "")
        return self._host

    async def guests(self) -> Sequence[GuestFacts]:
        self._called("guests", "")
        return [_facts(kept) for kept in self._kept.values()]

    async def guest(self, guest_id: str) -> GuestFacts:
        return _facts(self._find("guest", guest_id))

    async def ensure_guest(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        self._called("ensure_guest", spec.id)
        kept = self._kept.get(spec.id)
        if kept and kept.power not in _DOWN and _shape(kept.spec) != _shape(spec):
            raise Conflict(f"Guest {spec.id} is {kept.power} with another size; power it off before it is changed.")
        if kept is None:
            kept = self._kept[spec.id] = Kept(spec)
        kept.spec = spec
        if running and kept.power in _DOWN:
            self._boot(kept)
        return self._save(kept)

    async def ensure_guest_gone(self, guest_id: str) -> None:
        self._called("ensure_guest_gone", guest_id)
        self._kept.pop(guest_id, None)
        self._write()

    async def power_on(self, guest_id: str) -> GuestFacts:
        kept = self._find("power_on", guest_id)
        if kept.power is Power.SUSPENDED:
            kept.power = Power.RUNNING
        elif kept.power in _DOWN:
            self._boot(kept)
        return self._save(kept)

    async def power_off(self, guest_id: str, timeout_s: float = 0.0) -> GuestFacts:
        kept = self._find("power_off", guest_id)
        kept.power = Power.OFF
        return self._save(kept)

    async def reboot(self, guest_id: str, *, hard: bool = False, timeout_s: float = 60.0) -> GuestFacts:
        kept = self._find("reboot", guest_id)
        if not hard and kept.power is not Power.RUNNING:
            raise Conflict(f"Guest {guest_id} is {kept.power}: only a running guest can be asked to reboot.")
        self._boot(kept)
        return self._save(kept)

    async def pause(self, guest_id: str) -> GuestFacts:
        return self._move("pause", guest_id, (Power.RUNNING, Power.PAUSED), Power.PAUSED)

    async def resume(self, guest_id: str) -> GuestFacts:
        return self._move("resume", guest_id, (Power.PAUSED, Power.SUSPENDED, Power.RUNNING), Power.RUNNING)

    async def suspend(self, guest_id: str) -> GuestFacts:
        return self._move("suspend", guest_id, (Power.RUNNING, Power.PAUSED, Power.SUSPENDED), Power.SUSPENDED)

    async def ensure_disk_attached(self, guest_id: str, disk: Disk) -> None:
        there = self._kept.get(guest_id)
        has = there is not None and any(disk.id == other.id for other in there.spec.disks)
        if there is not None and has and there.power is Power.SUSPENDED:
            self._called("ensure_disk_attached", guest_id)
            return
        kept = self._awake("ensure_disk_attached", guest_id)
        others = tuple(other for other in kept.spec.disks if other.id != disk.id)
        kept.spec = msgspec.structs.replace(kept.spec, disks=(*others, disk))
        self._save(kept)

    async def ensure_disk_detached(self, guest_id: str, disk_id: str, timeout_s: float = 20.0) -> None:
        there = self._kept.get(guest_id)
        if there is None or all(disk.id != disk_id for disk in there.spec.disks):
            self._called("ensure_disk_detached", guest_id)
            return
        kept = self._awake("ensure_disk_detached", guest_id)
        kept.spec = msgspec.structs.replace(
            kept.spec, disks=tuple(disk for disk in kept.spec.disks if disk.id != disk_id)
        )
        self._save(kept)

    async def ensure_nic_attached(self, guest_id: str, nic: Nic) -> None:
        there = self._kept.get(guest_id)
        has = there is not None and any(nic.port_id == other.port_id for other in there.spec.nics)
        if there is not None and has and there.power is Power.SUSPENDED:
            self._called("ensure_nic_attached", guest_id)
            return
        kept = self._awake("ensure_nic_attached", guest_id)
        others = tuple(other for other in kept.spec.nics if other.port_id != nic.port_id)
        kept.spec = msgspec.structs.replace(kept.spec, nics=(*others, nic))
        self._save(kept)

    async def ensure_nic_detached(self, guest_id: str, port_id: str, timeout_s: float = 20.0) -> None:
        there = self._kept.get(guest_id)
        if there is None or all(nic.port_id != port_id for nic in there.spec.nics):
            self._called("ensure_nic_detached", guest_id)
            return
        kept = self._awake("ensure_nic_detached", guest_id)
        kept.spec = msgspec.structs.replace(
            kept.spec, nics=tuple(nic for nic in kept.spec.nics if nic.port_id != port_id)
        )
        self._save(kept)

    async def resize_disk(self, guest_id: str, disk_id: str, size_bytes: int) -> None:
        kept = self._find("resize_disk", guest_id)
        have = kept.sizes.get(disk_id, _first_size(_disk(kept, disk_id)))
        if size_bytes < have:
            raise Invalid(f"Disk {disk_id} of guest {guest_id} has {have} bytes and cannot shrink to {size_bytes}.")
        kept.sizes[disk_id] = size_bytes
        self._save(kept)

    async def snapshot_disk(self, guest_id: str, disk_id: str, path: str) -> int:
        disk = _disk(self._find("snapshot_disk", guest_id), disk_id)
        source = disk.source
        original = Path(source.path) if isinstance(source, FromImage) and source.format == "qcow2" else None
        content = original.read_bytes() if original and original.is_file() else _empty_qcow2()
        _write_whole(Path(path), content)
        return len(content)

    async def console_log(self, guest_id: str, lines: int | None = None) -> str:
        kept = self._find("console_log", guest_id)
        spec = kept.spec
        text = kept.boots and _LOG.format(
            name=spec.name,
            id=spec.id,
            vcpus=spec.vcpus,
            memory_mib=spec.memory_mib,
            disks=", ".join(disk.id for disk in spec.disks) or "none",
            nics=", ".join(nic.mac for nic in spec.nics) or "none",
        )
        return "".join((text or "").splitlines(keepends=True)[-lines if lines else 0 :]) if lines != 0 else ""

    async def console_address(self, guest_id: str) -> ConsoleAddress:
        self._alive("console_address", guest_id)
        return ConsoleAddress(kind="vnc", path=f"/nonexistent/pileus-fake/{guest_id}.vnc")

    async def screenshot(self, guest_id: str) -> bytes:
        self._alive("screenshot", guest_id)
        return _png(640, 480)

    def size_of(self, guest_id: str) -> tuple[int, int]:
        """Return a guest's processors and MiB of memory."""
        spec = self._kept[guest_id].spec
        return spec.vcpus, spec.memory_mib

    def has(self, guest_id: str) -> bool:
        """Tell whether a guest is here."""
        return guest_id in self._kept

    def spec_of(self, guest_id: str) -> GuestSpec:
        """Return a guest as it was last told to be."""
        return self._kept[guest_id].spec

    async def ensure_all_gone(self) -> None:
        self._called("ensure_all_gone", "")
        self._kept.clear()
        self._write()

    def stop_by_itself(self, guest_id: str, power: Power = Power.OFF, reason: str | None = None) -> None:
        """Do what a guest does without being told (tests): power itself off, or crash."""
        kept = self._find("stop_by_itself", guest_id)
        kept.power = power
        self._save(kept)
        self._listener(GuestEvent(guest_id=guest_id, power=power, reason=reason))

    def lose_power(self) -> None:
        """Do what a host does when it is switched off and on again (tests): every guest is off."""
        self._host = msgspec.structs.replace(self._host, boot_id=f"{self._host.boot_id}'")
        if self._boot_file:
            _write_whole(self._boot_file, self._host.boot_id.encode())
        for kept in self._kept.values():
            if kept.power is not Power.SUSPENDED:
                kept.power = Power.OFF
        self._write()

    @property
    def _boot_file(self) -> Path | None:
        """Where a driver that is made anew finds that the host itself has started again."""
        return self._state.with_suffix(".boot") if self._state else None

    def _called(self, verb: str, guest_id: str) -> None:
        self.calls[verb] += 1
        if self.fault:
            self.fault(verb, guest_id)

    def _find(self, verb: str, guest_id: str) -> Kept:
        self._called(verb, guest_id)
        if guest_id not in self._kept:
            raise NotFound(f"Guest {guest_id} is not on this host.")
        return self._kept[guest_id]

    def _awake(self, verb: str, guest_id: str) -> Kept:
        kept = self._find(verb, guest_id)
        if kept.power is Power.SUSPENDED:
            raise Conflict(f"Guest {guest_id} is suspended: its devices cannot change now; resume it first.")
        return kept

    def _alive(self, verb: str, guest_id: str) -> Kept:
        kept = self._find(verb, guest_id)
        if kept.power not in (Power.RUNNING, Power.PAUSED):
            raise Conflict(f"Guest {guest_id} is {kept.power} and has no screen; start it first.")
        return kept

    def _move(self, verb: str, guest_id: str, allowed: tuple[Power, ...], to: Power) -> GuestFacts:
        kept = self._find(verb, guest_id)
        if kept.power not in allowed:
            raise Conflict(f"Guest {guest_id} is {kept.power}: it cannot {verb} now.")
        kept.power = to
        return self._save(kept)

    def _boot(self, kept: Kept) -> None:
        kept.power = Power.RUNNING
        kept.boots += 1

    def _save(self, kept: Kept) -> GuestFacts:
        self._write()
        return _facts(kept)

    def _write(self) -> None:
        if self._state:
            _write_whole(self._state, msgspec.json.encode(self._kept))


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unnamed = path.with_name(f"{path.name}.part")
    unnamed.write_bytes(content)
    unnamed.replace(path)


def _facts(kept: Kept) -> GuestFacts:
    spec = kept.spec
    return GuestFacts(
        id=spec.id,
        name=spec.name,
        power=kept.power,
        disks=tuple(disk.id for disk in spec.disks),
        nics=tuple(nic.port_id for nic in spec.nics),
    )


def _shape(spec: GuestSpec) -> tuple[object, ...]:
    return spec.vcpus, spec.memory_mib


def _disk(kept: Kept, disk_id: str) -> Disk:
    for disk in kept.spec.disks:
        if disk.id == disk_id:
            return disk
    raise NotFound(f"Guest {kept.spec.id} has no disk {disk_id}.")


def _first_size(disk: Disk) -> int:
    if isinstance(disk.source, FromImage):
        return disk.source.size_gib << 30
    return disk.source.size_mib << 20 if isinstance(disk.source, Blank) else 0


def _empty_qcow2() -> bytes:
    """Return the header of an empty qcow2 disk (docs/interop/qcow2: magic, version 2, 64 KiB clusters, no size)."""
    return b"QFI\xfb" + (2).to_bytes(4, "big") + bytes(12) + (16).to_bytes(4, "big") + bytes(48)


def _png(width: int, height: int) -> bytes:
    """Return a black screen as a PNG (ISO/IEC 15948): one bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((1, 0, 0, 0, 0))
    rows = bytes(1 + width // 8) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
