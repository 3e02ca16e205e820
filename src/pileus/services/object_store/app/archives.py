"""Tar archives read as they arrive: whatever a header claims, memory stays small and each byte is looked at once.

The one rule: nothing is held but one piece of the input and one header of bounded size.  ``tarfile`` keeps every
header it has seen, reads a header of any size that it is told, and unpacks a whole block of bzip2 at once; so the
format is read here.  Formats: POSIX.1-2017 pax and ustar; https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

import asyncio
import bz2
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

KINDS = ("tar", "tar.gz", "tar.bz2")
BLOCK = 512
PIECE_BYTES = 256 << 10
"""Bytes that are unpacked at once."""
INPUT_BYTES = 64 << 10
"""Bytes that an unpacker is given at once: what it leaves of them is copied each time."""
MAX_EXTENDED_BYTES = 64 << 10
"""Of a header that gives long names and attributes to the file after it."""
MAX_ENTRIES = 100_000
"""Headers of all kinds in one archive."""
MAX_RATIO, FREE_BYTES = 1000, 64 << 20
"""An archive unpacks to so many times its size at most, beyond the first bytes."""
ATTRIBUTES = ("SCHILY.xattr.user.", "LIBARCHIVE.xattr.user.")
YIELD_EVERY = 256


class BadArchive(Exception):
    """The bytes are no archive that can be unpacked here; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive."""

    name: str
    size: int
    attributes: dict[str, str] = field(default_factory=dict)
    """``user.*`` extended attributes, without that beginning."""
    is_sparse: bool = False
    """Its bytes are not there as they are, but as a map of holes."""


async def unpacked(chunks: AsyncIterator[bytes], kind: str) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an archive as it was before it was compressed, in pieces.  Raises BadArchive."""
    if kind == "tar":
        async for chunk in chunks:
            if chunk:
                yield chunk
        return
    unpack = _gzip() if kind == "tar.gz" else _bzip2()
    taken = given = 0
    async for chunk in chunks:
        for start in range(0, len(chunk), INPUT_BYTES):
            rest: bytes | None = chunk[start : start + INPUT_BYTES]
            taken += len(rest or b"")
            while rest is not None:
                piece, rest, ended = await asyncio.to_thread(unpack, rest)
                given += len(piece)
                if given > FREE_BYTES + MAX_RATIO * taken:
                    raise BadArchive(f"it unpacks to more than {MAX_RATIO} times its size; pack the files in parts")
                if piece:
                    yield piece
                if ended:
                    return
    raise BadArchive("the compressed data ends in the middle")


Unpack = Callable[[bytes], tuple[bytes, bytes | None, bool]]
"""Takes bytes; returns what they unpack to, what is left of them (None: more is wanted), and whether that is all."""


def _gzip() -> Unpack:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def unpack(data: bytes) -> tuple[bytes, bytes | None, bool]:
        try:
            piece = decoder.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise BadArchive(f"it is not compressed by gzip: {error}") from error
        rest = decoder.unconsumed_tail
        return piece, rest if rest or len(piece) == PIECE_BYTES else None, decoder.eof

    return unpack


def _bzip2() -> Unpack:
    decoder = bz2.BZ2Decompressor()

    def unpack(data: bytes) -> tuple[bytes, bytes | None, bool]:
        try:
            piece = decoder.decompress(data, PIECE_BYTES)
        except OSError as error:
            raise BadArchive(f"it is not compressed by bzip2: {error}") from error
        return piece, None if decoder.eof or decoder.needs_input else b"", decoder.eof

    return unpack


