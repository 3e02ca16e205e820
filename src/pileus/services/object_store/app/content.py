"""What a reader of an object gets: its own bytes, or those of the segments that its manifest names.

The one rule: nothing is looked up that is not about to be sent.  What a static manifest sums up to was worked out
when it was stored; its segments are found a few at a time, within the range asked for, while the answer goes out.
A manifest gives no access of its own: the reader must be allowed to read every segment's container.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import Conflict
from pileus.services.object_store import store
from pileus.services.object_store.app.blobs import Part
from pileus.services.object_store.app.conditions import Range
from pileus.services.object_store.app.objects import Path, is_expired
from pileus.services.object_store.model import LIMITS, MAX_DEPTH, ContainerRow, ObjectRow
from pileus.services.object_store.store import Listing, ObjectEntry

MayRead = Callable[[ContainerRow], None]
"""Raises unless the caller may read objects of the container."""
BATCH = 64
"""Segments that are found in one transaction; reading a manifest counts as one more for every 16 entries."""
PAGE = 1000
"""Segments of a dynamic large object that are listed in one transaction."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a reader of an object gets."""

    etag: str
    size: int | None
    """None where it is unknown: a dynamic large object of more segments than a listing has."""
    known: int
    """Bytes that are there for certain: ``size``, or those of the segments listed so far."""
    parts: Callable[[Range], AsyncIterator[Part]]
    """Where the bytes of a range are, found as they are asked for.  Raises Conflict, or what ``MayRead`` raises."""
    is_large: bool = False
    is_dynamic: bool = False

    @property
    def whole(self) -> Range:
        """All bytes, also those beyond what is known."""
        return Range(0, _ENDLESS if self.size is None else self.size)


_ENDLESS = 1 << 62


async def content_of(db: Database, path: Path, row: ObjectRow, may_read: MayRead) -> Content:
    """Work out what an object stands for."""
    if row.segments is not None:
        return _static(db, path, row, may_read)
    if "x-object-manifest" in row.headers:
        return await _dynamic(db, path, row, may_read)
    return own_content(row)


def own_content(row: ObjectRow) -> Content:
    """Return an object's own bytes, whatever it is the manifest of."""

    async def parts(wanted: Range) -> AsyncIterator[Part]:
        if row.blob and wanted.start < wanted.end:
            yield Part(row.blob, wanted.start, wanted.end - wanted.start)

    return Content(row.etag, row.own_bytes, row.own_bytes, parts)


def _static(db: Database, path: Path, row: ObjectRow, may_read: MayRead) -> Content:
    def parts(wanted: Range) -> AsyncIterator[Part]:
        return _Walk(path, row.segments or [], wanted, may_read).parts(db)

    return Content(row.etag, row.size, row.size, parts, is_large=True)


class _Walk:
    """A walk through a static manifest and those it names, which enters only what lies within the range."""

    def __init__(self, path: Path, segments: list[dict[str, Any]], wanted: Range, may_read: MayRead) -> None:
        self._path = path
        self._may_read = may_read
        self._readable: set[int] = set()
        self._open = [_within(segments, wanted)]
        """The manifests that the walk is inside of, outermost first."""

    async def parts(self, db: Database) -> AsyncIterator[Part]:
        """Yield where the bytes are, some segments per transaction."""
        while self._open:
            for part in await db.read(self._next):
                yield part

    def _next(self, tx: Tx) -> list[Part]:
        parts: list[Part] = []
        done = 0
        while self._open and done < BATCH:
            step = next(self._open[-1], None)
            if step is None:
                self._open.pop()
                continue
            segment, wanted = step
            row = self._find(tx, segment)
            done += 1
            if row.segments is not None:
                if len(self._open) >= MAX_DEPTH:
                    raise Conflict(f"Object {self._path.name} nests manifests deeper than {MAX_DEPTH}.")
                done += len(row.segments) // 16
                self._open.append(_within(row.segments, wanted))
            elif row.blob:
                parts.append(Part(row.blob, wanted.start, wanted.end - wanted.start))
        return parts

    def _find(self, tx: Tx, segment: dict[str, Any]) -> ObjectRow:
        container, _, name = str(segment["path"]).lstrip("/").partition("/")
        found = store.find(tx, self._path.account, container, name)
        if found.container is not None and found.container.id not in self._readable:
            self._may_read(found.container)
            self._readable.add(found.container.id)
        row = found.object
        # The kind and the size too: the etag of a manifest is the MD5 of a text that anybody may store as an object.
        if (
            row is None
            or is_expired(row)
            or row.etag != segment["hash"]
            or row.size != segment["bytes"]
            or (row.segments is not None) is not bool(segment.get("sub_slo"))
        ):
            where = f"Segment {segment['path']} of {self._path.name}"
            raise Conflict(f"{where} is missing or has changed since the manifest was stored; upload it again.")
        return row


