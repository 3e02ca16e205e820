"""A regular resource: declared once, it answers create (one or many), list, show, update and delete.

Rule: what is regular is derived from the annotated struct, how its API speaks of it is the ``dialect``'s; what is
particular to a resource is a plain function given to ``create``, ``update``, ``delete``, ``related`` or ``filter``.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy import inspect as inspect_row

from pileus.kernel import clock, events
from pileus.kernel.config import Settings
from pileus.kernel.context import Context
from pileus.kernel.db import Tx, rows_with
from pileus.kernel.policy import Rule
from pileus.kernel.quota import Limit
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.limits import LimitSettings, check_bulk
from pileus.kernel.rest.openapi import DOCUMENTED
from pileus.kernel.rest.references import load_references
from pileus.kernel.rest.regular.attributes import Encoder, Field, derive, fields_of
from pileus.kernel.rest.regular.dialect import CREATE, DELETE, LIST, SHOW, UPDATE, Dialect
from pileus.kernel.rest.regular.filters import Filter, ListQuery
from pileus.kernel.rest.regular.tag_routes import add_tag_routes
from pileus.kernel.rest.regular.tags import drop_tags, tags_of
from pileus.kernel.rest.routing import About, Api
from pileus.kernel.rest.schema import trim
from pileus.kernel.rest.versions import Version

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
PLAIN = Dialect()
READS = (LIST, SHOW)
ALL = (CREATE, LIST, SHOW, UPDATE, DELETE)
"""For ``verbs``: a resource whose attributes are its row's columns, and nothing else needs saying."""


class Extension(NamedTuple):
    """What an API's list of extensions says of a resource."""

    alias: str
    name: str
    description: str


