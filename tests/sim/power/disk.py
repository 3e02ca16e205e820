"""What a disk may hold after the power failed: the recorded calls, less any part of what was not synced.

Rule: a file's bytes are safe after an fsync of the file, a name after an fsync of its folder; all else may be there
or not, in whole sectors, names in the order in which they changed (as journals keep it).
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK = range(1, 10)
SECTOR = 512
_HEAD = struct.Struct("=BIIq")


@dataclass(frozen=True)
class Record:
    """One call that had an effect."""

    kind: int
    path: str
    more: bytes
    offset: int


def read_log(path: Path) -> Iterator[Record]:
    """Yield the records of a log."""
    log, at = path.read_bytes(), 0
    while at < len(log):
        kind, length, more, offset = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        yield Record(kind, log[at : at + length].decode(), log[at + length : at + length + more], offset)
        at += length + more


@dataclass
class Inode:
    """A file: what is safe, and the writes (offset, data) and truncations (size, None) since."""

    live: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.live, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.safe, self.pending = bytes(self.live), []

    def after_crash(self, dice: random.Random | None, *, keep: bool) -> bytes:
        """Return the bytes with all, none, or by chance some of the sectors that were not synced."""
        if keep:
            return bytes(self.live)
        content = bytearray(self.safe)
        for offset, data in self.pending if dice else ():
            assert dice is not None
            if data is None:
                if dice.random() < 0.5:
                    _apply(content, offset, None)
                continue
            at = 0
            while at < len(data):
                end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
                if dice.random() < 0.5:
                    _apply(content, offset + at, data[at:end])
                at = end
        return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


Names = dict[str, Inode | None]
"""Path to file, None for a folder."""


class Disk:
    """One folder as its processes see it, and as a crash may leave it."""

    def __init__(self, root: str, *folders: str) -> None:
        self.root = root
        self.live: Names = dict.fromkeys((root, *folders))
        self.safe: Names = dict(self.live)
        self._changes: list[tuple[Record, Inode | None]] = []

    def take(self, record: Record) -> None:
        """Have one recorded call happen."""
        path, other = record.path, record.more.decode() if record.kind in (RENAME, LINK) else ""
        inode = self.live.get(path)
        if record.kind == WRITE and inode is not None:
            inode.change(record.offset, record.more)
        elif record.kind == TRUNCATE and inode is not None:
            inode.change(record.offset, None)
        elif record.kind == SYNC:
            if path in self.live and inode is None:
                self._sync_folder(path)
            elif inode is not None:
                inode.sync()
        elif record.kind in (CREATE, UNLINK, MKDIR, RMDIR, RENAME, LINK):
            made = Inode() if record.kind == CREATE else self.live.get(path)
            if record.kind == RENAME and path not in self.live:
                made = Inode()  # came from outside: no test relies on its bytes
            self._changes.append((record, made))
            _rename(self.live, record, other, made)

    def _sync_folder(self, folder: str) -> None:
        """Make the changes of a folder's names safe, with every earlier change that they rest on."""
        wanted: set[str] = set()
        kept: list[tuple[Record, Inode | None]] = []
        done: list[tuple[Record, Inode | None]] = []
        for change in reversed(self._changes):
            touched = _paths(change[0])
            here = any(str(PurePosixPath(path).parent) == folder for path in touched)
            if here or any(path in wanted for path in touched):
                for path in touched:
                    wanted |= {path, *(str(parent) for parent in PurePosixPath(path).parents)}
                done.append(change)
            else:
                kept.append(change)
        self._changes = kept[::-1]
        for record, inode in reversed(done):
            _rename(self.safe, record, record.more.decode() if record.kind in (RENAME, LINK) else "", inode)

    def after_crash(self, target: Path, dice: random.Random | None = None, *, keep: bool = False) -> None:
        """Write out one state that a crash now may leave."""
        names = dict(self.safe)
        changes = self._changes if keep else self._changes[: dice.randint(0, len(self._changes))] if dice else []
        for record, inode in changes:
            _rename(names, record, record.more.decode() if record.kind in (RENAME, LINK) else "", inode)
        for path, inode in sorted(names.items(), key=lambda item: (item[0].count("/"), item[0])):
            place = target / PurePosixPath(path).relative_to(self.root)
            if inode is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(inode.after_crash(dice, keep=keep))


def _paths(record: Record) -> list[str]:
    return [record.path, record.more.decode()] if record.kind in (RENAME, LINK) else [record.path]


def _rename(names: Names, record: Record, other: str, inode: Inode | None) -> None:
    match record.kind:
        case 1 | 7:  # CREATE, MKDIR
            names[record.path] = inode if record.kind == CREATE else None
        case 6 | 8:  # UNLINK, RMDIR
            names.pop(record.path, None)
        case 9:  # LINK
            names[other] = inode
        case 5:  # RENAME, of a folder with all in it
            names.pop(record.path, None)
            inside = f"{record.path}/"
            for path in [path for path in names if path.startswith(inside)]:
                names[f"{other}/{path.removeprefix(inside)}"] = names.pop(path)
            names[other] = inode
