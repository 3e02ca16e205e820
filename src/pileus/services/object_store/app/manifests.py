"""Static large objects as they are stored: a list of segments, checked against what is there.

The one rule: what reading will cost (bytes, objects, depth) is bounded and summed up here, so that no reader has to
look through the segments to learn it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound, TooLarge
from pileus.services.object_store import store
from pileus.services.object_store.app.content import MayRead, range_of
from pileus.services.object_store.app.objects import Path, now_s
from pileus.services.object_store.model import MAX_DEPTH, MAX_LEAVES, MAX_SEGMENTS, ContainerRow, ObjectRow
from pileus.services.object_store.store import SegmentEntry

BATCH = 100
"""Segments that are looked up in one transaction."""


class SegmentAsked(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a manifest as clients send it."""

    path: str
    etag: str | None = None
    size_bytes: int | None = None
    range: str | None = None

    def place(self) -> tuple[str, str]:
        """Return container and object.  Raises Invalid."""
        container, _, name = self.path.lstrip("/").partition("/")
        if not container or not name:
            raise Invalid("path must be /container/object.")
        if "\0" in self.path:
            raise Invalid("path has a NUL.")
        return container, name


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose segments are there."""

    segments: list[dict[str, Any]]
    size: int
    etag: str
    leaves: int
    """Objects that the bytes come from, through all manifests."""
    depth: int
    """Manifests inside each other, this one included."""


def read_entries(body: bytes) -> list[SegmentAsked]:
    """Read a client's manifest.  Raises Invalid, or TooLarge for too many entries."""
    try:
        raw = msgspec.json.decode(body, type=list[msgspec.Raw])
        if len(raw) > MAX_SEGMENTS:
            raise TooLarge(f"A manifest has 1 to {MAX_SEGMENTS} segments; this one has {len(raw)}.")
        asked = [msgspec.json.decode(entry, type=SegmentAsked, strict=False) for entry in raw]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            "The manifest must be a JSON list of objects with path and, if wanted, etag, size_bytes and range: "
            f"{error}."
        ) from error
    if not asked:
        raise Invalid(f"A manifest has 1 to {MAX_SEGMENTS} segments; this one has none.")
    return asked


def entries_of(row: ObjectRow) -> list[SegmentAsked]:
    """Return a stored manifest as a client would send it."""
    return [
        SegmentAsked(str(item["path"]), str(item["hash"]), int(str(item["bytes"])), _text(item.get("range")))
        for item in row.segments or ()
    ]


def _text(value: object) -> str | None:
    return str(value) if value else None


async def check_manifest(db: Database, path: Path, asked: list[SegmentAsked], may_read: MayRead) -> Manifest:
    """Check a manifest that is to stand at ``path`` against the segments there are, some per transaction.

    Raises ApiError 400 that names every entry that is wrong, Conflict for one that names itself, TooLarge when it
    would name too many objects through other manifests.
    """
    segments: list[dict[str, Any]] = []
    problems: list[str] = []
    leaves = depth = 0
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        found = await db.read(_find, path.account, part, may_read)
        for entry in part:
            try:
                row = _row_of(path, entry, found)
                segments.append(_segment(entry, row))
            except (Invalid, NotFound) as error:
                problems.append(f"{entry.path}, {error.message}")
                continue
            leaves += row.leaves or 1
            depth = max(depth, row.depth or 0)
    if problems:
        raise ApiError("Errors:\n" + "\n".join(problems), status=400)
    if depth + 1 > MAX_DEPTH:
        raise Invalid(f"The manifest would nest manifests deeper than {MAX_DEPTH}; name the segments themselves.")
    if leaves > MAX_LEAVES:
        raise TooLarge(
            f"The manifest would name {leaves} objects through other manifests; at most {MAX_LEAVES} may be."
        )
    size = sum(range_of(segment).end - range_of(segment).start for segment in segments)
    return Manifest(segments, size, _etag(segments), leaves, depth + 1)


def _etag(segments: list[dict[str, Any]]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for segment in segments:
        tag = f"{segment['hash']}:{segment['range']};" if segment.get("range") else segment["hash"]
        digest.update(str(tag).encode())
    return digest.hexdigest()


Found = Mapping[tuple[str, str], SegmentEntry]


def _find(tx: Tx, account: str, part: list[SegmentAsked], may_read: MayRead) -> Found:
    wanted: dict[str, list[str]] = {}
    for entry in part:
        container, _, name = entry.path.lstrip("/").partition("/")
        wanted.setdefault(container, []).append(name)
    found: dict[tuple[str, str], SegmentEntry] = {}
    for container, names in wanted.items():
        row: ContainerRow | None = store.find(tx, account, container).container
        if row is not None:
            may_read(row)
            found |= {(container, entry.name): entry for entry in store.find_segments(tx, row, names)}
    return found


def _row_of(path: Path, entry: SegmentAsked, found: Found) -> SegmentEntry:
    place = entry.place()
    if place == (path.container, path.name):
        raise Conflict(f"The manifest {path.name} cannot name itself; leave {entry.path} out.")
    row = found.get(place)
    if row is None or (row.delete_at is not None and row.delete_at <= now_s()):
        raise NotFound("404 Not Found")
    return row


def _segment(entry: SegmentAsked, row: SegmentEntry) -> dict[str, Any]:
    if row.size == 0 or row.headers.get("x-object-manifest"):
        raise Invalid("a segment must have at least one byte and be no dynamic large object.")
    if entry.size_bytes is not None and entry.size_bytes != row.size:
        raise Invalid(f"Size Mismatch: it has {row.size} bytes, not {entry.size_bytes}.")
    if entry.etag is not None and entry.etag.strip('"') != row.etag:
        raise Invalid(f"Etag Mismatch: it is {row.etag}, not {entry.etag}.")
    container, name = entry.place()
    segment: dict[str, Any] = {
        "path": f"/{container}/{name}",
        "hash": row.etag,
        "bytes": row.size,
        "content_type": row.content_type,
        "last_modified": row.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    }
    if row.leaves is not None:
        segment["sub_slo"] = True
    if entry.range is not None:
        segment["range"] = _range(entry.range, row.size)
    return segment


def _range(text: str, size: int) -> str:
    first, dash, last = text.partition("-")
    digits = first + last
    if not dash or not (digits.isascii() and digits.isdigit()) or len(digits) > 40:
        raise Invalid(f"Invalid Range: '{text[:80]}'.")
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise Invalid(f"Unsatisfiable Range: '{text}' of {size} bytes.")
    return f"{start}-{end}"


def as_sent(row: ObjectRow) -> bytes:
    """Return a stored manifest in the form in which clients send it, as JSON."""
    raw = [
        {"path": item["path"], "etag": item["hash"], "size_bytes": item["bytes"]}
        | ({"range": item["range"]} if item.get("range") else {})
        for item in row.segments or ()
    ]
    return msgspec.json.encode(raw)


def as_stored(row: ObjectRow) -> bytes:
    """Return a stored manifest as JSON with what was found of each segment."""
    items = [{"name": item["path"], **item} for item in row.segments or ()]
    for item in items:
        del item["path"]
    return msgspec.json.encode(items)
