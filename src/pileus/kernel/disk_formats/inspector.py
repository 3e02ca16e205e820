"""Telling what an image is as its bytes stream by.  Rule: memory is bounded, time linear, and nothing is followed."""

import os
from typing import BinaryIO, Self

from pileus.kernel.disk_formats import headers, vhdx, vmdk
from pileus.kernel.disk_formats.parts import SECTOR, Facts, Parts

HEAD_BYTES = 512 << 10  # holds every header, the VHDX region table (192 KiB) and the VMDK descriptor
TAIL_BYTES = vmdk.FOOTER_BYTES  # a fixed VHD has only a footer, of one sector


class Inspector:
    """Takes an image in pieces of any size, keeps a bounded part of it, and tells its facts at the end."""

    def __init__(self) -> None:
        self.size = 0
        self._head = bytearray()
        self._tail = b""
        self._window_start: int | None = None
        self._window = bytearray()

    @property
    def knows_head(self) -> bool:
        """Whether enough has arrived for ``check_head`` to judge."""
        return len(self._head) >= HEAD_BYTES

    @classmethod
    def of_file(cls, file: BinaryIO) -> Self:
        """Return what a file shows that can be read at any place; three short reads, however large it is."""
        inspector = cls()
        inspector.feed(file.read(HEAD_BYTES))
        inspector.size = file.seek(0, os.SEEK_END)
        if inspector._window_start is not None and inspector._window_start < inspector.size:
            file.seek(inspector._window_start)
            inspector._window += file.read(vhdx.WINDOW_BYTES)
        file.seek(max(0, inspector.size - TAIL_BYTES))
        inspector._tail = file.read(TAIL_BYTES)
        return inspector

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        start, self.size = self.size, self.size + len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
            if len(self._head) >= HEAD_BYTES and self._head.startswith(b"vhdxfile"):
                self._window_start = vhdx.metadata_offset(self._head)
        if self._window_start is not None and len(self._window) < vhdx.WINDOW_BYTES:
            offset = self._window_start + len(self._window) - start
            if 0 <= offset < len(data):
                self._window += data[offset : offset + vhdx.WINDOW_BYTES - len(self._window)]
        self._tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]

    def check_head(self, disk_format: str) -> None:
        """Refuse early what the head already shows to be wrong.  Raises UnsafeImage."""
        found = headers.detect(self._head)
        if disk_format == "vhd" and found in headers.UNSTRUCTURED:
            return  # a fixed VHD shows itself only at its end
        headers.check_match(disk_format, found)
        headers.read(found, self._parts(whole=False))

    def facts(self) -> Facts:
        """Tell what the whole image is.  Raises UnsafeImage."""
        found = headers.detect(self._head)
        if found in headers.UNSTRUCTURED and self._tail[-SECTOR:].startswith(b"conectix"):
            found = "vhd"
        return headers.read(found, self._parts(whole=True))

    def check(self, disk_format: str) -> Facts:
        """Tell what the whole image is and refuse it if that is not ``disk_format``.  Raises UnsafeImage."""
        facts = self.facts()
        headers.check_match(disk_format, facts.format)
        return facts

    def _parts(self, *, whole: bool) -> Parts:
        return Parts(bytes(self._head), bytes(self._window), self._tail, self.size, whole)
