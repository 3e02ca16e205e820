"""Volumes as qcow2 files.  One rule: every file stands alone; none has a backing file.

    <root>/volumes/<id>.qcow2      <root>/snapshots/<id>.qcow2
    <root>/work/                   files being written; renamed into place when complete and synced
    <root>/quarantine/             files nobody claimed
    <root>/exports/                pid files and sockets of the storage daemons (NBD)

A snapshot or a clone is a copy of the allocated clusters.  That costs time in proportion to the data, and buys:
any order of deletion, no chain to shorten, no reference count to drift, a volume that survives damage to its
snapshots, and live snapshots that do not change the file under a running guest (see ``live.py``).
"""

import asyncio
import os
from pathlib import Path

from pileus.kernel.disk_formats import QEMU_NAMES
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.block_storage.drivers.base import (
    Blank,
    Capacity,
    Export,
    FromSnapshot,
    FromVolume,
    ImageFile,
    Inventory,
    Kind,
    LocalFile,
    NbdSocket,
    SnapshotFacts,
    Source,
    VolumeFacts,
)
from pileus.services.block_storage.drivers.qcow2 import live, qemu_img
from pileus.services.block_storage.drivers.qcow2.files import Disk, Pool
from pileus.services.block_storage.drivers.qcow2.nbd import NbdExports

PACKAGES: tuple[str, ...] = ("qemu-utils", "qemu-system-common")
GIB = 1 << 30


