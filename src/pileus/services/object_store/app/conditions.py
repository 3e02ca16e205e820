"""Conditional and partial requests: which precondition fails, which bytes are asked for.  Source: RFC 9110."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple

from pileus.kernel.errors import ApiError, PreconditionFailed
from pileus.kernel.rest import Request


class Range(NamedTuple):
    """Bytes from ``start`` up to ``end``, ``end`` not included."""

    start: int
    end: int


def http_date(moment: datetime) -> str:
    """Return the moment as an HTTP date, rounded up as Swift does, so that it never lies before the change."""
    whole = moment.replace(microsecond=0)
    seconds = whole.timestamp() + (1 if moment.microsecond else 0)
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def parse_date(text: str | None) -> datetime | None:
    """Read an HTTP date; what cannot be read is as good as absent."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_not_modified(request: Request, etag: str, updated_at: datetime) -> bool:
    """Tell whether the answer is 304.  Raises PreconditionFailed when it is 412."""
    headers = request.headers
    wanted = headers.get("if-match")
    if wanted is not None and not _matches(wanted, etag):
        raise PreconditionFailed(f"The object's etag is {etag}, not what If-Match asks for.")
    unless = parse_date(headers.get("if-unmodified-since"))
    if wanted is None and unless is not None and updated_at.replace(microsecond=0) > unless:
        raise PreconditionFailed("The object was modified after the date in If-Unmodified-Since.")
    unwanted = headers.get("if-none-match")
    if unwanted is not None:
        return _matches(unwanted, etag)
    since = parse_date(headers.get("if-modified-since"))
    return since is not None and updated_at <= since


def _matches(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or etag in tags


_SPEC = re.compile(r"([0-9]{0,20})-([0-9]{0,20})")
MAX_RANGES = 50


def ranges_of(request: Request, size: int, etag: str, updated_at: datetime) -> list[Range] | None:
    """Return the ranges asked for, or None for the whole.  Raises ApiError with status 416 when none fits."""
    header = request.headers.get("range", "")
    unit, _, specs = header.partition("=")
    if unit.strip() != "bytes" or not _still_the_same(request.headers.get("if-range"), etag, updated_at):
        return None
    found, parts = [], specs.split(",")
    for part in parts:
        match = _SPEC.fullmatch(part.strip())
        if match is None or match[0] == "-" or len(parts) > MAX_RANGES:
            return None  # a header that cannot be read is ignored
        first, last = match[1], match[2]
        if first and last and int(first) > int(last):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start < end:
            found.append(Range(start, end))
    if not found:
        raise ApiError(
            f"The range '{header}' lies outside the {size} bytes of the object.",
            status=416,
            headers={"Content-Range": f"bytes */{size}"},
        )
    return found


def first_range(request: Request, known: int, etag: str, updated_at: datetime) -> Range | None:
    """Return the one range asked for if it lies within the bytes that are known of an object of unknown size."""
    try:
        found = ranges_of(request, known, etag, updated_at)
    except ApiError:
        return None
    return found[0] if found is not None and len(found) == 1 and found[0].end < known else None


def _still_the_same(if_range: str | None, etag: str, updated_at: datetime) -> bool:
    if if_range is None:
        return True
    date = parse_date(if_range)
    return updated_at.replace(microsecond=0) <= date if date is not None else _matches(if_range, etag)
