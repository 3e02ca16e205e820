"""A regular resource: declared once, it answers create (one or many), list, show, update and delete.

Rule: what is regular is derived from the annotated struct; what is particular to a resource is a plain function
given to ``create``, ``update``, ``delete``, ``related`` or ``filter``.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET
from sqlalchemy import ColumnElement, select
from sqlalchemy import inspect as inspect_row

from pileus.kernel import clock, events
from pileus.kernel.config import Settings
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import ADMIN_OR_MEMBER, ADMIN_OR_SERVICE, Rule
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.limits import LimitSettings, check_bulk
from pileus.kernel.rest.openapi import DOCUMENTED
from pileus.kernel.rest.paging import page, sort_order
from pileus.kernel.rest.references import load_references
from pileus.kernel.rest.regular.attributes import Encoder, decode, derive, fields_of
from pileus.kernel.rest.regular.bodies import bodies_in, match_revision, normalised
from pileus.kernel.rest.regular.filters import (
    Filter,
    ListQuery,
    changed_since,
    column_filter,
    conditions,
    parse,
)
from pileus.kernel.rest.regular.links import page_links
from pileus.kernel.rest.regular.tags import drop_tags, tag_filters, tags_of
from pileus.kernel.rest.routing import About, Api

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
READ = f"{ADMIN_OR_SERVICE} or role:reader"
"""Who may read: anybody's reader; which rows those are is what ``visible`` says."""
NO_LIMIT = 1 << 31


