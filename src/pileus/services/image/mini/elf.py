"""Read from an ELF file which shared libraries it wants. One rule: nothing is executed to find that out."""

import struct
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def needed_libraries(path: Path) -> list[str]:
    """Return the sonames in a 64-bit little-endian ELF file's dynamic section; empty for a static or foreign file.

    Format: ELF-64 object file format, System V ABI chapters 4 and 5.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_bytes, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for index in range(count):
        kind, _flags, offset, address, _physical, file_bytes = struct.unpack_from(
            "<IIQQQQ", data, table + index * entry_bytes
        )
        if kind == _PT_LOAD:
            loads.append((address, offset, file_bytes))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, file_bytes)
    if dynamic is None:
        return []
    names: list[int] = []
    strings = 0
    for tag, value in struct.iter_unpack("<QQ", data[dynamic[0] : dynamic[0] + dynamic[1] // 16 * 16]):
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = next(
                value - address + offset for address, offset, size in loads if address <= value < address + size
            )
    return [data[strings + name : data.index(b"\0", strings + name)].decode() for name in names]
