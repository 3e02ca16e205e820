"""What a disk image really is, told from its bytes as they stream by.

The one rule: an image must stand alone.  A format that can point at other files (a backing file, a data
file, an extent, a parent) is refused when it does, because a host that opened it would read whatever file
the image's author named.  Sources: QEMU's qcow2.txt, VMware's "Virtual Disk Format 5.0", VirtualBox's VDI
header, Microsoft's VHD and [MS-VHDX] documents, ECMA-119, the UEFI specification, the LUKS on-disk format.
"""

import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 512 << 10  # holds every header, the VHDX region table (192 KiB) and the VMDK descriptor
TAIL_BYTES = 512  # a fixed VHD has only a footer
WINDOW_BYTES = 128 << 10  # the metadata table of VHDX (64 KiB) and the items after it, wherever the region lies
SECTOR = 512

ACCEPTS: dict[str, frozenset[str]] = {
    "raw": frozenset({"raw", "gpt", "mbr", "luks"}),
    "gpt": frozenset({"gpt"}),
    "ami": frozenset({"raw", "gpt", "mbr"}),
    "ari": frozenset({"raw", "gpt", "mbr"}),
    "aki": frozenset({"raw", "gpt", "mbr"}),
    "qcow2": frozenset({"qcow2"}),
    "vmdk": frozenset({"vmdk"}),
    "vdi": frozenset({"vdi"}),
    "vhd": frozenset({"vhd"}),
    "vhdx": frozenset({"vhdx"}),
    "iso": frozenset({"iso"}),
    "ploop": frozenset({"ploop"}),
}
"""Declared disk format: the contents it may have."""


class UnsafeImage(Exception):
    """The image points at something outside itself, or is damaged; the message says where."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes say: the format's name and the size in bytes that a guest would see."""

    format: str
    virtual_size: int


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

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        start, self.size = self.size, self.size + len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
            if len(self._head) >= HEAD_BYTES and self._head.startswith(b"vhdxfile"):
                self._window_start = _vhdx_metadata_offset(self._head)
        if self._window_start is not None and len(self._window) < WINDOW_BYTES:
            offset = self._window_start + len(self._window) - start
            if 0 <= offset < len(data):
                self._window += data[offset : offset + WINDOW_BYTES - len(self._window)]
        self._tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]

    def check_head(self, disk_format: str) -> None:
        """Refuse early what the head already shows to be wrong.  Raises UnsafeImage."""
        found = self._detect_head()
        if disk_format == "vhd" and found in ("raw", "gpt", "mbr"):
            return  # a fixed VHD shows itself only at its end
        _check_match(disk_format, found)
        _inspect(found, bytes(self._head), b"", b"", self.size, whole=False)

    def facts(self) -> Facts:
        """Tell what the whole image is.  Raises UnsafeImage."""
        found = self._detect_head()
        if found in ("raw", "gpt", "mbr") and self._tail.startswith(b"conectix"):
            found = "vhd"
        return Facts(found, _inspect(found, bytes(self._head), bytes(self._window), self._tail, self.size, whole=True))

    def check(self, disk_format: str) -> Facts:
        """Tell what the whole image is and refuse it if that is not ``disk_format``.  Raises UnsafeImage."""
        facts = self.facts()
        _check_match(disk_format, facts.format)
        return facts

    def _detect_head(self) -> str:
        head = self._head
        for magic, offset, name in _MAGICS:
            if head[offset : offset + len(magic)] == magic:
                return name
        if len(head) >= SECTOR and head[510:512] == b"\x55\xaa" and _has_partitions(head):
            return "gpt" if head[512:520] == b"EFI PART" else "mbr"
        return "raw"