def _within(segments: list[dict[str, Any]], wanted: Range) -> Iterator[tuple[dict[str, Any], Range]]:
    """Yield the segments that a range of their manifest touches, and which of their own bytes it wants."""
    offset = 0
    for segment in segments:
        own = range_of(segment)
        start, end = max(wanted.start, offset), min(wanted.end, offset + own.end - own.start)
        if start < end:
            yield segment, Range(own.start + start - offset, own.start + end - offset)
        offset += own.end - own.start
        if offset >= wanted.end:
            return


def range_of(segment: dict[str, Any]) -> Range:
    """Return which bytes of a segment's object its manifest uses."""
    if not segment.get("range"):
        return Range(0, int(segment["bytes"]))
    first, _, last = str(segment["range"]).partition("-")
    return Range(int(first), int(last) + 1)


class _Pieces:
    """The segments of a dynamic large object: those of one listing are kept, what lies beyond is listed when sent."""

    def __init__(self, path: Path, container: ContainerRow, prefix: str, row: ObjectRow, may_read: MayRead) -> None:
        self._path = path
        self._container = container
        self._prefix = prefix
        self._row_id = row.id
        self._may_read = may_read
        self._marker = ""
        self._listed: list[tuple[int, int, str | None, bool]] = []
        self.digest = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.is_complete = False

    async def list_first(self, db: Database) -> None:
        """List as many as a listing has."""
        for _ in range(LIMITS["container_listing_limit"] // PAGE):
            for entry in await self._page(db):
                self._listed.append((entry.id, entry.size, entry.blob, entry.is_static))
                self.digest.update(entry.etag.encode())
                self.size += entry.size
            if self.is_complete:
                return
            await asyncio.sleep(0)

    async def _page(self, db: Database) -> list[ObjectEntry]:
        listing = Listing(PAGE, prefix=self._prefix, marker=self._marker)
        page = await db.read(store.list_objects, self._container, listing)
        self.is_complete = len(page) < PAGE
        entries = [entry for entry in page if isinstance(entry, ObjectEntry)]
        if entries:
            self._marker = entries[-1].name
        return [entry for entry in entries if not is_expired(entry) and entry.id != self._row_id]

    async def parts(self, db: Database, wanted: Range) -> AsyncIterator[Part]:
        """Yield where the bytes of a range are."""
        offset = 0
        async for id, size, blob, is_static in self._all(db):
            start, end = max(wanted.start, offset), min(wanted.end, offset + size)
            inside = Range(start - offset, end - offset)
            offset += size
            if start < end and is_static:
                async for part in self._manifest(db, id, inside):
                    yield part
            elif start < end and blob:
                yield Part(blob, inside.start, end - start)
            if offset >= wanted.end:
                return

    async def _all(self, db: Database) -> AsyncIterator[tuple[int, int, str | None, bool]]:
        for listed in self._listed:
            yield listed
        while not self.is_complete:
            for entry in await self._page(db):
                yield entry.id, entry.size, entry.blob, entry.is_static

    def _manifest(self, db: Database, id: int, wanted: Range) -> AsyncIterator[Part]:
        async def parts() -> AsyncIterator[Part]:
            row = await db.read(store.find_object, id)
            if row is None or row.segments is None:
                raise Conflict(f"A segment of {self._path.name} has changed while it was read; read it again.")
            async for part in _Walk(self._path, row.segments, wanted, self._may_read).parts(db):
                yield part

        return parts()


async def _dynamic(db: Database, path: Path, row: ObjectRow, may_read: MayRead) -> Content:
    container_name, _, prefix = unquote(row.headers["x-object-manifest"]).partition("/")
    container = (await db.read(store.find, path.account, container_name)).container
    if container is None:
        return Content(hashlib.md5(usedforsecurity=False).hexdigest(), 0, 0, _nothing, True, True)
    may_read(container)
    pieces = _Pieces(path, container, prefix, row, may_read)
    await pieces.list_first(db)

    def parts(wanted: Range) -> AsyncIterator[Part]:
        return pieces.parts(db, wanted)

    if pieces.is_complete:
        return Content(pieces.digest.hexdigest(), pieces.size, pieces.size, parts, True, True)
    return Content(row.etag, None, pieces.size, parts, is_dynamic=True)


async def _nothing(wanted: Range) -> AsyncIterator[Part]:
    for part in ():
        yield part
