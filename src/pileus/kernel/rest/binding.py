"""From a handler's signature to the arguments of a call.  Rule: everything is worked out once, at start.

What a handler may ask for, by name or by type:
``tx`` (plain handlers), ``ctx``, ``request``, ``runtime`` and ``db`` (``async`` handlers), ``body`` and ``query``
(a struct), a ``Settings`` struct, a row with a loader, ``row`` (what the route is about), a path parameter as ``str``.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from pileus.kernel.config import Settings
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Invalid, NotFound
from pileus.kernel.policy import Rule, attribute
from pileus.kernel.rest.formats import Page
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.references import Refers, load_references, places
from pileus.kernel.rest.routing import About, Api, Route
from pileus.kernel.rest.schema import decode, structs_in, trim
from pileus.kernel.rest.versions import Version
from pileus.kernel.rest.versions import version as parse_version

T = TypeVar("T")
Work = Callable[[Tx], Response]
NOWHERE = "00000000-0000-4000-8000-000000000000"
"""The id of nothing."""
NAMED = ("tx", "ctx", "request", "runtime", "db", "socket", "row")


@dataclass(frozen=True, slots=True)
class InTransaction(Generic[T]):
    """What an ``async`` handler returns to have its decision made in the request's transaction: ``work(tx)``.

    What has to happen before it (a password hashed off the event loop) the handler does itself.  Of ``async``
    handlers only these know idempotency keys and dry runs.
    """

    work: Callable[[Tx], T]


@dataclass(frozen=True, slots=True)
class WhenEnded(Generic[T]):
    """What a plain handler returns to be answered when the operation that it began has ended.

    Then ``view(tx)`` is answered; an operation that failed is answered with its reason and status 500.  After
    ``timeout_s`` the answer is ``now``, and the operation goes on: a client's patience is not the operation's.
    """

    operation_id: str
    now: T
    view: Callable[[Tx], T]
    timeout_s: float = 50.0
    """Below the minute after which proxies and clients commonly hang up."""


@dataclass(slots=True)
class Endpoint:
    """A route made ready to be called."""

    api: Api
    route: Route
    is_async: bool
    named: tuple[str, ...]
    settings: tuple[tuple[str, type[Settings]], ...]
    texts: tuple[str, ...]
    loads: tuple[tuple[str, type, Callable[..., Any]], ...]
    body_kind: Any
    query: Callable[[Request, Version], Any] | None
    query_kind: type[msgspec.Struct] | None = None
    referring: tuple[str, ...] = ()
    """Which of ``body`` and ``query`` hold references."""
    defers: bool = False
    """An ``async`` handler that returns ``InTransaction``: its decision is made in the request's transaction."""

    @property
    def name(self) -> str:
        """Return the route as metrics and logs name it: ``compute POST /v2.1/servers/{server}/action (reboot)``."""
        action = f" ({self.route.action})" if self.route.action else ""
        return f"{self.api.service} {self.route.method} {self.api.prefix}{self.route.path}{action}"

    @property
    def wants_json(self) -> bool:
        """Whether the kernel reads and decodes the body before the call."""
        return self.body_kind is not None or self.route.action is not None

    def arguments(self, tx: Tx, ctx: Context, request: Request, raw: Any, runtime: Any) -> dict[str, Any]:
        """Load, authorise, decode; raise ApiError at the first that fails."""
        arguments: dict[str, Any] = {}
        target: Any = None
        judged = None if self.route.by_handler else self.route.rule
        if self.route.rule is not None:
            ctx.require_scope(self.route.rule)
        for name, row, load in self.loads:
            try:
                found = arguments[name] = load(tx, ctx, request.params[name])
            except NotFound:
                if self.api.judge_missing and judged is not None:
                    ctx.require(judged, {} if target is None else target)
                raise
            target = found if target is None else target
            if found is None:
                raise TypeError(f"the loader of {row.__name__} must raise NotFound, not return None")
        if self.route.about is not None:
            arguments["row"] = self._found(tx, ctx, self.route.about, judged, request)
        elif judged is not None:
            self._authorise(tx, ctx, judged, target, request)
        for name in self.texts:
            arguments[name] = request.params[name]
        for name, kind in self.settings:
            arguments[name] = runtime.config.get(kind)
        if self.body_kind is not None:
            arguments["body"] = self._decode_body(raw, ctx)
        if self.query is not None:
            arguments["query"] = self.query(request, ctx.version)
        for name in self.referring:
            load_references(tx, ctx, arguments[name], self.api.references, self.api.missing)
        for name in self.named:
            if name == "ctx":
                arguments[name] = ctx
            elif name == "request":
                arguments[name] = request
            elif name == "tx":
                arguments[name] = tx
            elif name == "runtime":
                arguments[name] = runtime
            elif name == "db":
                arguments[name] = runtime.db
        return arguments

    def _found(self, tx: Tx, ctx: Context, about: About, rule: Rule | None, request: Request) -> Any:
        """Return the row that the path names, when the rule allows what is asked of it."""
        if rule is not None and about.target is None:
            ctx.require(rule)
        try:
            row = about.load(tx, ctx, request.params)
        except NotFound:
            if self.api.judge_missing and rule is not None:
                ctx.require(rule, {})
            raise
        if rule is not None and about.target is not None:
            ctx.require(rule, about.target(tx, ctx, row))
        return row

    def _authorise(self, tx: Tx, ctx: Context, rule: Rule, target: Any, request: Request) -> None:
        try:
            ctx.require(rule, target)
        except Forbidden:
            owner = attribute(target, "project_id") if target is not None else None
            if self.api.hide_foreign and owner is not None and owner != ctx.project_id and not ctx.is_admin:
                name, _, load = self.loads[0]
                raise _absent(load, tx, ctx, name, request.params[name]) from None
            raise

    def _decode_body(self, raw: Any, ctx: Context) -> Any:
        member = self.route.action or self.route.body
        if member is None:
            member = self.route.wrap
        if not member:
            where, content = "body", raw
        else:
            if not isinstance(raw, dict) or member not in raw:
                raise Invalid(f"The request body must be a JSON object with the member '{member}'.")
            where, content = member, raw[member]
            extra = raw.keys() - {member}
            if extra and self.route.body is None and self.api.strict and not self.route.action:
                raise Invalid(f"The request body has unknown members beside '{member}': {', '.join(sorted(extra))}.")
        if content is None and isinstance(self.body_kind, type) and issubclass(self.body_kind, msgspec.Struct):
            if member is not None and not self.route.action:
                raise Invalid(f"The member '{member}' of the request body must be an object, not null.")
            content = {}
        return decode(content, self.body_kind, where, ctx.version, strict=self.api.strict)

    def respond(self, result: Any, ctx: Context, request: Request) -> Response:
        """Dress what the handler returned."""
        route = self.route
        if route.by_handler and not ctx.asked:
            raise RuntimeError(f"{route.handler.__qualname__} answers without having asked {route.rule}")
        if isinstance(result, Response):
            return result
        if isinstance(result, WhenEnded):
            response = self.respond(result.now, ctx, request)
            response.when_ended = result
            return response
        if result is None:
            return Response(route.status or 204, media_type=None)
        if self.api.microversions is not None:
            trim(result.items if isinstance(result, Page) else result, ctx.version)
        if isinstance(result, Page):
            assert route.wrap is not None
            content: Any = self.api.page(route.wrap, result.items, result.marker, request, ctx)
        else:
            content = {route.wrap: result} if route.wrap else result
        return json_response(content, route.status or 200)