_MAGICS: list[tuple[bytes, int, str]] = [
    (b"QFI\xfb", 0, "qcow2"),
    (b"QED\0", 0, "qed"),
    (b"KDMV", 0, "vmdk"),
    (b"COWD", 0, "vmdk"),
    (b"# Disk DescriptorFile", 0, "vmdk"),
    (b"vhdxfile", 0, "vhdx"),
    (b"conectix", 0, "vhd"),
    (b"\x7f\x10\xda\xbe", 0x40, "vdi"),
    (b"LUKS\xba\xbe", 0, "luks"),
    (b"WithoutFreeSpace", 0, "ploop"),
    (b"WithouFreSpacExt", 0, "ploop"),
    (b"CD001", 0x8001, "iso"),  # last: a hybrid ISO also has a partition table, a disk image has no CD001
]


def _check_match(disk_format: str, found: str) -> None:
    if found not in ACCEPTS.get(disk_format, frozenset({disk_format})):
        raise UnsafeImage(_mismatch(disk_format, found))


def _mismatch(disk_format: str, found: str) -> str:
    return f"The image is declared as disk_format '{disk_format}' but its content is {found}; declare what it is."


def _inspect(found: str, head: bytes, window: bytes, tail: bytes, size: int, *, whole: bool) -> int:
    reader = _READERS.get(found)
    if reader is None:
        return size
    try:
        return reader(head, window, tail, size, whole)
    except (struct.error, IndexError) as error:
        raise UnsafeImage(f"The {found} header is cut short; upload the whole file.") from error


