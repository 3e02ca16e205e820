"""A volume driver without bytes: small JSON files remember sizes and a fingerprint of the content.

One rule: it keeps every promise of ``base.py`` that does not need a disk, across restarts, in microseconds.
"""

import base64
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pileus.kernel.disk_formats import check_file
from pileus.kernel.errors import Invalid, NotFound
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

PACKAGES: tuple[str, ...] = ()
SAMPLE_BYTES = 65536
SECTOR_BYTES = 512
CLUSTER_BYTES = 65536


class _Disk(msgspec.Struct):
    size_gib: int
    content: str  # base64 of the first bytes; stands for all that a real disk would hold
    export: str = ""


class FakeVolumeDriver:
    """Volumes as records in ``root``; ``total_gib`` is the size the pool pretends to have."""

    name = "fake"
    storage_protocol = "fake"

    def __init__(self, root: Path, total_gib: int = 100_000) -> None:
        self.root = root
        self.total_gib = total_gib

    async def start(self) -> None:
        for folder in ("volume", "snapshot", "quarantine"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    async def ensure_volume(self, volume_id: str, size_gib: int, source: Source) -> VolumeFacts:
        disk = self._find("volume", volume_id)
        if disk is None:
            disk = _Disk(size_gib=size_gib, content=self._content(source, size_gib))
            self._write("volume", volume_id, disk)
        return VolumeFacts(id=volume_id, size_gib=disk.size_gib, allocated_bytes=0)

    async def ensure_volume_gone(self, volume_id: str) -> None:
        self._path("volume", volume_id).unlink(missing_ok=True)

    async def ensure_snapshot(self, snapshot_id: str, volume_id: str, monitor: str | None = None) -> SnapshotFacts:
        disk = self._find("snapshot", snapshot_id)
        if disk is None:
            volume = self._get("volume", volume_id)
            disk = _Disk(size_gib=volume.size_gib, content=volume.content)
            self._write("snapshot", snapshot_id, disk)
        return SnapshotFacts(id=snapshot_id, size_gib=disk.size_gib, allocated_bytes=0)

    async def ensure_snapshot_gone(self, snapshot_id: str) -> None:
        self._path("snapshot", snapshot_id).unlink(missing_ok=True)

    async def extend(self, volume_id: str, size_gib: int, monitor: str | None = None) -> VolumeFacts:
        disk = self._get("volume", volume_id)
        if size_gib > disk.size_gib:
            disk.size_gib = size_gib
            self._write("volume", volume_id, disk)
        return VolumeFacts(id=volume_id, size_gib=disk.size_gib, allocated_bytes=0)

    async def revert(self, volume_id: str, snapshot_id: str) -> VolumeFacts:
        disk, snapshot = self._get("volume", volume_id), self._get("snapshot", snapshot_id)
        disk.content = snapshot.content
        self._write("volume", volume_id, disk)
        return VolumeFacts(id=volume_id, size_gib=disk.size_gib, allocated_bytes=0)

    async def ensure_export(self, volume_id: str, *, nbd: bool = False, read_only: bool = False) -> Export:
        disk = self._get("volume", volume_id)
        path = str(self._path("volume", volume_id))
        if not nbd:
            return LocalFile(path=path, format="qcow2", read_only=read_only)
        if not disk.export:
            disk.export = "nbd"
            self._write("volume", volume_id, disk)
        return NbdSocket(path=path + ".sock", export=volume_id, read_only=read_only)

    async def ensure_export_gone(self, volume_id: str) -> None:
        disk = self._find("volume", volume_id)
        if disk is not None and disk.export:
            disk.export = ""
            self._write("volume", volume_id, disk)

    async def write_image(self, kind: Kind, id: str, path: str, format: str, monitor: str | None = None) -> int:
        disk = self._get(kind, id)
        if format == "qcow2":
            return _write_file(path, _empty_qcow2(disk.size_gib))
        if format != "raw":
            raise Invalid(f"{kind.capitalize()} {id} cannot be written as '{format}': use raw or qcow2.")
        content = base64.b64decode(disk.content)
        return _write_file(path, content + bytes(-len(content) % SECTOR_BYTES or SECTOR_BYTES))

    async def inventory(self) -> Inventory:
        volumes = list(self._all("volume"))
        return Inventory(
            volumes=[VolumeFacts(id=id, size_gib=disk.size_gib, allocated_bytes=0) for id, disk in volumes],
            snapshots=[
                SnapshotFacts(id=id, size_gib=disk.size_gib, allocated_bytes=0) for id, disk in self._all("snapshot")
            ],
            exports=[id for id, disk in volumes if disk.export],
        )

    async def capacity(self) -> Capacity:
        used = sum(disk.size_gib for kind in ("volume", "snapshot") for _, disk in self._all(kind))
        return Capacity(total_gib=self.total_gib, free_gib=max(0, self.total_gib - used), provisioned_gib=used)

    async def quarantine(self, kind: Kind, id: str) -> None:
        path = self._path(kind, id)
        if path.exists():
            path.rename(self.root / "quarantine" / f"{kind}-{id}.json")

    def _content(self, source: Source, size_gib: int) -> str:
        match source:
            case Blank():
                return ""
            case ImageFile(path=path, format=format):
                return _sample(path, format, size_gib)
            case FromSnapshot(snapshot_id=snapshot_id):
                return self._get("snapshot", snapshot_id).content
            case FromVolume(volume_id=volume_id):
                return self._get("volume", volume_id).content

    def _path(self, kind: str, id: str) -> Path:
        return self.root / kind / f"{id}.json"

    def _find(self, kind: str, id: str) -> _Disk | None:
        try:
            return msgspec.json.decode(self._path(kind, id).read_bytes(), type=_Disk)
        except FileNotFoundError:
            return None

    def _get(self, kind: str, id: str) -> _Disk:
        disk = self._find(kind, id)
        if disk is None:
            raise NotFound(f"There is no {kind} {id} on this host.")
        return disk

    def _write(self, kind: str, id: str, disk: _Disk) -> None:
        path = self._path(kind, id)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(disk))
        os.replace(temporary, path)

    def _all(self, kind: str) -> Iterator[tuple[str, _Disk]]:
        for path in sorted((self.root / kind).glob("*.json")):
            disk = self._find(kind, path.stem)
            if disk is not None:
                yield path.stem, disk


