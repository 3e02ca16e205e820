"""Barbican's way: bodies without an envelope, ``secret_ref`` for ids, pages by offset and a total, times without zone.

Rule: a list shows the caller's project, also to administrators; one thing is shown to whom its rule lets see it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from sqlalchemy import ColumnElement, Integer, Select, and_, func

from pileus.kernel.context import Context
from pileus.kernel.db import Tx, UtcDateTime, case_insensitive_like
from pileus.kernel.errors import ApiError, Invalid, NotFound
from pileus.kernel.rest.formats import error_headers
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.paging import clauses, sort_order
from pileus.kernel.rest.regular.attributes import Attr
from pileus.kernel.rest.regular.dialect import CREATE, LIST, SHOW, Dialect
from pileus.kernel.rest.regular.filters import LONGEST_NUMBER, Filter, ListQuery, column_filter, moment_condition
from pileus.kernel.rest.regular.resource import Resource

DEFAULT_LIMIT, MOST = 10, 100
"""Entries of a page without a limit, and of any."""
_VERBS = {CREATE: "post", LIST: "get", SHOW: "get"}
WILDCARDS = 2
"""Per cent signs of a filter: each one more multiplies the steps that a name costs."""


def barbican_error(error: ApiError, request_id: str) -> Response:
    """``{"code": 404, "title": "Not Found", "description": ...}``."""
    content = {"code": error.status, "title": error.title, "description": error.message, **error.details}
    return json_response(content, error.status, error_headers(error))


def zoneless(moment: datetime | None) -> str | None:
    """Return ``2026-01-31T09:30:00``, which is UTC: clients in Go read nothing else."""
    return None if moment is None else moment.isoformat()[:19]


class Entity(msgspec.Struct, kw_only=True):
    """Base of the attributes of what a project has: its state and its times."""

    status: Annotated[str, Attr(on="v")] = "ACTIVE"
    created: Annotated[str | None, Attr(on="v", source="created_at", show=zoneless)] = None
    updated: Annotated[str | None, Attr(on="v", source="updated_at", show=zoneless)] = None


def url_of(ctx: Context, *path: str) -> str:
    """Return the reference to a thing: ``http://host/key-manager/v1/secrets/ID``."""
    return "/".join((ctx.base_url, "key-manager/v1", *path))


