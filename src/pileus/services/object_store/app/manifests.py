"""Large objects: one name for many segments, static (a list in the manifest) or dynamic (a prefix).

The one rule: a manifest gives no access of its own; the reader must be allowed to read every segment's container.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound
from pileus.services.object_store import store
from pileus.services.object_store.app.blobs import Part
from pileus.services.object_store.app.conditions import Range
from pileus.services.object_store.app.objects import Path, is_expired
from pileus.services.object_store.model import MAX_SEGMENTS, ContainerRow, ObjectRow
from pileus.services.object_store.store import Listing, ObjectEntry

MayRead = Callable[[ContainerRow], None]
"""Raises unless the caller may read objects of the container."""
MAX_DEPTH = 10
PAGE = 10000


@dataclass(slots=True)
class Content:
    """What a reader of an object gets."""

    parts: list[Part]
    size: int
    etag: str
    is_large: bool = False

    def slice(self, wanted: Range) -> list[Part]:
        """Return the parts of a range."""
        found, offset = [], 0
        for part in self.parts:
            start, end = max(wanted.start, offset), min(wanted.end, offset + part.length)
            if start < end:
                found.append(Part(part.blob, part.start + start - offset, end - start))
            offset += part.length
        return found


class SegmentAsked(msgspec.Struct):
    """One entry of a manifest as clients send it."""

    path: str
    etag: str | None = None
    size_bytes: int | None = None
    range: str | None = None


def content_of(tx: Tx, path: Path, row: ObjectRow, may_read: MayRead, depth: int = 0) -> Content:
    """Work out which bytes an object stands for.  Raises Conflict when a segment is not what the manifest says."""
    if depth > MAX_DEPTH:
        raise Conflict(f"Object {path.name} nests manifests deeper than {MAX_DEPTH}.")
    if row.segments is not None:
        return _static(tx, path, row, may_read, depth)
    if "x-object-manifest" in row.headers:
        return _dynamic(tx, path, row, may_read)
    return Content([Part(row.blob, 0, row.size)] if row.blob else [], row.size, row.etag)


def _static(tx: Tx, path: Path, row: ObjectRow, may_read: MayRead, depth: int) -> Content:
    content = Content([], 0, row.etag, is_large=True)
    containers: dict[str, ContainerRow] = {}
    for segment in row.segments or ():
        container, _, name = str(segment["path"]).lstrip("/").partition("/")
        found = store.find(tx, path.account, container, name)
        if found.container is not None and container not in containers:
            may_read(found.container)
            containers[container] = found.container
        target = found.object
        if target is None or is_expired(target) or target.etag != segment["hash"]:
            raise Conflict(f"Segment {segment['path']} of {path.name} is missing or has changed; upload it again.")
        inner = content_of(tx, Path(path.account, container, name), target, may_read, depth + 1)
        first, _, last = str(segment.get("range") or f"0-{inner.size - 1}").partition("-")
        wanted = Range(int(first), int(last) + 1)
        content.parts += inner.slice(wanted)
        content.size += wanted.end - wanted.start
    return content


def _dynamic(tx: Tx, path: Path, row: ObjectRow, may_read: MayRead) -> Content:
    container_name, _, prefix = unquote(row.headers["x-object-manifest"]).partition("/")
    container = store.find(tx, path.account, container_name).container
    digest, content = hashlib.md5(usedforsecurity=False), Content([], 0, "", is_large=True)
    if container is not None:
        may_read(container)
        marker, page = "", PAGE
        while page == PAGE:
            segments = store.list_objects(tx, container, Listing(PAGE, prefix=prefix, marker=marker))
            page = len(segments)
            for segment in segments:
                assert isinstance(segment, ObjectEntry)
                marker = segment.name
                if is_expired(segment) or (segment.id == row.id):
                    continue
                digest.update(segment.etag.encode())
                content.size += segment.size
                if segment.blob:
                    content.parts.append(Part(segment.blob, 0, segment.size))
    content.etag = digest.hexdigest()
    return content


def read_manifest(tx: Tx, account: str, body: bytes, may_read: MayRead) -> tuple[list[dict[str, Any]], int, str]:
    """Check a client's manifest against the segments there are; return it with its size and etag.

    Raises Invalid, naming every entry that is wrong.
    """
    try:
        asked = msgspec.json.decode(body, type=list[SegmentAsked])
    except msgspec.DecodeError as error:
        raise Invalid(f"The manifest must be a JSON list of objects with 'path': {error}.") from error
    if not 0 < len(asked) <= MAX_SEGMENTS:
        raise Invalid(f"A manifest has 1 to {MAX_SEGMENTS} segments; this one has {len(asked)}.")
    segments, problems, size, digest = [], [], 0, hashlib.md5(usedforsecurity=False)
    for entry in asked:
        try:
            segment = _segment(tx, account, entry, may_read)
        except (Invalid, NotFound) as error:
            problems.append(f"{entry.path}, {error.message}")
            continue
        segments.append(segment)
        size += _length(segment)
        tag = f"{segment['hash']}:{segment['range']};" if segment.get("range") else segment["hash"]
        digest.update(str(tag).encode())
    if problems:
        raise ApiError("Errors:\n" + "\n".join(problems), status=400)
    return segments, size, digest.hexdigest()


def _segment(tx: Tx, account: str, entry: SegmentAsked, may_read: MayRead) -> dict[str, Any]:
    container, _, name = entry.path.lstrip("/").partition("/")
    if not container or not name:
        raise Invalid("path must be /container/object.")
    found = store.find(tx, account, container, name)
    if found.container is None or found.object is None or is_expired(found.object):
        raise NotFound("404 Not Found")
    may_read(found.container)
    row = found.object
    if row.size == 0 or row.headers.get("x-object-manifest"):
        raise Invalid("a segment must have at least one byte and be no dynamic large object.")
    if entry.size_bytes is not None and entry.size_bytes != row.size:
        raise Invalid(f"Size Mismatch: it has {row.size} bytes, not {entry.size_bytes}.")
    if entry.etag is not None and entry.etag.strip('"') != row.etag:
        raise Invalid(f"Etag Mismatch: it is {row.etag}, not {entry.etag}.")
    segment: dict[str, Any] = {
        "path": f"/{container}/{name}",
        "hash": row.etag,
        "bytes": row.size,
        "content_type": row.content_type,
        "last_modified": row.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    }
    if row.segments is not None:
        segment["sub_slo"] = True
    if entry.range is not None:
        segment["range"] = _range(entry.range, row.size)
    return segment


def _range(text: str, size: int) -> str:
    first, dash, last = text.partition("-")
    if not dash or not (first or last) or not (first + last).isdigit():
        raise Invalid(f"Invalid Range: '{text}'.")
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise Invalid(f"Unsatisfiable Range: '{text}' of {size} bytes.")
    return f"{start}-{end}"


def _length(segment: dict[str, Any]) -> int:
    if not segment.get("range"):
        return int(segment["bytes"])
    first, _, last = str(segment["range"]).partition("-")
    return int(last) - int(first) + 1
