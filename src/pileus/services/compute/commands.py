"""What hosts are told about guests, and what they answer. One rule: values only, complete in themselves.

The control plane builds these structs from its rows; the agent turns each command into one verb of the driver
(`drivers/base.py`), whose words they therefore are. A guest's specification names everything its host needs, so the
same specification sent again, to a host that remembers nothing, makes the same guest.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec

from pileus.kernel.agent.command import Command


class Power(StrEnum):
    """What a guest is doing, read from its process."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    SUSPENDED = "suspended"
    CRASHED = "crashed"
    """It stopped without having been told to: its process died, or its own kernel gave up."""


class FromImage(msgspec.Struct, frozen=True, kw_only=True, tag="image"):
    """A disk of the guest's own that begins as a copy of an image.

    `path` is a file on this host whose content never changes under this `image_id`; `format` is the image's declared
    disk format, never guessed. The driver keeps its own copy: the file may go away once the disk is made.
    """

    image_id: str
    path: str
    format: str
    size_gib: int


class Blank(msgspec.Struct, frozen=True, kw_only=True, tag="blank"):
    """An empty disk of the guest's own (ephemeral, swap). `format` is what it is formatted with, or None."""

    size_mib: int
    format: Literal["ext4", "vfat", "swap"] | None = None
    label: str = ""


class LocalFile(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A volume in a file on this host, which the hypervisor opens itself."""

    path: str
    format: str
    read_only: bool = False


class NbdSocket(msgspec.Struct, frozen=True, kw_only=True, tag="nbd"):
    """A volume behind a unix socket that speaks NBD."""

    path: str
    export: str
    read_only: bool = False


DiskSource = FromImage | Blank | LocalFile | NbdSocket


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """One disk as the guest meets it.

    `id` is the volume's id, or "root", "rescue", "ephemeral0", "swap" for disks of the guest's own. The guest reads the
    first 20 characters of `serial` (all that virtio carries). The lowest `boot_index` boots.
    """

    id: str
    source: DiskSource
    serial: str = ""
    boot_index: int | None = None
    bus: Literal["virtio", "scsi", "sata", "ide"] = "virtio"
    cdrom: bool = False


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """One network card on a tap that the network driver made; whoever owns the tap, the driver opens it as root."""

    port_id: str
    mac: str
    tap: str
    mtu: int = 1500
    model: Literal["virtio", "e1000", "rtl8139"] = "virtio"


class GuestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A guest, whole. `id` is also its SMBIOS uuid.

    `config_drive` maps path to content of the files on a disk labelled config-2 (see `drivers/config_drive.py`), None
    for no such disk.
    """

    id: str
    name: str
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    config_drive: dict[str, bytes] | None = None


class GuestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A guest as it is on its host. `disks` and `nics` are the ids that are plugged in.

    `storage_monitor` is the QMP socket kept free for storage drivers; it answers while the guest's process lives.
    `reason` says in a sentence why it crashed.
    """

    id: str
    name: str
    power: Power
    disks: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    storage_monitor: str | None = None
    reason: str | None = None


class GuestEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A guest changed by itself: it powered itself off, it crashed, or a full host paused it."""

    guest_id: str
    power: Power
    reason: str | None = None


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host has.

    `hypervisor_version` is a number such as 7002022 for 7.2.22; `cpu_info` is as the API shows it. `boot_id` is another
    one each time the machine itself has started: guests survive a restart of the agent, not one of their host.
    """

    vcpus: int
    memory_mib: int
    disk_gib: int
    disk_free_gib: int
    hypervisor_type: str
    hypervisor_version: int
    accelerator: str
    cpu_info: dict[str, Any]
    boot_id: str = ""


class ConsoleAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a guest's screen is served on this host: a unix socket that only the cloud's own user may open."""

    kind: Literal["vnc"]
    path: str


class EnsureGuest(Command[GuestFacts], frozen=True, kw_only=True):
    """Make the guest exist as specified, running or not."""

    spec: GuestSpec
    running: bool = True


class EnsureGuestGone(Command[None], frozen=True, kw_only=True):
    """Remove the guest with the disks of its own."""

    guest_id: str


class PowerGuestOn(Command[GuestFacts], frozen=True, kw_only=True):
    """Start the guest, or wake it from suspension."""

    guest_id: str


class PowerGuestOff(Command[GuestFacts], frozen=True, kw_only=True):
    """Ask the guest to shut down; after `timeout_s` (0: at once) pull its plug."""

    guest_id: str
    timeout_s: float = 0.0


class RebootGuest(Command[GuestFacts], frozen=True, kw_only=True):
    """Start the guest anew: softly, after asking it to shut down, or by the reset button."""

    guest_id: str
    hard: bool = False
    timeout_s: float = 60.0


class PauseGuest(Command[GuestFacts], frozen=True, kw_only=True):
    """Stop the guest's processors; its memory stays."""

    guest_id: str


class ResumeGuest(Command[GuestFacts], frozen=True, kw_only=True):
    """Let a paused or suspended guest go on."""

    guest_id: str


class SuspendGuest(Command[GuestFacts], frozen=True, kw_only=True):
    """Write the guest's memory to disk and free it."""

    guest_id: str


class EnsureDiskAttached(Command[str | None], frozen=True, kw_only=True):
    """Plug a disk into the guest, running or not; answers its `storage_monitor`."""

    guest_id: str
    disk: Disk


class EnsureDiskDetached(Command[None], frozen=True, kw_only=True):
    """Take a disk out of the guest."""

    guest_id: str
    disk_id: str
    timeout_s: float = 20.0


class EnsureNicAttached(Command[None], frozen=True, kw_only=True):
    """Plug a network card into the guest, running or not."""

    guest_id: str
    nic: Nic


class EnsureNicDetached(Command[None], frozen=True, kw_only=True):
    """Take a network card out of the guest."""

    guest_id: str
    port_id: str
    timeout_s: float = 20.0


class ShowDiskSize(Command[None], frozen=True, kw_only=True):
    """Tell a running guest that a disk has grown to `size_bytes`; a disk of its own is grown by this."""

    guest_id: str
    disk_id: str
    size_bytes: int


class SnapshotGuestDisk(Command[int], frozen=True, kw_only=True):
    """Copy a disk as it is at one moment to a new qcow2 file at `path`; answers the file's size in bytes."""

    guest_id: str
    disk_id: str
    path: str


class ReadConsoleLog(Command[str], frozen=True, kw_only=True):
    """Return the last `lines` lines (None: all that is kept) of the guest's serial console."""

    guest_id: str
    lines: int | None = None


class FindConsole(Command[ConsoleAddress], frozen=True, kw_only=True):
    """Return where the guest's screen is served."""

    guest_id: str


class TakeScreenshot(Command[bytes], frozen=True, kw_only=True):
    """Return the guest's screen as a PNG."""

    guest_id: str


class ListGuests(Command[list[GuestFacts]], frozen=True, kw_only=True):
    """Return every guest on this host."""
