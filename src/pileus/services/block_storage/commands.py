"""What hosts are told about volumes, and what they answer.  One rule: values only, nothing that needs a database.

The agent turns each command into one verb of the driver (``drivers/base.py``); the commands' own words for
sources, exports and facts are therefore the driver's too.  ``monitor`` is explained there.
"""

from typing import Literal

import msgspec

from pileus.kernel.agent.command import Command


class Blank(msgspec.Struct, frozen=True, tag="blank"):
    """A volume of zeros."""


class ImageFile(msgspec.Struct, frozen=True, tag="image"):
    """A disk image in a local file; ``format`` is the image's declared disk format, never guessed."""

    path: str
    format: str


class FromSnapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """The state a snapshot holds."""

    snapshot_id: str


class FromVolume(msgspec.Struct, frozen=True, tag="volume"):
    """What another volume holds at this moment; ``monitor`` when that volume is attached."""

    volume_id: str
    monitor: str | None = None


Source = Blank | ImageFile | FromSnapshot | FromVolume


class LocalFile(msgspec.Struct, frozen=True, tag="file"):
    """An export for a hypervisor on the same host: it opens the file itself."""

    path: str
    format: str
    read_only: bool = False


class NbdSocket(msgspec.Struct, frozen=True, tag="nbd"):
    """An export for anybody who speaks NBD: a unix socket and the name of the export behind it."""

    path: str
    export: str
    read_only: bool = False


Export = LocalFile | NbdSocket


class VolumeFacts(msgspec.Struct, frozen=True):
    """A volume as it is on the host; ``allocated_bytes`` is what it takes from the disk."""

    id: str
    size_gib: int
    allocated_bytes: int


class SnapshotFacts(msgspec.Struct, frozen=True):
    """A snapshot as it is on the host."""

    id: str
    size_gib: int
    allocated_bytes: int


class Inventory(msgspec.Struct, frozen=True):
    """All that a driver keeps: the volumes, the snapshots, and the ids of the volumes served over NBD."""

    volumes: list[VolumeFacts]
    snapshots: list[SnapshotFacts]
    exports: list[str]


class Capacity(msgspec.Struct, frozen=True):
    """Room in the pool; provisioned counts the promised size of volumes and snapshots, written or not."""

    total_gib: float
    free_gib: float
    provisioned_gib: float


Kind = Literal["volume", "snapshot"]


class EnsureVolume(Command[VolumeFacts], frozen=True):
    """Make a volume."""

    volume_id: str
    size_gib: int
    source: Source


class EnsureVolumeGone(Command[None], frozen=True):
    """Remove a volume."""

    volume_id: str


class EnsureSnapshot(Command[SnapshotFacts], frozen=True):
    """Keep what a volume holds now."""

    snapshot_id: str
    volume_id: str
    monitor: str | None = None


class EnsureSnapshotGone(Command[None], frozen=True):
    """Remove a snapshot."""

    snapshot_id: str


class ExtendVolume(Command[VolumeFacts], frozen=True):
    """Grow a volume."""

    volume_id: str
    size_gib: int
    monitor: str | None = None


class RevertVolume(Command[VolumeFacts], frozen=True):
    """Put a volume back to a snapshot."""

    volume_id: str
    snapshot_id: str


class EnsureExport(Command[Export], frozen=True):
    """Say how to reach a volume; ``nbd`` for users that cannot open the file themselves."""

    volume_id: str
    nbd: bool = False
    read_only: bool = False


class EnsureExportGone(Command[None], frozen=True):
    """Stop serving a volume."""

    volume_id: str


class WriteImage(Command[int], frozen=True):
    """Write the content of a volume, or of its snapshot, into a new file; answers the file's size in bytes."""

    volume_id: str
    path: str
    format: str
    monitor: str | None = None
    snapshot_id: str | None = None


class QuarantineFile(Command[None], frozen=True):
    """Put aside a volume or snapshot that nobody claims."""

    kind: Kind
    id: str


class ListInventory(Command[Inventory], frozen=True):
    """Say what is on the host, for the reconciler."""