class Archive:
    """A tar archive: ``async for member in archive.members()``, and ``content`` of the member that came last."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._left = 0
        """Bytes of the current member, with its padding, that were not read yet."""
        self._content_left = 0

    async def members(self) -> AsyncIterator[Member]:
        """Yield the regular files in order; what is no file is passed over.  Raises BadArchive."""
        common: dict[str, str] = {}
        given: dict[str, str] = {}
        for number in range(MAX_ENTRIES + 1):
            if number % YIELD_EVERY == YIELD_EVERY - 1:
                await asyncio.sleep(0)  # an archive that is there already must not keep the others waiting
            await self._pass_over()
            block = await self._read(BLOCK)
            if not block.strip(b"\0"):
                if number == 0 and not block:
                    raise BadArchive("it is empty")
                return
            name, size, kind = _header(block)
            if kind in _EXTENDED:
                content = await self._extended(size)
                match kind:
                    case b"L":
                        given["path"] = _text(content)
                    case b"g":
                        common |= _records(content)
                        if len(common) > YIELD_EVERY:
                            raise BadArchive("its global headers have too many records")
                    case b"x" | b"X":
                        given |= _records(content)
                continue
            records, given = {**common, **given}, {}
            size = _size(records.get("size"), size)
            self._content_left, self._left = (size, _padded(size)) if kind not in _WITHOUT_DATA else (0, 0)
            name = records.get("path", name)
            if kind in _REGULAR and not (kind == b"\0" and name.endswith("/")):
                is_sparse = any(key.startswith("GNU.sparse.") for key in records)
                yield Member(name, size, _attributes(records), is_sparse)
            elif kind == _SPARSE:
                if block[482]:  # the map of holes goes on in blocks of its own
                    await self._pass_over_map()
                yield Member(name, size, is_sparse=True)
        raise BadArchive(f"it has more than {MAX_ENTRIES} entries; pack the files in parts")

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the current member.  Raises BadArchive when the archive ends before they do."""
        while self._content_left:
            piece = await self._some(self._content_left)
            if not piece:
                raise BadArchive("it ends in the middle of a file")
            self._content_left -= len(piece)
            self._left -= len(piece)
            yield piece

    async def _pass_over_map(self) -> None:
        for _ in range(MAX_ENTRIES):
            block = await self._read(BLOCK)
            if len(block) < BLOCK:
                raise BadArchive("it ends in the middle of a header")
            if not block[504]:
                return
        raise BadArchive("the map of a sparse file is too long")

    async def _pass_over(self) -> None:
        while self._left:
            piece = await self._some(self._left)
            if not piece:
                raise BadArchive("it ends in the middle of a file")
            self._left -= len(piece)

    async def _extended(self, size: int) -> bytes:
        if size > MAX_EXTENDED_BYTES:
            raise BadArchive(f"a header for long names claims {size} bytes; at most {MAX_EXTENDED_BYTES} may be")
        content = await self._read(_padded(size))
        if len(content) < size:
            raise BadArchive("it ends in the middle of a header")
        return content[:size]

    async def _read(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        found = await self._some(count)
        while len(found) < count and (more := await self._some(count - len(found))):
            found += more
        return found

    async def _some(self, most: int) -> bytes:
        """Return at least one byte, nothing at the end."""
        while self._at == len(self._piece):
            self._piece, self._at = await anext(self._pieces, b""), 0
            if not self._piece:
                return b""
        found = self._piece[self._at : self._at + most]
        self._at += len(found)
        return found


_EXTENDED = (b"x", b"X", b"g", b"L", b"K")
_REGULAR = (b"0", b"\0", b"7")
_SPARSE = b"S"
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


def _header(block: bytes) -> tuple[str, int, bytes]:
    """Read a header; return name, size and type."""
    if len(block) < BLOCK:
        raise BadArchive("it ends in the middle of a header")
    stored, own = _number(block[148:156]), block[:148] + block[156:]
    unsigned = sum(own) + 8 * ord(" ")
    if stored != unsigned and stored != unsigned - 256 * sum(byte > 127 for byte in own):
        raise BadArchive("the checksum of a header is wrong")
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name, _number(block[124:136]), block[156:157]


def _number(digits: bytes) -> int:
    """Read a number of a header: octal, or with the first bit set the bytes themselves."""
    if digits[0] == 0x80:
        number = int.from_bytes(digits[1:], "big")
    else:
        text = digits.partition(b"\0")[0].strip(b" ")
        if text.strip(b"01234567"):
            raise BadArchive("a number in a header cannot be read")
        number = int(text or b"0", 8)
    if number >= 1 << 63:
        raise BadArchive("a number in a header is too large")
    return number


def _size(record: str | None, size: int) -> int:
    if record is None:
        return size
    if not (record.isascii() and record.isdigit()) or len(record) > 18:
        raise BadArchive("the size of a file cannot be read")
    return int(record)


def _text(content: bytes) -> str:
    """Read a name; what is not UTF-8 becomes U+FFFD, which no object's name may have."""
    return content.partition(b"\0")[0].decode("utf-8", "replace")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _records(content: bytes) -> dict[str, str]:
    """Read the records of a pax header that mean something here: ``LENGTH KEY=VALUE\\n``, one after the other."""
    found: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at]:
        space = content.find(b" ", at, at + 20)
        digits = content[at:space] if space > at else b""
        if not digits.isdigit():
            raise BadArchive("a record of a header has no length")
        end = at + int(digits)
        record = content[space + 1 : end]
        if end <= space or end > len(content) or not record.endswith(b"\n"):
            raise BadArchive("a record of a header has a wrong length")
        key, equals, value = record[:-1].partition(b"=")
        if not equals:
            raise BadArchive("a record of a header has no value")
        name = key.decode("utf-8", "replace")
        if name in ("path", "size") or name.startswith(("GNU.sparse.", *ATTRIBUTES)):
            found[name] = value.decode("utf-8", "replace")
        at = end
    return found


def _attributes(records: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in records.items():
        for beginning in ATTRIBUTES:
            if name.startswith(beginning):
                found[name.removeprefix(beginning)] = value
    return found
