"""Keystone's way: documents that keep what nobody knows, links to themselves, filters such as ``name__contains``.

Rule: an attribute that the API does not know is kept and returned; a filter it does not know is no filter.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import UtcDateTime, case_insensitive_like
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import SYSTEM_OR_PROJECT
from pileus.kernel.rest.bounds import Extra
from pileus.kernel.rest.formats import next_url
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.paging import sort_order
from pileus.kernel.rest.regular.attributes import Attr
from pileus.kernel.rest.regular.dialect import LIST, SHOW, Dialect
from pileus.kernel.rest.regular.filters import Filter, ListQuery, moment_condition
from pileus.kernel.rest.regular.resource import Resource

RESERVED = frozenset({"id", "links", "extra"})
EVERYTHING = 1_000_000
"""Rows of a listing whose client gave no limit: Keystone's clients expect all."""


class Document(msgspec.Struct, kw_only=True):
    """Base of a resource's attributes: its id, and what the API does not know (a column ``extra``)."""

    id: Annotated[str, Attr(on="v")] = ""
    extra: Annotated[Extra, Attr(on="cu", find="")] = {}


def keystone_page(
    plural: str, items: list[Any], marker: str | None, request: Request, context: Context
) -> dict[str, Any]:
    """``{"users": [...], "links": {"self": ..., "previous": null, "next": null}}``.

    A list that was cut short has ``"truncated": true`` beside them.
    """
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    following = next_url(request, context, marker) if marker is not None else None
    links = {"self": f"{context.base_url}{request.path}{query}", "previous": None, "next": following}
    cut = {"truncated": True} if marker is not None else {}
    return {"links": links, plural: items, **cut}


class Keystone(Dialect):
    """The dialect of Identity; whose things are is what rules and filters say."""

    update_method = "PATCH"
    parameter = ""
    plain = True
    scopes = SYSTEM_OR_PROJECT

    def rule_name(self, resource: Resource[Any], verb: str) -> str:
        """Return ``identity:list_regions``, ``identity:get_region`` and so on."""
        noun = resource.plural if verb == LIST else resource.name
        return f"{resource.api.service}:{'get' if verb == SHOW else verb}_{noun}"

    def accept(self, resource: Resource[Any], raw: dict[str, Any], use: str, ctx: Context) -> dict[str, Any]:
        """Return a body whose unknown attributes are together in ``extra``."""
        known = {api for api, field in resource.by_api.items() if use in field.attr.on and api != "extra"}
        body = {name: value for name, value in raw.items() if name in known}
        body["extra"] = {name: value for name, value in raw.items() if name not in known | RESERVED}
        return self.without_nulls(resource, body)

    def values(self, resource: Resource[Any], ctx: Context, body: Any) -> dict[str, Any]:
        """Give new rows ids without dashes."""
        values = super().values(resource, ctx, body)
        return {**values, "id": values.get("id") or ids.new_hex_id()}

    def apply(self, resource: Resource[Any], row: Any, changes: Mapping[str, Any]) -> None:
        """Keep those unknown attributes that a change does not name."""
        super().apply(resource, row, {**changes, "extra": {**row.extra, **changes.get("extra", {})}})

    def parse(self, resource: Resource[Any], items: Iterable[tuple[str, str]], ctx: Context) -> ListQuery:
        """Read a query string; a listing is whole unless it has a limit."""
        return parse(items)

    def filters(self, resource: Resource[Any]) -> dict[str, Filter]:
        """Return none: columns are compared in more ways than one."""
        return {}

    def conditions(self, resource: Resource[Any], ctx: Context, query: ListQuery) -> list[ColumnElement[bool]]:
        """Return one condition for each filter that means something."""
        found = compared(resource.columns("f"), query)
        return found + [
            resource.filters[name](ctx, query.filters[name]) for name in query.filters.keys() & resource.filters
        ]

    def order(self, resource: Resource[Any], query: ListQuery) -> list[tuple[Any, bool]]:
        """Order by the first attribute unless told otherwise."""
        return sort_order(query.sort_keys or list(resource.sortable)[:1], query.sort_dirs, resource.sortable)

    def dress(self, resource: Resource[Any], ctx: Context, row: Any, view: Any) -> dict[str, Any]:
        """Add what the API does not know, and the link to the document."""
        itself = f"{ctx.base_url}/{resource.api.service}{resource.api.prefix}{resource.path}/{row.id}"
        return {**row.extra, **msgspec.to_builtins(view), "links": {"self": itself}}

    def not_found(self, resource: Resource[Any], id: str) -> NotFound:
        """Return the refusal; who may not do anyway what is asked is told that instead (``judge_missing``)."""
        return NotFound(f"Could not find {resource.title.lower()}: {id}.")


def parse(items: Iterable[tuple[str, str]]) -> ListQuery:
    """Read a listing's query string; every name that is no word of lists is a filter."""
    query = ListQuery()
    for name, value in items:
        match name:
            case "limit":
                query.limit = _count(value)
            case "marker":
                query.marker = value
            case "sort_key":
                query.sort_keys.extend(value.split(","))
            case "sort_dir":
                query.sort_dirs.extend(value.split(","))
            case _:
                query.filters.setdefault(name, []).append(value)
    return query


def compared(columns: Mapping[str, Any], query: ListQuery) -> list[ColumnElement[bool]]:
    """Return the conditions of the filters that name columns, with a comparison or without (``name__contains``)."""
    found = []
    for key, values in query.filters.items():
        name, _, comparison = key.partition("__")
        if name in columns:
            for value in values:
                if "\0" in value:
                    raise Invalid(f"The filter {name} has the character NUL, which nothing here can have.")
                found.append(_compare(columns[name], comparison, value))
    return found


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
        return moment_condition(column.key, column, value)
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
