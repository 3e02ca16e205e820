"""What a volume driver promises.  One rule: every verb may be repeated, and a repeat changes nothing.

A driver keeps the bytes of volumes and snapshots on one host.  It knows ids and sizes, never projects,
quotas or states.  A verb either finishes or leaves what was there before; after ``kill -9`` at any point
the same call again completes the work.

Snapshots are independent of their volume, of each other and of whatever was made from them, so that the
order of deletion never matters.

Who may touch the bytes: while a volume is attached, the hypervisor process has the file open and is its only
writer.  Copying (snapshot, clone, upload) and growing then go through that process: the caller passes
``monitor``, the path of a QMP socket on which the process listens for storage work alone (QEMU serves one
client per monitor, so the hypervisor driver keeps its own).  The driver finds the volume's block node there
by its file name.  Without ``monitor``, or when nobody listens there or has the volume open, the driver works on
the file itself and refuses with ``Conflict`` when another process has it open.
"""

from typing import Protocol

from pileus.services.block_storage.commands import (
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

__all__ = [
    "Blank",
    "Capacity",
    "Export",
    "FromSnapshot",
    "FromVolume",
    "ImageFile",
    "Inventory",
    "Kind",
    "LocalFile",
    "NbdSocket",
    "SnapshotFacts",
    "Source",
    "VolumeDriver",
    "VolumeFacts",
]


class VolumeDriver(Protocol):
    """The verbs; sizes are in GiB.

    Errors are the kernel's: ``NotFound`` (not on this host), ``Conflict`` (open in another process),
    ``Invalid`` (the image cannot become a volume), ``OutOfSpace``, ``Unavailable`` (a tool failed or is missing).
    """

    name: str
    storage_protocol: str

    async def start(self) -> None:
        """Make ready: create folders, drop unfinished temporary files of an earlier life."""
        ...

    async def ensure_volume(self, volume_id: str, size_gib: int, source: Source) -> VolumeFacts:
        """Make the volume exist with that size and content; one that is there already is left as it is."""
        ...

    async def ensure_volume_gone(self, volume_id: str) -> None:
        """Remove the volume and its export; snapshots taken of it stay."""
        ...

    async def ensure_snapshot(self, snapshot_id: str, volume_id: str, monitor: str | None = None) -> SnapshotFacts:
        """Keep what the volume holds at this moment under the snapshot's id."""
        ...

    async def ensure_snapshot_gone(self, snapshot_id: str) -> None:
        """Remove the snapshot; its volume and volumes made from it stay."""
        ...

    async def extend(self, volume_id: str, size_gib: int, monitor: str | None = None) -> VolumeFacts:
        """Grow the volume to at least that size; never shrinks."""
        ...

    async def revert(self, volume_id: str, snapshot_id: str) -> VolumeFacts:
        """Put the volume back to what the snapshot holds, keeping the volume's size."""
        ...

    async def ensure_export(self, volume_id: str, *, nbd: bool = False, read_only: bool = False) -> Export:
        """Say how to reach the volume: as a file on this host, or through an NBD socket served for it."""
        ...

    async def ensure_export_gone(self, volume_id: str) -> None:
        """Stop serving the volume."""
        ...

    async def write_image(self, kind: Kind, id: str, path: str, format: str, monitor: str | None = None) -> int:
        """Write what a volume or snapshot holds to a new image file at ``path``; return the file's size in bytes."""
        ...

    async def inventory(self) -> Inventory:
        """List what is here, for the reconciler."""
        ...

    async def capacity(self) -> Capacity:
        """Report the room in the pool."""
        ...

    async def quarantine(self, kind: Kind, id: str) -> None:
        """Put aside a volume or snapshot nobody claims, so that a person may look before it is lost."""
        ...