def _qcow2(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    version, backing_offset = struct.unpack_from(">IQ", head, 4)
    (virtual_size,) = struct.unpack_from(">Q", head, 24)
    if version not in (2, 3):
        raise UnsafeImage(f"qcow version {version} is not supported; convert it with qemu-img to qcow2.")
    if backing_offset:
        raise UnsafeImage("The qcow2 image has a backing file; flatten it with 'qemu-img convert' first.")
    if version == 3:
        (incompatible,) = struct.unpack_from(">Q", head, 72)
        if incompatible & 0b100:
            raise UnsafeImage("The qcow2 image keeps its data in another file; convert it with qemu-img first.")
        if incompatible & 0b10:
            raise UnsafeImage("The qcow2 image is marked corrupt; repair it with 'qemu-img check -r' first.")
        if incompatible >> 5:
            raise UnsafeImage("The qcow2 image uses incompatible features that are not known here.")
    return virtual_size


def _qed(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    raise UnsafeImage("The QED format is not supported; convert the image with qemu-img to qcow2.")


_VMDK_TYPES = frozenset({"monolithicSparse", "streamOptimized"})
_VMDK_EXTENT = re.compile(r'^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?', re.MULTILINE)


def _vmdk(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    if head.startswith(b"#"):
        raise UnsafeImage("The VMDK is a descriptor that points at other files; upload a monolithicSparse image.")
    if head.startswith(b"COWD"):
        raise UnsafeImage("The VMDK is an ESX sparse extent that needs a descriptor; upload a monolithicSparse image.")
    capacity, _grain, descriptor_start, descriptor_sectors = struct.unpack_from("<QQQQ", head, 12)
    start, length = descriptor_start * SECTOR, descriptor_sectors * SECTOR
    if not length or start + length > HEAD_BYTES:
        raise UnsafeImage("The VMDK carries no descriptor at its start; convert it with qemu-img to monolithicSparse.")
    if start + length > len(head):
        raise UnsafeImage("The vmdk header is cut short; upload the whole file.")
    text = head[start : start + length].split(b"\0", 1)[0].decode("latin-1")
    create_type = re.search(r'^\s*createType\s*=\s*"?(\w+)"?', text, re.MULTILINE)
    kind = create_type[1] if create_type else "unknown"
    if kind not in _VMDK_TYPES:
        raise UnsafeImage(f"VMDK of type {kind} points at other files; upload monolithicSparse or streamOptimized.")
    if re.search(r"^\s*parentFileNameHint\s*=", text, re.MULTILINE):
        raise UnsafeImage("The VMDK has a parent file; flatten it first.")
    extents = _VMDK_EXTENT.findall(text)
    if len(extents) != 1 or extents[0][2] != "SPARSE" or "/" in extents[0][3]:
        raise UnsafeImage("The VMDK's descriptor names extents other than the file itself; upload a single-file image.")
    return capacity * SECTOR


def _vdi(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    (kind,) = struct.unpack_from("<I", head, 0x4C)
    if kind not in (1, 2):  # dynamic, static; 3 is undo, 4 is differencing
        raise UnsafeImage("The VDI is a differencing or undo image that needs a parent; merge it first.")
    return struct.unpack_from("<Q", head, 0x170)[0]


def _vhd(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    footer = head if head.startswith(b"conectix") else tail
    (virtual_size,) = struct.unpack_from(">Q", footer, 48)
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind not in (2, 3):  # fixed, dynamic; 4 is differencing
        raise UnsafeImage("The VHD is a differencing disk that needs a parent; merge it first.")
    return virtual_size


_VHDX_METADATA_REGION = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
_VHDX_FILE_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
_VHDX_VIRTUAL_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
_VHDX_REGION_TABLE = 192 << 10


def _vhdx_metadata_offset(head: bytes | bytearray) -> int | None:
    """Find the metadata region in the region table; None when the table does not name it."""
    if head[_VHDX_REGION_TABLE : _VHDX_REGION_TABLE + 4] != b"regi":
        return None
    (count,) = struct.unpack_from("<I", head, _VHDX_REGION_TABLE + 8)
    for i in range(min(count, 2047)):
        entry = _VHDX_REGION_TABLE + 16 + 32 * i
        if head[entry : entry + 16] == _VHDX_METADATA_REGION:
            return struct.unpack_from("<Q", head, entry + 16)[0]
    return None


def _vhdx(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    if not whole:
        return 0
    if window[:8] != b"metadata":
        raise UnsafeImage("The VHDX has no readable metadata region; the file is damaged or cut short.")
    (count,) = struct.unpack_from("<H", window, 10)
    items = {}
    for i in range(min(count, 1023)):
        guid = window[32 + 32 * i : 48 + 32 * i]
        (items[guid],) = struct.unpack_from("<I", window, 48 + 32 * i)
    return _vhdx_values(window, items)


def _vhdx_values(window: bytes, items: dict[bytes, int]) -> int:
    if _VHDX_FILE_PARAMETERS not in items or _VHDX_VIRTUAL_SIZE not in items:
        raise UnsafeImage("The VHDX names no size; the file is damaged.")
    (flags,) = struct.unpack_from("<I", window, items[_VHDX_FILE_PARAMETERS] + 4)
    if flags & 0b10:
        raise UnsafeImage("The VHDX is a differencing disk that needs a parent; merge it first.")
    return struct.unpack_from("<Q", window, items[_VHDX_VIRTUAL_SIZE])[0]


def _luks(head: bytes, window: bytes, tail: bytes, size: int, whole: bool) -> int:
    (version,) = struct.unpack_from(">H", head, 6)
    if version == 1:
        return max(0, size - struct.unpack_from(">I", head, 104)[0] * SECTOR)
    return max(0, size - (16 << 20))  # LUKS2: the data segment starts at 16 MiB unless told otherwise


def _has_partitions(head: bytes | bytearray) -> bool:
    """Tell a partition table from a boot sector that only shares its signature."""
    entries = [head[446 + 16 * i : 462 + 16 * i] for i in range(4)]
    return all(entry[0] in (0x00, 0x80) for entry in entries) and any(entry[4] for entry in entries)


_READERS: dict[str, Callable[[bytes, bytes, bytes, int, bool], int]] = {
    "qcow2": _qcow2,
    "qed": _qed,
    "vmdk": _vmdk,
    "vdi": _vdi,
    "vhd": _vhd,
    "vhdx": _vhdx,
    "luks": _luks,
}