class Resource(Generic[R]):
    """A kind of resource under ``/<plural>`` of an Api.

    ``visible(ctx)`` limits what a caller can see (None: all); by default its own project's, for admins all.
    ``title`` begins the sentences and, each of its words with a capital, the types of errors: "Address scope",
    "AddressScopeNotFound"; ``kind`` where the type is not made so.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        plural: str,
        attributes: type[msgspec.Struct],
        row: type[R],
        *,
        title: str,
        kind: str | None = None,
        path: str | None = None,
        read: str = READ,
        visible: Callable[[Context], ColumnElement[bool] | None] | None = None,
        tagged: bool = True,
    ) -> None:
        self.api, self.name, self.plural, self.row, self.title = api, name, plural, row, title
        self.path = path or f"/{plural.replace('_', '-')}"
        self.not_found = f"{kind or ''.join(word[:1].upper() + word[1:] for word in title.split())}NotFound"
        self.fields = fields_of(attributes)
        self._check_nulls()
        self.create_struct = derive(attributes, "c")
        self.update_struct = derive(attributes, "u")
        self.view_struct = derive(attributes, "v")
        self.encoder = Encoder(self.fields)
        self.by_api = {field.api: field for field in self.fields}
        self.read_rule = Rule(f"get_{name}", read)
        self.checks = {"update": ADMIN_OR_MEMBER, "delete": ADMIN_OR_MEMBER}
        """Who may change and remove the thing, and so its tags."""
        self.guards = self._guards()
        self.tagged = tagged
        self._visible = visible
        self._prepare: Callable[[Tx, Context, ListQuery], object] | None = None
        self._related: Callable[..., dict[str, dict[str, Any]]] | None = None
        self._target: Callable[[Tx, Context, Any], Any] = lambda tx, ctx, thing: thing
        self._columns = self._find("f")
        self.sortable = self._find("s")
        self.filters: dict[str, Filter] = {api: column_filter(api, column) for api, column in self._columns.items()}
        self._add_standard_filters()
        self.about = About(self._load_named, lambda tx, ctx, row: self._target(tx, ctx, row))
        """The row that ``{id}`` in a path names, for routes of one's own; rules are judged as ``target`` says."""
        self.about_seen = About(self._load_named)
        """The same for rules of those who may read."""
        api.get(self.path, self.read_rule)(self._list_handler())
        api.get(f"{self.path}/{{id}}", self.read_rule, about=self.about_seen)(self._show_handler())

    def _check_nulls(self) -> None:
        """Raise TypeError for an attribute that an update may make None though its column cannot be."""
        for field in self.fields:
            column: Any = getattr(self.row, field.source, None) if field.source else None
            if "u" in field.attr.on and field.may_be_null and hasattr(column, "type") and not column.nullable:
                raise TypeError(f"{self.name}.{field.api}: its column cannot be null, so say what null is: Attr(null=)")

    def _guards(self) -> dict[str, dict[str, Rule]]:
        guards: dict[str, dict[str, Rule]] = {"create": {}, "update": {}, "get": {}}
        for field in self.fields:
            for use, rules in guards.items():
                check = getattr(field.attr, use)
                if check is not None:
                    rules[field.api] = Rule(f"{use}_{self.name}:{field.api}", check)
        return guards

    def _find(self, use: str) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for field in self.fields:
            column = getattr(self.row, field.source, None) if field.source else None
            if use in field.attr.find and hasattr(column, "type"):
                columns[field.api] = column
        return columns

    def _add_standard_filters(self) -> None:
        if "tenant_id" not in self.filters and "project_id" in self.filters:
            self.filters["tenant_id"] = self.filters["project_id"]
            self.sortable["tenant_id"] = self.sortable["project_id"]
        if "updated_at" in self.by_api:
            self.filters["changed_since"] = changed_since(self.row.updated_at)  # type: ignore[attr-defined]
        if self.tagged:
            self.filters.update(tag_filters(self.row.id))  # type: ignore[attr-defined]

    def filter(self, name: str) -> Callable[[Filter], Filter]:
        """Register a filter that is not simply an equal column."""

        def add(filter: Filter) -> Filter:
            self.filters[name] = filter
            return filter

        return add

    def related(self, load: F) -> F:
        """Register ``load(tx, ctx, rows, wanted)``: values that are not columns, by attribute and row id.

        ``wanted`` holds the attributes asked for, so that no query is made in vain.
        """
        self._related = load
        return load

    def target(self, find: F) -> F:
        """Register ``find(tx, ctx, row or body)``: what policy rules are judged against, when not the thing itself."""
        self._target = find
        return find

    def create(self, check: str = ADMIN_OR_MEMBER) -> Callable[[F], F]:
        """Register ``create(tx, ctx, body[, settings]) -> row`` and offer POST, for one or for many."""
        rule = Rule(f"create_{self.name}", check)

        def add(make: F) -> F:
            settings = _settings_of(make)

            def handler(tx: Tx, ctx: Context, body: Any, runtime: Any) -> Response:
                more = {name: runtime.config.get(kind) for name, kind in settings}
                bodies, many = bodies_in(body, self.name, self.plural)
                check_bulk(len(bodies), runtime.config.get(LimitSettings))
                rows = [self._create(tx, ctx, rule, raw, make, more) for raw in bodies]
                tx.flush()
                views = self.views(tx, ctx, rows)
                return json_response({self.plural: views} if many else {self.name: views[0]}, 201)

            self.api.post(self.path, rule, body="", by_handler=True)(
                _named(handler, make, (self.name, self.create_struct))
            )
            return make

        return add

    def before_list(self, prepare: F) -> F:
        """Register ``prepare(tx, ctx, query)``, run before a list is read; it may raise ``NeedsWrite``."""
        self._prepare = prepare
        return prepare

    def visible_by(self, condition: F) -> F:
        """Register ``condition(ctx)``: what a caller can see at all (see the class)."""
        self._visible = condition
        return condition

    def update(self, check: str = ADMIN_OR_MEMBER, *, whole: bool = False) -> Callable[[F], F]:
        """Register ``update(tx, ctx, row, changes[, settings])``; it applies the changes and offers PUT.

        Without changes there is nothing to do, unless what is left out means something (``whole``).
        """
        rule = Rule(f"update_{self.name}", check)
        self.checks["update"] = check

        def add(change: F) -> F:
            settings = _settings_of(change)

            def handler(tx: Tx, ctx: Context, row: Any, request: Request, body: Any, runtime: Any) -> Response:
                match_revision(row, request, self.title)
                changes = self._changes(tx, ctx, row, self._update_body(body))
                if changes or whole:
                    change(tx, ctx, row, changes, **{name: runtime.config.get(kind) for name, kind in settings})
                    self.touch(tx, ctx, row)
                return json_response({self.name: self.views(tx, ctx, [row])[0]})

            self.api.put(f"{self.path}/{{id}}", rule, body="", about=self.about)(
                _named(handler, change, (self.name, self.update_struct))
            )
            return change

        return add

    def delete(self, check: str = ADMIN_OR_MEMBER) -> Callable[[F], F]:
        """Register ``delete(tx, ctx, row)``; it removes the row (or refuses) and offers DELETE."""
        rule = Rule(f"delete_{self.name}", check)
        self.checks["delete"] = check

        def add(remove: F) -> F:
            def handler(tx: Tx, ctx: Context, row: Any, request: Request) -> None:
                match_revision(row, request, self.title)
                remove(tx, ctx, row)
                drop_tags(tx, row.id)
                self.emit(tx, ctx, row, "deleted")

            self.api.delete(f"{self.path}/{{id}}", rule, about=self.about)(_named(handler, remove))
            return remove

        return add

    def visible(self, ctx: Context) -> ColumnElement[bool] | None:
        """Return the condition of what the caller can see at all, None for everything."""
        if self._visible is not None:
            return self._visible(ctx)
        if ctx.is_admin:
            return None
        return self.row.project_id == ctx.project_id  # type: ignore[attr-defined]

    def load(self, tx: Tx, ctx: Context, id: str) -> R:
        """Return the row; raise NotFound when there is none or the caller cannot see it."""
        row = tx.get(self.row, id)
        if row is not None and getattr(row, "project_id", None) != (ctx.project_id or None):
            condition = self.visible(ctx)
            if condition is not None:
                identity: Any = self.row.id  # type: ignore[attr-defined]
                if tx.scalar(select(identity).where(identity == id, condition)) is None:
                    row = None
        if row is None:
            raise NotFound(f"{self.title} {id} could not be found.", kind=self.not_found)
        return row

    def _load_named(self, tx: Tx, ctx: Context, params: Mapping[str, str]) -> R:
        return self.load(tx, ctx, params["id"])

    def touch(self, tx: Tx, ctx: Context, row: R, what: str = "updated") -> None:
        """Record that the row has changed: its revision, its time and an event."""
        if hasattr(row, "revision_number"):
            row.revision_number += 1  # type: ignore[attr-defined]
            row.updated_at = clock.now()  # type: ignore[attr-defined]
        tx.flush()
        self.emit(tx, ctx, row, what)

    def emit(self, tx: Tx, ctx: Context, row: Any, what: str) -> None:
        """Write the event ``<service>.<resource>.<what>``."""
        project = getattr(row, "project_id", None)
        events.emit(tx, f"{self.api.service}.{self.name}.{what}", row.id, ctx=ctx, project_id=project)

    def views(self, tx: Tx, ctx: Context, rows: Sequence[R], fields: Sequence[str] = ()) -> list[Any]:
        """Return what the caller sees of the rows: structs, or dictionaries of the ``fields`` asked for."""
        encoder = self.encoder
        keep = [(at, field.api) for at, field in enumerate(encoder.fields) if not fields or field.api in fields]
        hidden = {api for api, rule in self.guards["get"].items() if not ctx.allows(rule)}
        wanted = frozenset(encoder.names[at] for at, api in keep if api not in hidden)
        related = self._load_related(tx, ctx, rows, wanted)
        values = encoder.all_values(rows, related)
        if fields:
            keep = [(at, api) for at, api in keep if api not in hidden]
            return [{api: value[at] for at, api in keep} for value in values]
        blank = [at for at, api in keep if api in hidden]
        for value in values:
            for at in blank:
                value[at] = msgspec.UNSET
        view = self.view_struct
        return [view(*value) for value in values]

    def _load_related(
        self, tx: Tx, ctx: Context, rows: Sequence[R], wanted: frozenset[str]
    ) -> dict[str, dict[str, Any]]:
        if not rows or not wanted:
            return {}
        related = self._related(tx, ctx, rows, wanted) if self._related is not None else {}
        if self.tagged and "tags" in wanted and "tags" not in related:
            related["tags"] = tags_of(tx, [row.id for row in rows])  # type: ignore[attr-defined]
        return related

    def _list_handler(self) -> Callable[..., Any]:
        def handler(tx: Tx, ctx: Context, request: Request, runtime: Any) -> Response:
            query = parse(request.query_items())
            if whole := runtime.config.get(LimitSettings).whole:
                query.limit = min(query.limit or whole, whole)
            if self._prepare is not None:
                self._prepare(tx, ctx, query)
            rows = self._page(tx, ctx, query)
            content: dict[str, Any] = {self.plural: self.views(tx, ctx, rows, query.fields)}
            if links := page_links(request, ctx, query, [row.id for row in rows]):  # type: ignore[attr-defined]
                content[f"{self.plural}_links"] = links
            return json_response(content)

        return handler

    def _page(self, tx: Tx, ctx: Context, query: ListQuery) -> list[R]:
        found = conditions(ctx, query.filters, self.filters)
        visible = self.visible(ctx)
        if visible is not None:
            found.append(visible)
        order = sort_order(query.sort_keys, query.sort_dirs, self.sortable)
        if not any(column.key == "id" for column, _ in order):
            order.append((self.row.id, order[-1][1] if order else False))  # type: ignore[attr-defined]
        if query.page_reverse:
            order = [(column, not descending) for column, descending in order]
        statement = select(self.row).where(*found)
        rows, _ = page(tx, statement, self.row, order=order, limit=query.limit, marker=query.marker, max_limit=NO_LIMIT)
        return rows[::-1] if query.page_reverse else rows

    def _show_handler(self) -> Callable[..., Any]:
        def handler(tx: Tx, ctx: Context, row: Any, request: Request) -> Response:
            query = parse(request.query_items()) if request.query_string else ListQuery()
            return json_response({self.name: self.views(tx, ctx, [row], query.fields)[0]})

        return handler

    def _create(
        self, tx: Tx, ctx: Context, rule: Rule, raw: dict[str, Any], make: Callable[..., R], more: Mapping[str, Any]
    ) -> R:
        raw = normalised(raw, "c", self.by_api)
        if "project_id" in self.by_api:
            owner = raw.setdefault("project_id", ctx.project_id)
            if owner != ctx.project_id and not ctx.is_admin:
                raise Invalid(
                    "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires"
                    " admin privileges."
                )
            if not owner:
                raise Invalid(f"{self.title}: an owner is needed: name a project in 'project_id'.")
        body = decode(raw, self.create_struct)
        load_references(tx, ctx, body, self.api.references, self.api.missing)
        target = self._target(tx, ctx, body)
        ctx.require(rule, target)
        self._require_guards(ctx, "create", raw, target)
        row = make(tx, ctx, body, **more)
        tx.flush()
        self.emit(tx, ctx, row, "created")
        return row

    def _update_body(self, raw: Any) -> Any:
        """Return the body as its struct; raise Invalid for what cannot be said."""
        if not isinstance(raw, dict) or not isinstance(raw.get(self.name), dict):
            raise Invalid(f"The request body must be a JSON object with the member '{self.name}', an object.")
        return decode(normalised(raw[self.name], "u", self.by_api), self.update_struct)

    def _changes(self, tx: Tx, ctx: Context, row: R, body: Any) -> dict[str, Any]:
        """Return what a body changes, by the names of the fields; raise Forbidden for what this caller may not."""
        load_references(tx, ctx, body, self.api.references, self.api.missing)
        given = {field.api: field.name for field in self.fields if getattr(body, field.name, UNSET) is not UNSET}
        changes = {name: getattr(body, name) for name in given.values()}
        if self.guards["update"].keys() & given.keys():
            self._require_guards(ctx, "update", given, self._target(tx, ctx, self._changed(row, changes)))
        return changes

    def _changed(self, row: R, changes: Mapping[str, Any]) -> Any:
        """Return what the row would be with these changes: what the rules of single attributes are judged against."""
        columns = {attribute.key: getattr(row, attribute.key) for attribute in inspect_row(self.row).column_attrs}
        named = {field.source or field.name: changes[field.name] for field in self.fields if field.name in changes}
        return self.row(**{**columns, **{name: value for name, value in named.items() if name in columns}})

    def _require_guards(self, ctx: Context, use: str, given: Mapping[str, Any], target: Any) -> None:
        for api, rule in self.guards[use].items():
            default = self.by_api[api].info.default
            # To ask at creation for what one gets anyway uses no privilege.
            if api in given and not (use == "create" and given[api] == default):
                ctx.require(rule, target)


def _settings_of(make: Callable[..., Any]) -> list[tuple[str, type[Settings]]]:
    hints = typing.get_type_hints(make)
    return [
        (name, hints[name])
        for name in inspect.signature(make).parameters
        if isinstance(hints.get(name), type) and issubclass(hints[name], Settings)
    ]


def _named(
    handler: Callable[..., Any], after: Callable[..., Any], documented: tuple[str, type[msgspec.Struct]] | None = None
) -> Callable[..., Any]:
    """Give a derived handler the name and the sentence of the function it serves, and its body for the document."""
    handler.__doc__, handler.__name__ = after.__doc__, after.__name__
    handler.__dict__[DOCUMENTED] = documented
    return handler