class Qcow2Driver:
    """The pool in one directory of one host; ``run`` holds sockets when ``root`` is too deep for them."""

    name = "qcow2"
    storage_protocol = "file"

    def __init__(self, root: Path, run: Path | None = None) -> None:
        self.pool = Pool(root.resolve())
        self.exports = NbdExports((run or root / "exports").resolve())
        self._locks: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        self.pool.make_folders()
        self.exports.folder.mkdir(parents=True, exist_ok=True)

    async def ensure_volume(self, volume_id: str, size_gib: int, source: Source) -> VolumeFacts:
        async with self._lock(volume_id):
            if self.pool.find("volume", volume_id) is None:
                async with self.pool.new_file(self.pool.path("volume", volume_id)) as new:
                    await self._fill(new, size_gib, source)
            return _volume(self.pool.get("volume", volume_id))

    async def ensure_volume_gone(self, volume_id: str) -> None:
        async with self._lock(volume_id):
            await self.exports.ensure_gone(volume_id)
            self.pool.remove("volume", volume_id)
        self._locks.pop(volume_id, None)

    async def ensure_snapshot(self, snapshot_id: str, volume_id: str, monitor: str | None = None) -> SnapshotFacts:
        async with self._lock(snapshot_id):
            if self.pool.find("snapshot", snapshot_id) is None:
                async with self.pool.new_file(self.pool.path("snapshot", snapshot_id)) as new:
                    await self._copy("volume", volume_id, new, monitor)
            return _snapshot(self.pool.get("snapshot", snapshot_id))

    async def ensure_snapshot_gone(self, snapshot_id: str) -> None:
        self.pool.remove("snapshot", snapshot_id)
        self._locks.pop(snapshot_id, None)

    async def extend(self, volume_id: str, size_gib: int, monitor: str | None = None) -> VolumeFacts:
        async with self._lock(volume_id):
            disk = self.pool.get("volume", volume_id)
            if disk.virtual_bytes < size_gib * GIB:
                path = str(self.pool.path("volume", volume_id))
                if self.exports.monitor(volume_id):
                    raise Conflict(
                        f"Volume {volume_id} is served over NBD, whose clients cannot see it grow: detach it first."
                    )
                if monitor and await live.holds(monitor, path):
                    await live.resize(monitor, path, size_gib * GIB)
                else:
                    await qemu_img.run("resize", "-q", "-f", "qcow2", path, f"{size_gib}G", timeout_s=60)
            return _volume(self.pool.get("volume", volume_id))

    async def revert(self, volume_id: str, snapshot_id: str) -> VolumeFacts:
        async with self._lock(volume_id):
            disk = self.pool.get("volume", volume_id)
            path = self.pool.path("volume", volume_id)
            await qemu_img.info(str(path), "qcow2")  # refuses with Conflict while somebody writes
            async with self.pool.new_file(path) as new:
                await self._copy("snapshot", snapshot_id, new, None)
                await qemu_img.run("resize", "-q", "-f", "qcow2", new, str(disk.virtual_bytes), timeout_s=60)
            return _volume(self.pool.get("volume", volume_id))

    async def ensure_export(self, volume_id: str, *, nbd: bool = False, read_only: bool = False) -> Export:
        self.pool.get("volume", volume_id)
        path = self.pool.path("volume", volume_id)
        if not nbd:
            return LocalFile(path=str(path), format="qcow2", read_only=read_only)
        async with self._lock(volume_id):
            socket = await self.exports.ensure(volume_id, path, read_only)
        return NbdSocket(path=socket, export=volume_id, read_only=read_only)

    async def ensure_export_gone(self, volume_id: str) -> None:
        async with self._lock(volume_id):
            await self.exports.ensure_gone(volume_id)

    async def write_image(self, kind: Kind, id: str, path: str, format: str, monitor: str | None = None) -> int:
        qemu_format = QEMU_NAMES.get(format)
        if qemu_format is None:
            raise Invalid(f"{kind.capitalize()} {id} cannot be written as '{format}': use raw or qcow2.")
        if kind == "volume":
            monitor = monitor or self.exports.monitor(id)
        target = Path(path)
        source = str(self.pool.path(kind, id))
        timeout_s = _timeout_s(self.pool.get(kind, id))
        async with self.pool.new_file(target, target.parent) as new:
            with self.pool.scratch(id) as copy:
                if monitor and await live.holds(monitor, source):
                    await live.copy(monitor, source, copy, _job("upload", id))
                    source = copy
                await qemu_img.run("convert", "-q", "-f", "qcow2", "-O", qemu_format, source, new, timeout_s=timeout_s)
        return os.stat(target).st_size

    async def inventory(self) -> Inventory:
        return Inventory(
            volumes=[_volume(disk) for disk in self.pool.all("volume")],
            snapshots=[_snapshot(disk) for disk in self.pool.all("snapshot")],
            exports=self.exports.served(),
        )

    async def capacity(self) -> Capacity:
        room = os.statvfs(self.pool.root)
        promised = sum(disk.virtual_bytes for kind in _KINDS for disk in self.pool.all(kind))
        return Capacity(
            total_gib=round(room.f_blocks * room.f_frsize / GIB, 2),
            free_gib=round(room.f_bavail * room.f_frsize / GIB, 2),
            provisioned_gib=round(promised / GIB, 2),
        )

    async def quarantine(self, kind: Kind, id: str) -> None:
        if kind == "volume":
            await self.ensure_export_gone(id)
        self.pool.quarantine(kind, id)

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    async def _fill(self, new: str, size_gib: int, source: Source) -> None:
        match source:
            case Blank():
                await qemu_img.run("create", "-q", "-f", "qcow2", new, f"{size_gib}G", timeout_s=60)
                return
            case ImageFile(path=path, format=format):
                qemu_format = await qemu_img.check_image(path, format, size_gib)
                await qemu_img.unpack(path, qemu_format, new, size_gib)
                return
            case FromSnapshot(snapshot_id=snapshot_id):
                await self._copy("snapshot", snapshot_id, new, None)
            case FromVolume(volume_id=volume_id, monitor=monitor):
                await self._copy("volume", volume_id, new, monitor)
        await qemu_img.run("resize", "-q", "-f", "qcow2", new, f"{size_gib}G", timeout_s=60)

    async def _copy(self, kind: Kind, id: str, new: str, monitor: str | None) -> None:
        disk, path = self.pool.get(kind, id), str(self.pool.path(kind, id))
        if kind == "volume":
            monitor = monitor or self.exports.monitor(id)
        if monitor and await live.holds(monitor, path):
            await live.copy(monitor, path, new, _job("copy", Path(new).name))
        else:
            await qemu_img.run("convert", "-q", "-f", "qcow2", "-O", "qcow2", path, new, timeout_s=_timeout_s(disk))


_KINDS: tuple[Kind, Kind] = ("volume", "snapshot")


def _job(verb: str, id: str) -> str:
    return f"{verb}-{id.replace('-', '')[:24]}"  # QEMU's node names have at most 31 characters


def _timeout_s(disk: Disk) -> float:
    return 600 + disk.allocated_bytes / 5e6  # a disk that writes less than 5 MB/s is broken


def _volume(disk: Disk) -> VolumeFacts:
    return VolumeFacts(id=disk.id, size_gib=-(-disk.virtual_bytes // GIB), allocated_bytes=disk.allocated_bytes)


def _snapshot(disk: Disk) -> SnapshotFacts:
    return SnapshotFacts(id=disk.id, size_gib=-(-disk.virtual_bytes // GIB), allocated_bytes=disk.allocated_bytes)
