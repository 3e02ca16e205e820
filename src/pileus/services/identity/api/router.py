"""The API object every resource registers with, and what their documents share.

Rule: a resource's document is a mapping, because Identity keeps and returns attributes it does not know.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Select

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx, UtcDateTime, case_insensitive_like
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import Api, Page, Request, identity_page, page, sort_order
from pileus.services.identity.app.domain_configs import list_limit
from pileus.services.identity.app.telling import tell_of_change, tell_of_refusal

api = Api(
    "identity",
    "/v3",
    page=identity_page,
    hide_foreign=False,
    judge_missing=True,
    written=tell_of_change,
    refused=tell_of_refusal,
)
versions = Api("identity", "", page=identity_page)

RESERVED = frozenset({"id", "links", "extra"})
NO_NUL = r"^[^\x00]*$"
"""What a name must match: not every database can keep the character NUL."""
SEEN = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""The same, and it has something in it that can be seen."""
EVERYTHING = 1_000_000
"""Rows of a listing whose client gave no limit: Identity's clients expect all."""


def url(ctx: Context, path: str) -> str:
    """Return the URL of something below ``/identity/v3``."""
    return f"{ctx.base_url}/identity/v3{path}"


def extra(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes to keep of those the API does not know."""
    return {name: value for name, value in given.items() if name not in RESERVED}


def moment(value: Any) -> str | None:
    """Return a moment in Identity's form."""
    return f"{clock.iso_micro(value)}Z" if value is not None else None


def missing(noun: str, id: str) -> NoReturn:
    """Raise NotFound; those who may not do anyway what they ask for are told that instead (``judge_missing``)."""
    raise NotFound(f"Could not find {noun}: {id}.")


def listing(
    tx: Tx,
    request: Request,
    statement: Select[Any],
    row: Any,
    columns: Mapping[str, Any],
    domain_id: str | None = None,
) -> tuple[list[Any], str | None]:
    """Return the records of a listing, filtered and sorted by the URL's parameters, and the next page's marker.

    ``domain_id`` is the domain whose people are listed, which may have a bound of its own.  ``columns`` maps the API's
    names of filters and sort keys to columns.  ``name__contains`` and the like compare text.
    """
    limit, marker = None, None
    keys: list[str] = []
    directions: list[str] = []
    for key, value in request.query_items():
        name, _, comparison = key.partition("__")
        if key == "limit":
            limit = _count(value)
        elif key == "marker":
            marker = value
        elif key == "sort_key":
            keys.extend(value.split(","))
        elif key == "sort_dir":
            directions.extend(value.split(","))
        elif name in columns:
            if "\0" in value:
                raise Invalid(f"The filter {name} has the character NUL, which nothing here can have.")
            statement = statement.where(_compare(columns[name], comparison, value))
    first = next(iter(columns))
    order = sort_order(keys or [first], directions, dict(columns))
    most = list_limit(tx, domain_id) or EVERYTHING
    return page(tx, statement, row, order=order, limit=limit, marker=marker, max_limit=most, plain=True)


def _count(value: str) -> int | None:
    """Return the rows of a page at most; 0 asks for all, as nothing does."""
    if not value.isdigit():
        raise Invalid(f"limit must be a number, not {value[:64]!r}.")
    return min(int(value), EVERYTHING) or None


def truth(value: str) -> bool:
    """Return what ``?enabled=...`` means: everything but 0 and false is true."""
    return value.strip().lower() not in ("0", "false", "no", "off")


def _compare(column: Any, comparison: str, value: str) -> Any:
    if column.type.python_type is bool:
        return column.is_(truth(value))
    if isinstance(column.type, UtcDateTime):
        return _compare_moment(column, value)
    literal = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    match comparison:
        case "contains":
            return column.like(f"%{literal}%", escape="\\")
        case "startswith":
            return column.like(f"{literal}%", escape="\\")
        case "endswith":
            return column.like(f"%{literal}", escape="\\")
        case "icontains":
            return case_insensitive_like(column, f"%{literal}%")
        case "istartswith":
            return case_insensitive_like(column, f"{literal}%")
        case "iendswith":
            return case_insensitive_like(column, f"%{literal}")
        case "iexact":
            return case_insensitive_like(column, literal)
    return column == value


_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}


def _compare_moment(column: Any, value: str) -> Any:
    """Return what ``lt:2030-01-31T09:30:00Z`` asks of a time; without an order it must be the same."""
    order, _, text = value.partition(":")
    if order not in _ORDERS:
        order, text = "eq", value
    try:
        wanted = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{column.key} must be a time such as 2030-01-31T09:30:00Z, with one of {', '.join(_ORDERS)} and a colon "
            f"before it, not {value[:64]!r}."
        ) from None
    return _ORDERS[order](column, wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted)


def pages(rows: tuple[list[Any], str | None], views: list[dict[str, Any]]) -> Page:
    """Return the answer to a listing."""
    return Page(views, rows[1])