class Barbican(Dialect):
    """The dialect of Key Manager."""

    parameter = ""
    judged_by_thing = True

    def rule_name(self, resource: Resource[Any], verb: str) -> str:
        """Return ``secrets:post``, ``secrets:get``, ``secret:get`` and so on."""
        noun = resource.plural if verb in (CREATE, LIST) else resource.name
        return f"{noun}:{_VERBS.get(verb, verb)}"

    def enveloped(self, resource: Resource[Any], raw: Any) -> dict[str, Any]:
        """Return the body, texts without the space around them."""
        if not isinstance(raw, dict):
            raise Invalid("The request body must be a JSON object.")
        return {name: value.strip() if isinstance(value, str) else value for name, value in raw.items()}

    def accept(self, resource: Resource[Any], raw: dict[str, Any], use: str, ctx: Context) -> dict[str, Any]:
        """Return what may be decoded; who may not create anyway is told that first, as upstream."""
        if use == "c":
            ctx.require(resource.rule(CREATE))
        return super().accept(resource, raw, use, ctx)

    def parse(self, resource: Resource[Any], items: Iterable[tuple[str, str]], ctx: Context) -> ListQuery:
        """Read a query string; of a limit or an offset that is none the default counts, as upstream."""
        return parse(items)

    def filters(self, resource: Resource[Any]) -> dict[str, Filter]:
        """Return the filters that the attributes have: texts alike, numbers equal, times compared."""
        return {api: _filter(api, column) for api, column in resource.columns("f").items()}

    def conditions(self, resource: Resource[Any], ctx: Context, query: ListQuery) -> list[ColumnElement[bool]]:
        """Return the filters' conditions, and that the project is the caller's unless a filter says whose."""
        found = super().conditions(resource, ctx, query)
        owner: Any = getattr(resource.row, "project_id", None)
        if owner is not None and not query.filters.keys() & {"acl_only"}:
            found.append(owner == ctx.project_id)
        return found

    def order(self, resource: Resource[Any], query: ListQuery) -> list[tuple[Any, bool]]:
        """Order by the time of creation unless told otherwise."""
        keys, ways = query.sort_keys or ["created"], query.sort_dirs or ["asc"]
        return sort_order(keys, ways, {"created": resource.row.created_at, **resource.sortable})

    def page(
        self, resource: Resource[Any], tx: Tx, query: ListQuery, statement: Select[Any], seen: Select[Any],
        order: list[tuple[Any, bool]],
    ) -> tuple[list[Any], str | None]:  # fmt: skip
        """Return the rows after the offset."""
        return page_by_offset(tx, query, statement, order), None

    def dress(self, resource: Resource[Any], ctx: Context, row: Any, view: Any) -> Any:
        """Add the reference to the thing."""
        reference = {f"{resource.name}_ref": url_of(ctx, resource.path.strip("/"), row.id)}
        return {**reference, **msgspec.to_builtins(view)}

    def shown(self, resource: Resource[Any], view: Any) -> Any:
        """Return the thing itself."""
        return view

    def created(self, resource: Resource[Any], views: Sequence[Any], many: bool) -> Response:
        """Return the reference to what was made."""
        name = f"{resource.name}_ref"
        return json_response({name: views[0][name]}, resource.statuses[CREATE], [("Location", views[0][name])])

    def listed(
        self, resource: Resource[Any], views: Sequence[Any], rows: Sequence[Any], following: str | None,
        query: ListQuery, request: Request, ctx: Context,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the page with the total and the links to its neighbours."""
        return paged(resource.plural, views, query, request, ctx)

    def visible(self, resource: Resource[Any], ctx: Context) -> ColumnElement[bool] | None:
        """Return no bound: rules judge who may see a thing, lists are those of a project."""
        return None

    def not_found(self, resource: Resource[Any], id: str) -> NotFound:
        """Return the refusal."""
        return NotFound(f"{resource.title} {id} could not be found: it was deleted, has expired or never was.")


BARBICAN = Barbican()


def parse(items: Iterable[tuple[str, str]]) -> ListQuery:
    """Read a list's query string; an empty filter is none."""
    query = ListQuery(limit=DEFAULT_LIMIT)
    for name, value in items:
        match name:
            case "limit":
                query.limit = max(1, min(_number(value, DEFAULT_LIMIT), MOST))
            case "offset":
                query.offset = max(0, _number(value, 0))
            case "sort":
                for one in value.split(","):
                    key, _, way = one.partition(":")
                    query.sort_keys.append(key)
                    query.sort_dirs.append(way or "asc")
            case _ if value:
                query.filters.setdefault(name, []).append(value)
    return query


def page_by_offset(tx: Tx, query: ListQuery, statement: Select[Any], order: list[tuple[Any, bool]]) -> list[Any]:
    """Return the rows after the offset, and write down how many there are in all."""
    query.total = tx.scalar(statement.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    ordered = statement.order_by(*clauses(tx, order)).offset(query.offset).limit(query.limit)
    return list(tx.scalars(ordered)) if query.offset < query.total else []


def paged(plural: str, views: Sequence[Any], query: ListQuery, request: Request, ctx: Context) -> dict[str, Any]:
    """Return ``{"secrets": [...], "total": 12, "previous": ..., "next": ...}``."""
    content: dict[str, Any] = {plural: views, "total": query.total}
    limit = query.limit or DEFAULT_LIMIT
    kept = [(name, value) for name, value in request.query_items() if name not in ("limit", "offset")]

    def link(offset: int) -> str:
        return f"{ctx.base_url}{request.path}?{urlencode([('limit', limit), ('offset', offset), *kept])}"

    if views and query.offset > 0:
        content["previous"] = link(max(0, query.offset - limit))
    if views and query.total > query.offset + limit:
        content["next"] = link(query.offset + limit)
    return content


def _number(value: str, default: int) -> int:
    digits = value.removeprefix("-")
    return int(value) if digits.isdecimal() and digits.isascii() and len(digits) <= LONGEST_NUMBER else default


def _filter(name: str, column: Any) -> Filter:
    if isinstance(column.type, Integer):
        return column_filter(name, column)
    if isinstance(column.type, UtcDateTime):
        return lambda ctx, values: and_(*(moment_condition(name, column, one) for one in values[-1].split(",", 3)))
    return lambda ctx, values: alike(name, column, values[-1])


def alike(name: str, column: Any, value: str) -> ColumnElement[bool]:
    """Return that a text is like another: case does not count, ``%`` stands for anything; raise Invalid for many."""
    if value.count("%") > WILDCARDS or len(value) > 255:
        raise Invalid(f"The filter {name} may have 255 characters, {WILDCARDS} of them '%': make it simpler.")
    return case_insensitive_like(column, value.replace("\\", "\\\\"))