def _sample(path: str, format: str, size_gib: int) -> str:
    try:
        size_bytes = check_file(Path(path), format).virtual_size
        with open(path, "rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except FileNotFoundError as error:
        raise NotFound(f"There is no image file {path} on this host.") from error
    if size_bytes > size_gib << 30:
        raise Invalid(f"The image's disk has {size_bytes} bytes and does not fit in a volume of {size_gib} GiB.")
    return base64.b64encode(sample).decode()


def _write_file(path: str, content: bytes) -> int:
    return Path(path).write_bytes(content)


def _empty_qcow2(size_gib: int) -> bytes:
    """Return a valid, empty image: header, refcount table, refcount block, L1 table (QEMU docs/interop/qcow2.rst)."""
    l1_entries = -(-(size_gib << 30) // (CLUSTER_BYTES * CLUSTER_BYTES // 8))
    l1_clusters = -(-l1_entries * 8 // CLUSTER_BYTES)
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", 3, 0, 0, 16, size_gib << 30, 0, l1_entries, 3 * CLUSTER_BYTES,
        CLUSTER_BYTES, 1, 0, 0, 0, 0, 0, 4, 104,
    )  # fmt: skip
    refcounts = struct.pack(">H", 1) * (3 + l1_clusters)
    clusters = (header, struct.pack(">Q", 2 * CLUSTER_BYTES), refcounts)
    return b"".join(part.ljust(CLUSTER_BYTES, b"\0") for part in clusters) + bytes(l1_clusters * CLUSTER_BYTES)
