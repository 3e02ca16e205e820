"""A file tree in memory: what a guest's file system holds, before it is one.

One rule: owner, mode and time of every file are said here, never taken from the machine that builds, so that any
user may build an image and the same packages give the same bytes.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from stat import S_IFDIR, S_IFLNK, S_IFREG

BUILD_TIME_S = 1_735_689_600
"""The time stamp of every file (2025-01-01 UTC); the guest's clock comes from its hypervisor."""


@dataclass(frozen=True)
class Entry:
    """One file: `content` is bytes, a file to copy, a link's target (str), or None for a directory."""

    content: bytes | Path | str | None
    mode: int
    uid: int = 0
    gid: int = 0

    @property
    def kind(self) -> int:
        if self.content is None:
            return S_IFDIR
        return S_IFLNK if isinstance(self.content, str) else S_IFREG

    def read(self) -> bytes:
        if isinstance(self.content, Path):
            return self.content.read_bytes()
        if isinstance(self.content, str):
            return self.content.encode()
        return self.content or b""


@dataclass
class Tree:
    """Files by their path from the root, without the leading slash; parents are made as needed."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        self._put(path, Entry(None, mode, uid, gid))

    def file(self, path: str, content: bytes | str | Path, mode: int = 0o644) -> None:
        self._put(path, Entry(content.encode() if isinstance(content, str) else content, mode))

    def link(self, path: str, target: str) -> None:
        self._put(path, Entry(target, 0o777))

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    def _put(self, path: str, entry: Entry) -> None:
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            self.entries.setdefault(str(parent), Entry(None, 0o755))
        self.entries[path] = entry

    def in_order(self) -> Iterator[tuple[str, Entry]]:
        """Yield parents before children, in an order that depends on the names alone."""
        yield from sorted(self.entries.items(), key=lambda item: item[0].split("/"))

    def cpio(self) -> bytes:
        """Return the tree as a cpio archive in the "newc" format, which the kernel unpacks as an initramfs."""
        parts: list[bytes] = []
        for number, (path, entry) in enumerate([*self.in_order(), ("TRAILER!!!", Entry(b"", 0))], start=1):
            name, content = path.encode() + b"\0", entry.read()
            fields = (number, entry.mode | entry.kind, entry.uid, entry.gid, 1, BUILD_TIME_S, len(content), 0, 0, 0, 0)
            header = b"070701" + b"".join(b"%08x" % value for value in (*fields, len(name), 0))
            for block in (header + name, content):
                parts += [block, b"\0" * (-len(block) % 4)]
        return b"".join(parts)

    def write(self, folder: Path) -> None:
        """Lay the tree out under `folder` with its modes; owners are `owner_commands()`' business."""
        folder.mkdir()
        for path, entry in self.in_order():
            target = folder / path
            if entry.content is None:
                target.mkdir()
            elif isinstance(entry.content, str):
                target.symlink_to(entry.content)
            elif isinstance(entry.content, Path):
                shutil.copyfile(entry.content, target)
            else:
                target.write_bytes(entry.content)
            if entry.kind != S_IFLNK:
                target.chmod(entry.mode)
        for path, _ in reversed(list(self.in_order())):
            os.utime(folder / path, (BUILD_TIME_S, BUILD_TIME_S), follow_symlinks=False)
        os.utime(folder, (BUILD_TIME_S, BUILD_TIME_S))

    def owner_commands(self) -> str:
        """Return `debugfs` commands that give every inode its owner."""
        return "".join(
            f'sif "/{path}" {what} {value}\n'
            for path, entry in self.in_order()
            for what, value in (("uid", entry.uid), ("gid", entry.gid))
        )
