"""What lists share: filters on columns, and this API's own idea of a page."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, Text, func, select, type_coerce

from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.rest.paging import UnknownMarker, page, page_size

R = TypeVar("R")


class Window(msgspec.Struct, frozen=True):
    """Which part of a list is wanted; ``order`` is ``[(column, descending)]``."""

    order: list[tuple[Any, bool]]
    limit: int | None = None
    marker: str | None = None
    offset: int = 0


def fetch(
    tx: Tx, statement: Select[Any], row: type[R], window: Window, seen: Select[Any]
) -> tuple[list[R], str | None]:
    """Return a page and the marker of the next one.

    ``seen`` are all that the caller's list may hold, whatever it is filtered by.  A full page always names a next one,
    even when that turns out empty: upstream does so, and clients that follow links rely on it.
    """
    if window.offset:
        statement = statement.offset(window.offset)
    try:
        found, marker = page(
            tx, statement, row, order=window.order, limit=window.limit, marker=window.marker, seen=seen
        )
    except UnknownMarker:
        raise NotFound(
            f"Marker {window.marker} could not be found: it must be the id of an entry of this list."
        ) from None
    if found and window.limit is not None and len(found) == page_size(tx, window.limit):
        marker = str(vars(found[-1])["id"])  # every row listed here has one
    return found, marker


def of_project(row: Any, project_id: str | None) -> Select[Any]:
    """Return a project's rows, or all rows."""
    statement = select(row)
    return statement if project_id is None else statement.where(row.project_id == project_id)


def containing(column: Any, wanted: Mapping[str, str]) -> Sequence[ColumnElement[bool]]:
    """Return conditions that a JSON object column holds every wanted key and value.

    The stored text is compact JSON with escaped quotes, so ``{"key":"value"`` or ``,"key":"value"`` occurs in it
    exactly when the pair does.  ``replace`` compares case-sensitively on every engine, unlike LIKE.
    """
    found = []
    for key, value in wanted.items():
        pair = msgspec.json.encode({key: value}).decode()[1:-1]
        text = func.replace(func.replace(_text(column), "{" + pair, ""), "," + pair, "")
        found.append(text != _text(column))
    return found


def _text(column: Any) -> Any:
    return type_coerce(column, Text)