def _absent(load: Callable[..., Any], tx: Tx, ctx: Context, name: str, id: str) -> NotFound:
    """Return the very refusal of a thing that does not exist, so that nobody learns that this one does."""
    try:
        load(tx, ctx, NOWHERE)
    except NotFound as error:
        error.message = error.message.replace(NOWHERE, id)
        return error
    return NotFound(f"{name.replace('_', ' ').capitalize()} {id} could not be found.")


def bind(api: Api, route: Route) -> Endpoint:
    """Read the handler's signature; raise TypeError, naming the handler, when a parameter means nothing."""
    handler = route.handler
    hints = typing.get_type_hints(handler, include_extras=True)
    named, settings, texts, loads = [], [], [], []
    body_kind, query, query_kind = None, None, None
    for name in inspect.signature(handler).parameters:
        kind = hints.get(name, Any)
        plain = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
        if name in NAMED:
            named.append(name)
        elif name == "body":
            body_kind = kind
        elif name == "query":
            query_kind = kind
            query = functools.partial(_parse_query, kind, _list_fields(kind))
        elif isinstance(plain, type) and issubclass(plain, Settings):
            settings.append((name, plain))
        elif plain in api.loaders:
            loads.append((name, plain, api.loaders[plain]))
        elif plain is str and f"{{{name}" in route.path:
            texts.append(name)
        else:
            where = f"{handler.__module__}.{handler.__qualname__}"
            raise TypeError(f"{where}: parameter {name!r}: {kind!r} means nothing here")
    is_async = inspect.iscoroutinefunction(handler)
    if is_async and "tx" in named:
        raise TypeError(f"{handler.__qualname__} is async: it opens transactions through db, it is not given one")
    defers = typing.get_origin(hints.get("return")) is InTransaction
    return Endpoint(
        api=api,
        route=route,
        is_async=is_async,
        named=tuple(named),
        settings=tuple(settings),
        texts=tuple(texts),
        loads=tuple(loads),
        body_kind=body_kind,
        query=query,
        query_kind=query_kind,
        referring=_referring(api, route, body_kind, query_kind),
        defers=defers,
    )


def _referring(api: Api, route: Route, body: Any, query: Any) -> tuple[str, ...]:
    """Return which arguments hold references that the kernel loads; raise TypeError for a kind nobody loads."""
    found = []
    for name, kind in (("body", body), ("query", query)):
        kinds = {refers.kind for struct in structs_in(kind) for refers in _loaded(struct)}
        if unknown := kinds - api.references.keys():
            raise TypeError(f"{route.handler.__qualname__}: the API does not say how {sorted(unknown)} are loaded")
        if kinds:
            found.append(name)
    return tuple(found)


def _loaded(struct: type[msgspec.Struct]) -> Iterator[Refers]:
    for place in places(struct):
        yield from (refers for refers in place.refers if refers.loaded)
        for below in place.below:
            yield from _loaded(below)


def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    hints = typing.get_type_hints(kind)
    return frozenset(info.encode_name for info in msgspec.structs.fields(kind) if _is_list(hints[info.name]))


def _is_list(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is list:
        return True
    return origin in (typing.Union, types.UnionType) and any(_is_list(part) for part in typing.get_args(hint))


def _parse_query(kind: type[msgspec.Struct], lists: frozenset[str], request: Request, version: Version) -> Any:
    found: dict[str, Any] = {}
    if request.query_string:
        for name, value in request.query_items():
            if name in lists:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
    since = getattr(kind, "strict_since", None)
    if since is not None and version >= parse_version(since):
        unknown = sorted(found.keys() - {info.encode_name for info in msgspec.structs.fields(kind)})
        if unknown:
            raise Invalid(f"Additional properties are not allowed in the query string: {', '.join(unknown)}.")
    return decode(found, kind, "the query string", strict=False)
