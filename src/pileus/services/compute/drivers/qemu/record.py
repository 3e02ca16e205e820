"""What is kept of a guest on disk, beside its disks. One rule: written whole or not at all, before it is relied on."""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from pileus.kernel.errors import Invalid
from pileus.kernel.files import write_durably
from pileus.services.compute.commands import Blank, DiskSource, FromImage, GuestSpec, LocalFile, NbdSocket
from pileus.services.compute.drivers.qemu.arguments import DiskFile
from pileus.services.compute.drivers.qemu.slots import Slots

CONSOLE_LOG, MEMORY_FILE, CONFIG_DRIVE = "console.log", "memory", "config.iso"
_RECORD = "guest.json"
_LONGEST_SOCKET_PATH = 107
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class Record(msgspec.Struct):
    """`wanted` is what was last asked for; a guest that is wanted on and has no process has crashed.

    `made` are the disks of its own that have been made, with what they were made from; one of them that is missing is
    a loss, not something to make again. `slots` are kept for a suspended guest.
    """

    spec: GuestSpec
    wanted: Literal["off", "on", "suspended"] = "off"
    made: dict[str, DiskSource] = {}
    reason: str | None = None
    slots: Slots | None = None


class GuestFolder:
    """The folder of one guest and the folder of its sockets."""

    def __init__(self, guest_id: str, guests: Path, sockets: Path, owner: int | None) -> None:
        if not _ID.fullmatch(guest_id):
            raise Invalid(f"Guest id {guest_id!r} is not usable as a folder's name.")
        self.path = guests / guest_id
        self.sockets = sockets / guest_id
        self._owner = owner

    @property
    def monitor(self) -> Path:
        return self.sockets / "monitor"

    @property
    def storage_monitor(self) -> Path:
        return self.sockets / "storage"

    @property
    def vnc(self) -> Path:
        return self.sockets / "vnc"

    def make(self) -> None:
        for folder in (self.path, self.sockets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.give(folder)

    def give(self, path: Path | str) -> None:
        """Let QEMU's user open a file."""
        if self._owner is not None:
            os.chown(path, self._owner, self._owner)
        if os.path.isfile(path):
            os.chmod(path, 0o600)  # what is on a disk is its guest's alone

    def remove(self) -> None:
        # The record goes first: what is left of a removal that was cut short is no guest any more.
        (self.path / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)
        if self.path.exists():
            shutil.rmtree(self.path)

    def tidy(self) -> None:
        """Remove what a life that was cut short was still writing."""
        for left_over in self.path.glob("*.part"):
            left_over.unlink(missing_ok=True)

    def load(self) -> Record | None:
        try:
            return msgspec.json.decode((self.path / _RECORD).read_bytes(), type=Record)
        except FileNotFoundError:
            return None

    def save(self, record: Record) -> None:
        write_durably(self.path / _RECORD, msgspec.json.encode(record), 0o644)

    def own_file(self, disk_id: str, source: DiskSource) -> Path | None:
        """Return the file of a disk of the guest's own, None for a volume."""
        if isinstance(source, FromImage | Blank):
            if not _ID.fullmatch(disk_id):
                raise Invalid(f"Disk id {disk_id!r} is not usable as a file's name.")
            return self.path / f"{disk_id}.{'qcow2' if isinstance(source, FromImage) else 'raw'}"
        return None

    def disk_file(self, disk_id: str, source: DiskSource) -> DiskFile:
        """Return where QEMU finds a disk's bytes, its user allowed to open them."""
        own = self.own_file(disk_id, source)
        if own is not None:
            return DiskFile(str(own), own.suffix[1:])
        assert isinstance(source, LocalFile | NbdSocket)
        self.give(source.path)
        if isinstance(source, LocalFile):
            return DiskFile(source.path, source.format, read_only=source.read_only)
        return DiskFile(source.path, export=source.export, read_only=source.read_only)


def socket_folder(state: Path) -> Path:
    """Return where sockets go: under `state`, or in /run where that would be longer than a socket's name may be."""
    here = state / "run"
    if len(str(here / ("x" * 36) / "monitor")) <= _LONGEST_SOCKET_PATH:
        return here
    short = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    return runtime / f"pileus-{short}"
