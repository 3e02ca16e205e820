"""The formats' names, by their magic, and the readers of those that fit on a page.

The one rule: an image must stand alone.  A format that can point at other files (a backing file, a data
file, an extent, a parent) is refused when it does, because a host that opened it would read whatever file
the image's author named.  Sources: QEMU's qcow2.txt, VirtualBox's VDI header, Microsoft's VHD document,
ECMA-119, the UEFI specification, the LUKS on-disk format.
"""

import struct
from collections.abc import Callable

from pileus.kernel.disk_formats import vhdx, vmdk
from pileus.kernel.disk_formats.parts import SECTOR, Facts, Parts, UnsafeImage

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
UNSTRUCTURED = frozenset({"raw", "gpt", "mbr"})
"""Contents that have no header of their own: bytes for the guest."""

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
    (b"CD001", 0x8001, "iso"),  # a hybrid ISO also has a partition table, a disk image has no CD001
    (b"NSR02", 0x8001, "iso"),
    (b"NSR03", 0x8001, "iso"),
]


def detect(head: bytes | bytearray) -> str:
    """Return the name of the format that the head shows.  Raises UnsafeImage when it is several at once."""
    found = [name for magic, offset, name in _MAGICS if head[offset : offset + len(magic)] == magic]
    if len(found) > 1:
        raise UnsafeImage(f"The image is {' and '.join(found)} at once; convert it with qemu-img to one of them.")
    if found:
        return found[0]
    if len(head) >= SECTOR and head[510:512] == b"\x55\xaa" and _has_partitions(head):
        return "gpt" if head[512:520] == b"EFI PART" else "mbr"
    return "raw"


def read(found: str, parts: Parts) -> Facts:
    """Return the facts of an image of the format ``found``.  Raises UnsafeImage."""
    reader = _READERS.get(found)
    if reader is None:
        return Facts(found, parts.size)
    try:
        return reader(parts)
    except (struct.error, IndexError) as error:
        raise UnsafeImage(f"The {found} header is cut short; upload the whole file.") from error


def check_match(disk_format: str, found: str) -> None:
    """Raise UnsafeImage when an image declared ``disk_format`` is ``found`` to be another."""
    if found not in ACCEPTS.get(disk_format, frozenset({disk_format})):
        raise UnsafeImage(
            f"The image is declared as disk_format '{disk_format}' but its content is {found}; declare what it is."
        )


def _qcow2(parts: Parts) -> Facts:
    version, backing_offset, backing_size = parts.unpack(">IQI", 4)
    virtual_size, crypt = parts.unpack(">QI", 24)
    if version not in (2, 3):
        raise UnsafeImage(f"qcow version {version} is not supported; convert it with qemu-img to qcow2.")
    if backing_offset or backing_size:
        raise UnsafeImage("The qcow2 image has a backing file; flatten it with 'qemu-img convert' first.")
    if version == 3:
        (incompatible,) = parts.unpack(">Q", 72)
        if incompatible & 0b100:
            raise UnsafeImage("The qcow2 image keeps its data in another file; convert it with qemu-img first.")
        if incompatible & 0b10:
            raise UnsafeImage("The qcow2 image is marked corrupt; repair it with 'qemu-img check -r' first.")
        if incompatible >> 5:
            raise UnsafeImage("The qcow2 image uses incompatible features that are not known here.")
    return Facts("qcow2", virtual_size, encrypted=crypt != 0)


def _qed(parts: Parts) -> Facts:
    raise UnsafeImage("The QED format is not supported; convert the image with qemu-img to qcow2.")


def _vdi(parts: Parts) -> Facts:
    (kind,) = parts.unpack("<I", 0x4C)
    if kind not in (1, 2):  # dynamic, static; 3 is undo, 4 is differencing
        raise UnsafeImage("The VDI is a differencing or undo image that needs a parent; merge it first.")
    return Facts("vdi", parts.unpack("<Q", 0x170)[0])


def _vhd(parts: Parts) -> Facts:
    footer = parts.head if parts.head.startswith(b"conectix") else parts.tail[-SECTOR:]
    if len(footer) < SECTOR:
        raise UnsafeImage("The vhd header is cut short; upload the whole file.")
    (virtual_size,) = struct.unpack_from(">Q", footer, 48)
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind not in (2, 3):  # fixed, dynamic; 4 is differencing
        raise UnsafeImage("The VHD is a differencing disk that needs a parent; merge it first.")
    return Facts("vhd", virtual_size)


def _luks(parts: Parts) -> Facts:
    (version,) = parts.unpack(">H", 6)
    if version == 1:
        return Facts("luks", max(0, parts.size - parts.unpack(">I", 104)[0] * SECTOR), encrypted=True)
    return Facts("luks", max(0, parts.size - (16 << 20)), encrypted=True)  # LUKS2: the data starts at 16 MiB by default


def _has_partitions(head: bytes | bytearray) -> bool:
    """Tell a partition table from a boot sector that only shares its signature."""
    entries = [head[446 + 16 * i : 462 + 16 * i] for i in range(4)]
    return all(entry[0] in (0x00, 0x80) for entry in entries) and any(entry[4] for entry in entries)


_READERS: dict[str, Callable[[Parts], Facts]] = {
    "qcow2": _qcow2,
    "qed": _qed,
    "vmdk": vmdk.read,
    "vdi": _vdi,
    "vhd": _vhd,
    "vhdx": vhdx.read,
    "luks": _luks,
}
