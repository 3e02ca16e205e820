"""VMware's sparse extents: a header, and a text that may name other files.

The one rule: the text is judged as QEMU reads it, and QEMU does not read it as lines.  It looks for words anywhere,
in comments too; it looks at a fixed place for the parent, whatever the header says; it reads on to the first zero
byte, whatever length the header gives; a footer is believed before the header.  So each line must be of a known
kind, no word may stand where it could be taken for another, and header and footer must agree.
Sources: VMware's "Virtual Disk Format 5.0", QEMU's block/vmdk.c.
"""

from pileus.kernel.disk_formats.parts import SECTOR, Facts, Parts, UnsafeImage

TYPES = ("monolithicSparse", "streamOptimized")
ACCESS = ("RW", "RDONLY", "NOACCESS")
ALONE = "upload a monolithicSparse or streamOptimized image"
DESCRIPTOR_SECTOR = 1
DESCRIPTOR_BYTES = 64 << 10  # QEMU and VMware write 10 KiB
GRAINS_AT_END = 0xFFFF_FFFF_FFFF_FFFF
FOOTER_BYTES = 3 * SECTOR  # marker, footer, end of stream
_HEADER = "<IIQQQQIQQ"  # version, flags, capacity, grain, descriptor, its size, entries, redundant and grain directory


def read(parts: Parts) -> Facts:
    """Return the facts of a VMDK.  Raises UnsafeImage, and struct.error where the header is cut short."""
    if parts.head.startswith(b"#"):
        raise UnsafeImage(f"The VMDK is a descriptor that points at other files; {ALONE}.")
    if parts.head.startswith(b"COWD"):
        raise UnsafeImage(f"The VMDK is an ESX sparse extent that needs a descriptor; {ALONE}.")
    version, _flags, capacity, _grain, start, sectors, _entries, _spare, grains = parts.unpack(_HEADER, 4)
    if version not in (1, 2, 3):
        raise UnsafeImage(f"VMDK version {version} is not supported; {ALONE}.")
    if start != DESCRIPTOR_SECTOR or not 0 < sectors <= DESCRIPTOR_BYTES // SECTOR:
        raise UnsafeImage(f"The VMDK carries no descriptor at its start; {ALONE}.")
    if not capacity:
        raise UnsafeImage(f"The VMDK has no sectors of its own: its data would be in other files; {ALONE}.")
    end = (start + sectors) * SECTOR
    if len(parts.head) < end:
        if not parts.whole:
            return Facts("vmdk", capacity * SECTOR)
        raise UnsafeImage("The vmdk header is cut short; upload the whole file.")
    _check_descriptor(parts.head[start * SECTOR : end])
    if grains == GRAINS_AT_END and parts.whole:
        _check_footer(parts)
    return Facts("vmdk", capacity * SECTOR)


def _check_descriptor(raw: bytes) -> None:
    text, zero, _ = raw.partition(b"\0")
    if not zero or not text.isascii():
        raise UnsafeImage(f"The VMDK's descriptor is no text that ends within its {len(raw)} bytes; {ALONE}.")
    words = text.decode("ascii")
    if "parentfilenamehint" in words.lower():
        raise UnsafeImage("The VMDK has a parent file; flatten it first.")
    if words.lower().count("createtype") != 1:
        raise UnsafeImage(f"The VMDK's descriptor must name its createType once; {ALONE}.")
    kind, extents = _entries(words)
    if kind not in TYPES:
        raise UnsafeImage(f"VMDK of type '{kind[:40]}' points at other files; {ALONE}.")
    if len(extents) != 1 or not _is_the_file_itself(extents[0]):
        raise UnsafeImage(f"The VMDK's descriptor names extents other than the file itself; {ALONE}.")


def _entries(text: str) -> tuple[str, list[str]]:
    """Return the createType and the extents' lines; refuse a line that is neither that, a value nor a comment."""
    kind, extents = "", []
    for line in map(str.strip, text.split("\n")):
        name, equals, value = line.partition("=")
        if not line or line.startswith(("#", "ddb.")):
            continue
        if line.split(None, 1)[0] in ACCESS:
            extents.append(line)
        elif not equals or not name.isalnum():
            raise UnsafeImage(f"The VMDK's descriptor has a line that is not understood: '{line[:60]}'.")
        elif name.lower() == "createtype":
            kind = value.strip().strip('"')
    return kind, extents


def _is_the_file_itself(extent: str) -> bool:
    _access, sectors, kind, name, *_ = [*extent.split(None, 3), "", "", ""]
    plain = len(name) > 2 and name[0] == name[-1] == '"' and not set('/\\"') & set(name[1:-1])
    return sectors.isdigit() and kind == "SPARSE" and plain


def _check_footer(parts: Parts) -> None:
    tail = parts.tail
    if len(tail) < FOOTER_BYTES or parts.size % SECTOR:
        raise UnsafeImage("The vmdk footer is cut short; upload the whole file.")
    marker, footer, end = tail[:SECTOR], tail[SECTOR : 2 * SECTOR], tail[2 * SECTOR :]
    same = (slice(0, 8), slice(12, 20), slice(28, 44))  # magic and version; capacity; descriptor and its size
    if any(footer[part] != parts.head[part] for part in same) or footer[56:64] == b"\xff" * 8:
        raise UnsafeImage("The VMDK's footer says something else than its header; convert it with qemu-img.")
    if marker[8:16] != b"\0\0\0\0\x03\0\0\0" or end.strip(b"\0"):
        raise UnsafeImage("The VMDK does not end in a footer and an end of stream; upload the whole file.")
