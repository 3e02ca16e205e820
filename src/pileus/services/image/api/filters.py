"""What a listing of images may be asked: attributes, properties, tags, comparisons, order.

The one rule: a parameter that is no attribute and no paging filters by a property of that name.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_

from pileus.kernel.context import Context
from pileus.kernel.errors import Invalid
from pileus.kernel.rest.paging import sort_order
from pileus.services.image import store
from pileus.services.image.model import MEMBER_STATUSES, VISIBILITIES, ImageRow

Query = Sequence[tuple[str, str]]
PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "is_public"})
TEXTS = {
    "name": ImageRow.name,
    "id": ImageRow.id,
    "status": ImageRow.status,
    "container_format": ImageRow.container_format,
    "disk_format": ImageRow.disk_format,
    "owner": ImageRow.project_id,
    "checksum": ImageRow.checksum,
    "os_hash_value": ImageRow.os_hash_value,
}
NUMBERS = {
    "size": ImageRow.size,
    "min_ram": ImageRow.min_ram,
    "min_disk": ImageRow.min_disk,
    "virtual_size": ImageRow.virtual_size,
}
DATES = {"created_at": ImageRow.created_at, "updated_at": ImageRow.updated_at}
FLAGS = {"protected": ImageRow.protected, "os_hidden": ImageRow.os_hidden}
IN = frozenset({"name", "id", "status", "container_format", "disk_format"})
SORTABLE = {
    "name": ImageRow.name,
    "status": ImageRow.status,
    "container_format": ImageRow.container_format,
    "disk_format": ImageRow.disk_format,
    "size": ImageRow.size,
    "id": ImageRow.id,
    "created_at": ImageRow.created_at,
    "updated_at": ImageRow.updated_at,
}


def selection_of(ctx: Context, query: dict[str, str]) -> Select[Any]:
    """Return the images the caller sees, as far as visibility and member status are asked for."""
    visibility, member_status = query.get("visibility"), query.get("member_status")
    if visibility is not None and visibility not in (*VISIBILITIES, "all"):
        raise Invalid(f"Invalid visibility value: '{visibility}'; possible: {', '.join(VISIBILITIES)}, all.")
    if member_status is not None and member_status not in (*MEMBER_STATUSES, "all"):
        raise Invalid(f"Invalid status: '{member_status}'; possible: {', '.join(MEMBER_STATUSES)}, all.")
    if ctx.is_admin and member_status is None:
        return store.all_images(visibility)
    wanted = None if member_status == "all" else member_status or "accepted"
    return store.visible_images(ctx.project_id, visibility, wanted)


def visible_to(ctx: Context) -> Select[Any]:
    """Return all that any of the caller's lists of images may hold."""
    return store.all_images(None) if ctx.is_admin else store.visible_images(ctx.project_id, "all", None)


def conditions_of(query: Query) -> list[ColumnElement[bool]]:
    """Return the conditions that the parameters stand for.  Raises Invalid."""
    found = [condition for name, value in query if (condition := _condition(name, value)) is not None]
    if not any(name == "os_hidden" for name, _ in query):
        found.append(ImageRow.os_hidden.is_(False))
    return found


def _condition(name: str, value: str) -> ColumnElement[bool] | None:
    if name in PAGING:
        return None
    if name == "tag":
        return store.having_tag(value)
    if name in TEXTS:
        return _text(name, value)
    if name in DATES:
        return _date(DATES[name], name, value)
    if name in FLAGS:
        return FLAGS[name].is_(_flag(name, value))
    for suffix in ("_min", "_max"):
        column = NUMBERS.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if column is not None:
            return column >= _number(name, value) if suffix == "_min" else column <= _number(name, value)
    if name in NUMBERS:
        return NUMBERS[name] == _number(name, value)
    return store.having_property(name, value)


def _text(name: str, value: str) -> ColumnElement[bool]:
    column = TEXTS[name]
    if value.startswith("in:") and name in IN:
        return column.in_(_split(value[3:]))
    return column == value


def _split(text: str) -> list[str]:
    """Cut at commas that are not quoted.  Raises Invalid for quotes that do not match."""
    values, current, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            values.append(current)
            current = ""
        else:
            current += character
    if quoted:
        raise Invalid(f"Invalid filter value {text}: the quote is not closed.")
    return [*values, current]


def _number(name: str, value: str) -> int:
    if not value.isdigit() or len(value) > 18:
        raise Invalid(f"Invalid filter: {name} must be a number of 0 or more, not '{value}'.")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise Invalid(f"Invalid filter: {name} must be true or false, not '{value}'.")
    return value.lower() in ("true", "1")


def _date(column: Any, name: str, value: str) -> ColumnElement[bool]:
    operator, colon, text = value.partition(":")
    if not colon or operator not in ("gt", "gte", "lt", "lte", "eq", "neq"):
        operator, text = "eq", value
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"Invalid filter: {name} must be [gt|gte|lt|lte|eq|neq]:time, not '{value}'.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    end = moment.replace(microsecond=999999)
    if operator in ("eq", "neq"):  # the API shows whole seconds
        within = and_(column >= moment, column <= end)
        return within if operator == "eq" else ~within
    conditions = {"gt": column > end, "gte": column >= moment, "lt": column < moment, "lte": column <= end}
    return conditions[operator]


def order_of(query: Query) -> list[tuple[Any, bool]]:
    """Return the order asked for.  Raises Invalid."""
    sort = [value for name, value in query if name == "sort"]
    keys = [value for name, value in query if name == "sort_key"]
    directions = [value for name, value in query if name == "sort_dir"]
    if sort:
        if keys or directions:
            raise Invalid("Old and new sorting syntax cannot be combined: use sort, or sort_key and sort_dir.")
        parts = [part.partition(":") for part in sort[-1].split(",")]
        return sort_order([key for key, _, _ in parts], [way or "desc" for _, _, way in parts], SORTABLE)
    if len(directions) > 1 and len(directions) != len(keys):
        raise Invalid("Number of sort dirs does not match the number of sort keys.")
    return sort_order(keys or ["created_at"], directions or ["desc"], SORTABLE)
