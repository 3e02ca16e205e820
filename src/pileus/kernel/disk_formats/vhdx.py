"""Microsoft's VHDX: a table of regions, of which one holds a table of facts.  Source: [MS-VHDX]."""

import struct
import uuid

from pileus.kernel.disk_formats.parts import Facts, Parts, UnsafeImage

WINDOW_BYTES = 128 << 10  # the table of the metadata region (64 KiB) and the items after it, wherever it lies
_METADATA_REGION = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
FILE_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
_VIRTUAL_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
_REGION_TABLE = 192 << 10
_FIRST_REGION = 1 << 20
_HAS_PARENT = 0b10


def metadata_offset(head: bytes | bytearray) -> int | None:
    """Find the metadata region in the region table; None when the table does not name one where it may be."""
    if head[_REGION_TABLE : _REGION_TABLE + 4] != b"regi":
        return None
    (count,) = struct.unpack_from("<I", head, _REGION_TABLE + 8)
    if count > 2047:  # more than the format allows
        return None
    for i in range(count):
        entry = _REGION_TABLE + 16 + 32 * i
        if head[entry : entry + 16] == _METADATA_REGION:
            (offset,) = struct.unpack_from("<Q", head, entry + 16)
            return offset if offset >= _FIRST_REGION else None
    return None


def read(parts: Parts) -> Facts:
    """Return the facts of a VHDX.  Raises UnsafeImage, and struct.error where the region is cut short."""
    if not parts.whole:
        return Facts("vhdx", 0)
    window = parts.window
    if window[:8] != b"metadata":
        raise UnsafeImage("The VHDX has no readable metadata region; the file is damaged or cut short.")
    (count,) = struct.unpack_from("<H", window, 10)
    if count > 1023:
        raise UnsafeImage(f"The VHDX has {count} metadata items, more than the format allows; the file is damaged.")
    items: dict[bytes, int] = {}
    for i in range(count):
        guid = window[32 + 32 * i : 48 + 32 * i]
        if guid in items:
            raise UnsafeImage("The VHDX names a metadata item twice; the file is damaged.")
        (items[guid],) = struct.unpack_from("<I", window, 48 + 32 * i)
    if FILE_PARAMETERS not in items or _VIRTUAL_SIZE not in items:
        raise UnsafeImage("The VHDX names no size; the file is damaged.")
    (flags,) = struct.unpack_from("<I", window, items[FILE_PARAMETERS] + 4)
    if flags & _HAS_PARENT:
        raise UnsafeImage("The VHDX is a differencing disk that needs a parent; merge it first.")
    return Facts("vhdx", struct.unpack_from("<Q", window, items[_VIRTUAL_SIZE])[0])
