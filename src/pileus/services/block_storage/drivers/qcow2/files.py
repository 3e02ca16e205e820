"""The files of a pool.  One rule: a name under volumes/ or snapshots/ is always a complete, durable qcow2."""

import asyncio
import contextlib
import os
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from pileus.kernel.disk_formats import check_file
from pileus.kernel.errors import ApiError, Failed, Invalid, NotFound, OutOfSpace
from pileus.services.block_storage.drivers.base import Kind

# qcow2 header, big endian: magic, version, backing file offset and length, cluster bits, virtual size
# (QEMU docs/interop/qcow2.rst).
HEADER = struct.Struct(">4sIQIIQ")
MAGIC = b"QFI\xfb"

# Hypervisors run as a user of their own, who is given the files he needs: he passes through, but cannot look around.
FOLDERS = {"volumes": 0o711, "work": 0o711, "exports": 0o711, "snapshots": 0o700, "quarantine": 0o700}


class Disk(NamedTuple):
    """One file: sizes from its header and from the file system."""

    id: str
    virtual_bytes: int
    allocated_bytes: int


class Pool:
    """Paths of one pool, and how a file comes into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / "work"

    def make_folders(self) -> None:
        """Create what is missing and drop the temporary files of an earlier life."""
        for name, mode in FOLDERS.items():
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        for leftover in self.work.iterdir():
            leftover.unlink(missing_ok=True)

    def path(self, kind: Kind, id: str) -> Path:
        """Return where the file of that volume or snapshot is; ids are uuids, anything else is refused."""
        if not id or not all(char.isalnum() or char == "-" for char in id):
            raise Failed(f"'{id}' is not the id of a {kind}.")
        return self.root / f"{kind}s" / f"{id}.qcow2"

    def find(self, kind: Kind, id: str) -> Disk | None:
        """Read the file's header; None when there is no such file."""
        return _disk(self.path(kind, id))

    def get(self, kind: Kind, id: str) -> Disk:
        """Read the file's header; raise NotFound when there is no such file, Failed when it is not its own.

        Every verb that opens a file comes by here: who broke out of a guest into its QEMU may have made the header
        of the guest's volume name another file of the host.
        """
        disk = self.find(kind, id)
        if disk is None:
            raise NotFound(f"There is no {kind} {id} on this host: its file {self.path(kind, id)} does not exist.")
        _refuse_references(self.path(kind, id))
        return disk

    def all(self, kind: Kind) -> Iterator[Disk]:
        """List the pool's files of one kind."""
        for path in sorted((self.root / f"{kind}s").glob("*.qcow2")):
            disk = _disk(path)
            if disk is not None:
                yield disk

    def remove(self, kind: Kind, id: str) -> None:
        """Unlink the file, durably; a missing one is fine."""
        path = self.path(kind, id)
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def quarantine(self, kind: Kind, id: str) -> None:
        """Move the file out of the pool without losing it."""
        path = self.path(kind, id)
        if path.exists():
            os.replace(path, self.root / "quarantine" / f"{kind}-{id}.qcow2")
            _sync_folder(path.parent)

    @contextlib.contextmanager
    def scratch(self, id: str, folder: Path | None = None) -> Iterator[str]:
        """Give a path for a temporary file, which is gone afterwards."""
        temporary = (folder or self.work) / f"{id}.{secrets.token_hex(4)}"
        try:
            yield str(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def new_file(self, target: Path, folder: Path | None = None) -> AsyncIterator[str]:
        """Give a temporary path to fill; on success the file appears at ``target``, synced, in one step.

        ``folder`` is where the temporary file goes when ``target`` may be on another file system than the pool.
        """
        with self.scratch(target.stem, folder) as temporary:
            try:
                yield temporary
                await asyncio.to_thread(_publish, temporary, target)
            except OSError as error:
                raise _full_or(error, target) from error


def _disk(path: Path) -> Disk | None:
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER.size)
            blocks = os.fstat(file.fileno()).st_blocks
    except FileNotFoundError:
        return None
    if len(header) < HEADER.size or header[:4] != MAGIC:
        raise Failed(f"{path} is damaged: it does not begin with a qcow2 header. Restore it from a backup.")
    return Disk(id=path.stem, virtual_bytes=HEADER.unpack(header)[5], allocated_bytes=blocks * 512)


def _refuse_references(path: Path) -> None:
    try:
        check_file(path, "qcow2")
    except Invalid as error:
        raise Failed(f"{path} is damaged: {error.message} Restore the volume from a backup.") from error


def _publish(temporary: str, target: Path) -> None:
    with open(temporary, "rb+") as file:
        os.fchmod(file.fileno(), 0o600)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), 0, 0)  # a live copy was lent to the hypervisor's user
        os.fsync(file.fileno())
    os.replace(temporary, target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full_or(error: OSError, target: Path) -> ApiError:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return OutOfSpace("The disk that holds the volumes is full: delete volumes or snapshots, or add space.")
    return Failed(f"Cannot write {target}: {error.strerror or error}.")