class Resource(Generic[R]):
    """A kind of resource under ``/<plural>`` of an Api, spoken of in the Api's dialect.

    ``title`` begins the sentences and, each of its words with a capital, the types of errors: "Address scope",
    "AddressScopeNotFound"; ``kind`` where the type is not made so.
    ``verbs`` are offered as they are derived; a verb that needs a function of its own is declared by ``create``,
    ``update`` or ``delete``.  ``checks`` are policies of verbs that differ from the dialect's, ``rules`` whole rules
    where the name differs too; ``statuses`` differ likewise.
    ``visible(ctx)`` limits what a caller can see at all (None: everything); by default the dialect says.
    ``tagged`` things have tags and their routes, ``whole`` ones are told of updates that change nothing, too.
    ``expires`` is the row's moment after which it is as if it were gone.
    ``quota`` is how many a project may have by default.
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
        verbs: Sequence[str] = READS,
        checks: Mapping[str, str] | None = None,
        rules: Mapping[str, Rule] | None = None,
        statuses: Mapping[str, int] | None = None,
        visible: Callable[[Context], ColumnElement[bool] | None] | None = None,
        tagged: bool = False,
        whole: bool = False,
        expires: str = "",
        quota: int | None = None,
        extension: Extension | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> None:
        self.api, self.name, self.plural, self.row, self.title = api, name, plural, row, title
        self.dialect: Dialect = api.dialect or PLAIN
        self.path = path or f"/{plural.replace('_', '-')}"
        self._parameter = self.dialect.parameter or name
        self.one = f"{self.path}/{{{self._parameter}}}"
        """The path of one of them."""
        self.not_found = f"{kind or ''.join(word[:1].upper() + word[1:] for word in title.split())}NotFound"
        self.fields = fields_of(attributes)
        self._check_nulls()
        self.create_struct = derive(attributes, "c")
        self.update_struct = derive(attributes, "u")
        self._encoders = {use: Encoder(self.fields, derive(attributes, use), use) for use in "vb"}
        self.by_api = {field.api: field for field in self.fields}
        self._known: dict[Version, Mapping[str, Field]] = {}
        self.checks = {**self.dialect.checks, **(checks or {})}
        """The policy of each verb; that of update is who may change its tags, too."""
        self._rules = dict(rules or {})
        self.statuses = {**self.dialect.statuses, **(statuses or {})}
        self._range: dict[str, Any] = {"since": since, "until": until}
        self.guards = self._guards()
        self.tagged, self.whole, self.expires = tagged, whole, expires
        self._visible = visible
        self._prepare: Callable[[Tx, Context, ListQuery], object] | None = None
        self._related: Callable[..., dict[str, dict[str, Any]]] | None = None
        self._after: Callable[[Tx, Context, Any, str], object] | None = None
        self._make: Callable[..., R] = self._create_row
        self._target: Callable[[Tx, Context, Any], Any] = lambda tx, ctx, thing: thing
        self.sortable = self.columns("s")
        self.filters: dict[str, Filter] = self.dialect.filters(self)
        self._dresses = type(self.dialect).dress is not Dialect.dress
        self.about = About(self._load_named, lambda tx, ctx, row: self._target(tx, ctx, row))
        """The row that the id in a path names, for routes of one's own; rules are judged as ``target`` says."""
        self.about_seen = About(self._load_named)
        """The same for rules of those who may read."""
        self.limit = None if quota is None else Limit(api.service, name, quota, self._count)
        if self.limit is not None:
            api.quotas[name] = self.limit
        api.resources.append(self)
        api.reference(name)(self.seen)
        api.loaders.setdefault(row, self.load)
        if extension is not None:
            api.extensions.append(extension)
        self._offer(verbs)

    def _offer(self, verbs: Sequence[str]) -> None:
        if LIST in verbs:
            rule = self.rule(LIST)
            brief = "b" if self.dialect.detail else "v"
            self.api.get(self.path, rule, **self._range)(self._list_handler(brief))
            if self.dialect.detail:
                self.api.get(f"{self.path}{self.dialect.detail}", rule, **self._range)(self._list_handler("v"))
        if SHOW in verbs:
            about = self.about if self.dialect.judged_by_thing else self.about_seen
            self.api.get(self.one, self.rule(SHOW), about=about, **self._range)(self._show_handler())
        for verb, offer, plainly in (
            (CREATE, self.create, self._create_row),
            (UPDATE, self.update, self._update_row),
            (DELETE, self.delete, self._delete_row),
        ):
            if verb in verbs:
                offer(plainly)
        if self.tagged:
            add_tag_routes(self)

    def rule(self, verb: str) -> Rule:
        """Return the policy rule of a verb, declared when it is first asked for."""
        found = self._rules.get(verb)
        if found is None:
            found = self._rules[verb] = self.dialect.rule(self, verb, self.checks[verb])
        return found

    def known(self, wanted: Version) -> Mapping[str, Field]:
        """Return the attributes that exist in a version, by the API's names."""
        found = self._known.get(wanted)
        if found is None:
            found = {field.api: field for field in self.fields if wanted in field}
            self._known[wanted] = found
        return found

    def columns(self, use: str) -> dict[str, Any]:
        """Return the columns of the attributes that are found by, "f", or sorted by, "s"."""
        columns: dict[str, Any] = {}
        for field in self.fields:
            column = getattr(self.row, field.source, None) if field.source else None
            if use in field.attr.find and hasattr(column, "type"):
                columns[field.api] = column
        return columns

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
                    rules[field.api] = self.dialect.guard(self, use, field.api, check)
        return guards

    def _count(self, tx: Tx, project_id: str) -> int:
        owner: Any = self.row.project_id  # type: ignore[attr-defined]
        lasting = self.lasting()
        conditions = [owner == project_id] if lasting is None else [owner == project_id, lasting]
        return tx.scalar(select(func.count()).where(*conditions)) or 0

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

    def create(self, make: F) -> F:
        """Register ``make(tx, ctx, body[, settings]) -> row`` and offer POST."""
        settings = _settings_of(make)
        self._make = make

        def handler(tx: Tx, ctx: Context, body: Any, runtime: Any) -> Response:
            more = {name: runtime.config.get(kind) for name, kind in settings}
            bodies = self.dialect.bodies(self, body)
            check_bulk(len(bodies), runtime.config.get(LimitSettings))
            rows = [self.insert(tx, ctx, raw, **more) for raw in bodies]
            tx.flush()
            views = self.views(tx, ctx, rows)
            return self.dialect.created(self, views, self.dialect.many and self.name not in body)

        self.api.post(self.path, self.rule(CREATE), body="", by_handler=True, **self._range)(
            _named(handler, make, (self.name, self.create_struct))
        )
        return make

    def before_list(self, prepare: F) -> F:
        """Register ``prepare(tx, ctx, query)``, run before a list is read; it may raise ``NeedsWrite``."""
        self._prepare = prepare
        return prepare

    def visible_by(self, condition: F) -> F:
        """Register ``condition(ctx)``: what a caller can see at all (see the class)."""
        self._visible = condition
        return condition

    def update(self, change: F) -> F:
        """Register ``change(tx, ctx, row, changes[, settings])``, which applies the changes, and offer PUT or PATCH.

        Without changes there is nothing to do, unless what is left out means something (``whole``).
        """
        settings = _settings_of(change)

        def handler(tx: Tx, ctx: Context, row: Any, request: Request, body: Any, runtime: Any) -> Response:
            self.dialect.precondition(self, row, request)
            changes = self._changes(tx, ctx, row, self._update_body(body, ctx))
            if changes or self.whole:
                change(tx, ctx, row, changes, **{name: runtime.config.get(kind) for name, kind in settings})
                self.touch(tx, ctx, row)
            content = self.dialect.shown(self, self.views(tx, ctx, [row])[0])
            return json_response(content, self.statuses[UPDATE])

        documented = _named(handler, change, (self.name, self.update_struct))
        self.api.route(
            self.dialect.update_method, self.one, self.rule(UPDATE), body="", about=self.about, **self._range
        )(documented)
        return change

    def delete(self, remove: F) -> F:
        """Register ``remove(tx, ctx, row)``, which removes the row or refuses, and offer DELETE."""

        def handler(tx: Tx, ctx: Context, row: Any, request: Request) -> Response:
            self.dialect.precondition(self, row, request)
            remove(tx, ctx, row)
            if self.tagged:
                drop_tags(tx, row.id)
            self._tell(tx, ctx, row, "deleted")
            return Response(self.statuses[DELETE], media_type=None)

        self.api.delete(self.one, self.rule(DELETE), about=self.about, **self._range)(_named(handler, remove))
        return remove

    def _create_row(self, tx: Tx, ctx: Context, body: Any) -> R:
        """Add one."""
        row = self.row(**self.dialect.values(self, ctx, body))
        tx.add(row)
        return row

    def _update_row(self, tx: Tx, ctx: Context, row: R, changes: dict[str, Any]) -> None:
        """Change one."""
        self.dialect.apply(self, row, changes)

    def _delete_row(self, tx: Tx, ctx: Context, row: R) -> None:
        """Remove one."""
        tx.delete(row)

    def visible(self, ctx: Context) -> ColumnElement[bool] | None:
        """Return the condition of what the caller can see at all, None for everything."""
        return self.dialect.visible(self, ctx) if self._visible is None else self._visible(ctx)

    def lasting(self) -> ColumnElement[bool] | None:
        """Return the condition of what has not expired, None where nothing does."""
        if not self.expires:
            return None
        column: Any = getattr(self.row, self.expires)
        return or_(column.is_(None), column > clock.now())

    def seen(self, tx: Tx, ctx: Context, ids: Sequence[str]) -> dict[str, R]:
        """Return those of the rows that the caller can see, by id: so references to such things are loaded."""
        identity: Any = self.row.id  # type: ignore[attr-defined]
        if len(ids) == 1:  # most often known to the transaction already
            row = tx.get(self.row, ids[0])
            found = {ids[0]: row} if row is not None else {}
        else:
            found = {row.id: row for row in rows_with(tx, identity, ids)}
        if self.expires:
            now = clock.now()
            found = {id: row for id, row in found.items() if not (end := getattr(row, self.expires)) or end > now}
        own = ctx.project_id or None
        foreign = [id for id, row in found.items() if getattr(row, "project_id", None) != own]
        condition = self.visible(ctx) if foreign else None
        if condition is not None:
            shown = set(tx.scalars(select(identity).where(identity.in_(foreign), condition)))
            found = {id: row for id, row in found.items() if id in shown or id not in foreign}
        return found

    def load(self, tx: Tx, ctx: Context, id: str) -> R:
        """Return the row; raise NotFound when there is none or the caller cannot see it."""
        row = self.seen(tx, ctx, [id]).get(id)
        if row is None:
            raise self.dialect.not_found(self, id)
        return row

    def _load_named(self, tx: Tx, ctx: Context, params: Mapping[str, str]) -> R:
        return self.load(tx, ctx, params[self._parameter])

    def touch(self, tx: Tx, ctx: Context, row: R, what: str = "updated") -> None:
        """Record that the row has changed: its revision, its time and an event."""
        if hasattr(row, "revision_number"):
            row.revision_number += 1  # type: ignore[attr-defined]
            row.updated_at = clock.now()  # type: ignore[attr-defined]
        tx.flush()
        self._tell(tx, ctx, row, what)

    def changed(self, after: F) -> F:
        """Register ``after(tx, ctx, row, what)``, called when one was created, updated or deleted."""
        self._after = after
        return after

    def _tell(self, tx: Tx, ctx: Context, row: Any, what: str) -> None:
        if self._after is not None:
            self._after(tx, ctx, row, what)
        self.emit(tx, ctx, row, what)

    def emit(self, tx: Tx, ctx: Context, row: Any, what: str) -> None:
        """Write the event ``<service>.<resource>.<what>``."""
        project = getattr(row, "project_id", None)
        events.emit(tx, f"{self.api.service}.{self.name}.{what}", row.id, ctx=ctx, project_id=project)

    def views(self, tx: Tx, ctx: Context, rows: Sequence[R], fields: Sequence[str] = (), use: str = "v") -> list[Any]:
        """Return what the caller sees of the rows: structs, or dictionaries of the ``fields`` asked for.

        ``use`` is "v", all of it, or "b", what a brief list has.
        """
        encoder = self._encoders[use]
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
        view = encoder.struct
        views = [view(*value) for value in values]
        if self.api.microversions is not None:
            trim(views, ctx.version)
        if self._dresses:
            dress = self.dialect.dress
            return [dress(self, ctx, row, view) for row, view in zip(rows, views, strict=True)]
        return views

    def _load_related(
        self, tx: Tx, ctx: Context, rows: Sequence[R], wanted: frozenset[str]
    ) -> dict[str, dict[str, Any]]:
        if not rows or not wanted:
            return {}
        related = self._related(tx, ctx, rows, wanted) if self._related is not None else {}
        if self.tagged and "tags" in wanted and "tags" not in related:
            related["tags"] = tags_of(tx, [row.id for row in rows])  # type: ignore[attr-defined]
        return related

    def _list_handler(self, use: str) -> Callable[..., Any]:
        def handler(tx: Tx, ctx: Context, request: Request, runtime: Any) -> Response:
            query = self.dialect.parse(self, request.query_items(), ctx)
            if whole := runtime.config.get(LimitSettings).whole:
                query.limit = min(query.limit or whole, whole)
            if self._prepare is not None:
                self._prepare(tx, ctx, query)
            rows, following = self._page(tx, ctx, query)
            views = self.views(tx, ctx, rows, query.fields, use)
            return json_response(self.dialect.listed(self, views, rows, following, query, request, ctx))

        handler.__name__ = f"list_{self.plural}"
        return handler

    def _page(self, tx: Tx, ctx: Context, query: ListQuery) -> tuple[list[R], str | None]:
        bounds = [condition for condition in (self.visible(ctx), self.lasting()) if condition is not None]
        seen = select(self.row).where(*bounds) if bounds else select(self.row)
        order = self.dialect.order(self, query)
        if not any(column.key == "id" for column, _ in order):
            order.append((self.row.id, order[-1][1] if order else False))  # type: ignore[attr-defined]
        if query.page_reverse:
            order = [(column, not descending) for column, descending in order]
        found = self.dialect.conditions(self, ctx, query)
        rows, following = self.dialect.page(self, tx, query, seen.where(*found) if found else seen, seen, order)
        return rows[::-1] if query.page_reverse else rows, following

    def _show_handler(self) -> Callable[..., Any]:
        def handler(tx: Tx, ctx: Context, row: Any, request: Request) -> Response:
            fields = self.dialect.parse(self, request.query_items(), ctx).fields if request.query_string else ()
            return json_response(self.dialect.shown(self, self.views(tx, ctx, [row], fields)[0]))

        handler.__name__ = f"show_{self.name}"
        return handler

    def insert(self, tx: Tx, ctx: Context, raw: dict[str, Any], **more: Any) -> R:
        """Create one of a body without its envelope, as POST does; ``more`` are settings that ``create`` asks for."""
        raw = self.dialect.accept(self, raw, "c", ctx)
        self.dialect.own(self, raw, ctx)
        body = self.dialect.decode(self, raw, self.create_struct, ctx)
        load_references(tx, ctx, body, self.api.references, self.api.missing)
        target = self._target(tx, ctx, body)
        ctx.require(self.rule(CREATE), target)
        self._require_guards(ctx, "create", raw, target)
        if self.limit is not None:
            self.dialect.claim(tx, self.limit, getattr(body, "project_id", None) or ctx.project_id or "")
        row = self._make(tx, ctx, body, **more)
        tx.flush()
        self._tell(tx, ctx, row, "created")
        return row

    def _update_body(self, raw: Any, ctx: Context) -> Any:
        """Return the body as its struct; raise Invalid for what cannot be said."""
        given = self.dialect.accept(self, self.dialect.enveloped(self, raw), "u", ctx)
        return self.dialect.decode(self, given, self.update_struct, ctx)

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
    handler.__dict__[DOCUMENTED], handler.__dict__["serves"] = documented, after
    return handler
