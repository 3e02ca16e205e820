"""Routes, declared where the handler is written.

Rule: a route says everything about its handler that is not in the handler's signature: the path, the policy
rule, the microversions, the envelope and the status.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pileus.kernel.policy import Rule
from pileus.kernel.rest.formats import ErrorFormat, PageFormat, error_object, link_page
from pileus.kernel.rest.references import Refers, Resolve, not_found
from pileus.kernel.rest.versions import LAST, Between, Microversions, Version, version

if TYPE_CHECKING:
    from pileus.kernel.context import Context
    from pileus.kernel.db import Tx
    from pileus.kernel.errors import ApiError
    from pileus.kernel.quota import Limit
    from pileus.kernel.rest.http import Request
    from pileus.kernel.rest.regular.dialect import Dialect
    from pileus.kernel.rest.regular.resource import Extension, Resource
    from pileus.kernel.runtime import Runtime

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class About:
    """What a route is about, where no parameter of its handler has a type with a loader.

    ``load(tx, ctx, params)`` returns the row that the path names, as far as the caller sees it, or raises NotFound;
    the handler gets it as ``row``.  ``target(tx, ctx, row)`` returns what the route's rule is judged against; None:
    the rule is judged before the row is loaded, against the caller's own project.
    """

    load: "Callable[[Tx, Context, Mapping[str, str]], Any]"
    target: "Callable[[Tx, Context, Any], Any] | None" = None


@dataclass(frozen=True)
class Route:
    """One verb on one path in some microversions."""

    method: str
    path: str
    handler: Callable[..., Any]
    rule: Rule | None
    """None: open to everybody, token or not."""
    versions: Between
    wrap: str | None
    """The member of the answer that holds the view (``server``), or the list (``servers``)."""
    status: int | None
    action: str | None
    """The member of the body that names an action (``os-start``)."""
    body: str | None
    """The member of the request body that holds the struct; by default the action, else ``wrap``."""
    reads: bool
    """The handler only reads: it runs on a snapshot and is never queued behind writes."""
    websocket: bool = False
    by_handler: bool = False
    """The handler judges by ``rule``, since what it is judged against stands in the body or the query.

    The kernel sees to the token's scope; an answer for which no rule was asked is a defect and is not sent.
    """
    about: About | None = None


@dataclass
class Api:
    """The routes of one service under one prefix, and the manners they share.

    ``prefix`` is below the service's path (``/v2.1``).  With ``project_in_path`` every path may also be
    written with the project's id after the prefix, as Block Storage and old Compute clients do.
    ``loaders`` maps a row type to ``load(tx, ctx, id) -> row``: handler parameters of that type are loaded by
    the path parameter of the same name, and the route's rule is then judged against the row.
    """

    service: str
    prefix: str = ""
    microversions: Microversions | None = None
    error: ErrorFormat = error_object
    page: PageFormat = link_page
    request_id_header: str = "x-openstack-request-id"
    project_in_path: bool = False
    hide_foreign: bool = True
    """A resource of another project that the caller may not touch is 404, as if it were not there."""
    judge_missing: bool = False
    """Who could not act on a resource anyway is not told that it is missing: 403, not 404."""
    strict: bool = True
    """Numbers and booleans in bodies must have their JSON type; False accepts them as text too."""
    final_slash: bool = True
    """A path may end with a slash.  False: it is 404, so that who forgets an id is not given, or does not empty, the
    whole list."""
    json_limit: int = 1 << 20
    screen: "Callable[[Request, Route], None] | None" = None
    """Called with every request before anything else, to raise ApiError for what nobody may send."""
    is_default: bool = False
    """Refusals of paths below the service's that lead nowhere look like this API's."""
    written: "Callable[[Tx, Context, Request, Route, Any], None] | None" = None
    """Called with what a plain handler returned, in its transaction, when it may have changed something."""
    refused: "Callable[[Runtime, Context, Request, Route, ApiError], None] | None" = None
    """Called with the error of a request that was refused; its transaction is over."""
    loaders: dict[type, Callable[..., Any]] = field(default_factory=dict)
    references: dict[str, Resolve] = field(default_factory=dict)
    missing: "Callable[[Refers, str, str], ApiError]" = not_found
    """What a reference to a thing that the caller does not see is answered with: ``missing(mark, id, field)``."""
    routes: list[Route] = field(default_factory=list)
    dialect: "Dialect | None" = None
    """How regular resources are spoken of; None: plainly (see ``regular.dialect``)."""
    resources: "list[Resource[Any]]" = field(default_factory=list)
    """The regular ones, in the order of their declaration."""
    quotas: "dict[str, Limit]" = field(default_factory=dict)
    """The limits of resources with a ``quota``, by name."""
    extensions: "list[Extension]" = field(default_factory=list)
    """What the resources add to the API's list of extensions."""

    def loader(self, row: type) -> Callable[[Handler], Handler]:
        """Register the function that loads ``row`` for handlers, and raises NotFound when it is not visible."""

        def add(load: Handler) -> Handler:
            self.loaders[row] = load
            return load

        return add

    def reference(self, kind: str) -> Callable[[Resolve], Resolve]:
        """Register how references to a ``kind`` of thing are loaded: ``resolve(tx, ctx, ids)``."""

        def add(resolve: Resolve) -> Resolve:
            self.references[kind] = resolve
            return resolve

        return add

    def route(
        self,
        method: str,
        path: str,
        rule: Rule | None,
        *,
        wrap: str | None = None,
        status: int | None = None,
        since: str | None = None,
        until: str | None = None,
        action: str | None = None,
        body: str | None = None,
        reads: bool | None = None,
        websocket: bool = False,
        by_handler: bool = False,
        about: About | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a handler.  ``{name}`` in the path is one segment, a last ``{name:path}`` all that follow."""
        first: Version = version(since) if since else (0, 0)
        last: Version = version(until) if until else LAST
        only_reads = method in ("GET", "HEAD") if reads is None else reads

        def add(handler: Handler) -> Handler:
            route = Route(
                method=method,
                path=path,
                handler=handler,
                rule=rule,
                versions=Between(first, last),
                wrap=wrap,
                status=status,
                action=action,
                body=body,
                reads=only_reads,
                websocket=websocket,
                by_handler=by_handler,
                about=about,
            )
            self.routes.append(route)
            return handler

        return add

    def get(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of GET (and of HEAD, unless another is declared)."""
        return self.route("GET", path, rule, **more)

    def head(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of HEAD."""
        return self.route("HEAD", path, rule, **more)

    def post(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of POST."""
        return self.route("POST", path, rule, **more)

    def put(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of PUT."""
        return self.route("PUT", path, rule, **more)

    def patch(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of PATCH."""
        return self.route("PATCH", path, rule, **more)

    def delete(self, path: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of DELETE."""
        return self.route("DELETE", path, rule, **more)

    def action(self, path: str, action: str, rule: Rule | None, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a handler of ``POST path`` whose body has the one member ``action``."""
        return self.route("POST", path, rule, action=action, **more)

    def websocket(self, path: str, rule: Rule | None = None) -> Callable[[Handler], Handler]:
        """Declare ``async def handler(socket: Socket, ...)`` for websockets on ``path``."""
        return self.route("GET", path, rule, websocket=True)
