"""From an ASGI message to an answer: route, authenticate, version, load, authorise, decode, call, encode.

Rule: a plain handler and everything before it run in one transaction; nobody is answered before its commit.
"""

import dataclasses
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.exc import DataError, IntegrityError

from pileus.kernel import ids, telemetry
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.db import NeedsWrite, Tx
from pileus.kernel.db.violations import violation_of
from pileus.kernel.errors import ApiError, Conflict, Invalid, MethodNotAllowed, NotFound, Unauthenticated, Unavailable
from pileus.kernel.requests import Recent, remember
from pileus.kernel.rest import explain
from pileus.kernel.rest.binding import Endpoint, InTransaction
from pileus.kernel.rest.formats import error_object
from pileus.kernel.rest.http import Disconnected, Receive, Request, Response, Send, json_response, path_segments
from pileus.kernel.rest.limits import LimitSettings, Rates, Room
from pileus.kernel.rest.mounts import Mounted
from pileus.kernel.rest.proxies import Proxies
from pileus.kernel.rest.routing import Api
from pileus.kernel.rest.synchronous import when_ended
from pileus.kernel.rest.tree import Node, Tree, tree_of
from pileus.kernel.rest.versions import LAST, Version
from pileus.kernel.rest.writes import as_asked, asked

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

log = logging.getLogger("pileus.api")


class App:
    """The ASGI application that serves every service on one port."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.trees: dict[str, Tree] = {}
        self.names: dict[str, str] = {}
        self.at_root: dict[str, Tree] = {}
        """By the first segment of a path: services that a setting makes answer without their own path before it."""
        self.mounts: dict[str, Mounted] = {}
        self.raw: set[str] = set()
        self.proxies = Proxies(runtime.config.cloud.trusted_proxies)
        self.recent = Recent()
        limits = self.limits = runtime.config.get(LimitSettings)
        self.serving = Room(limits.requests, "requests")
        self.websockets = Room(limits.websockets, "websockets")
        self.watchers = Room(limits.watchers, "streams of events")
        self.rates = Rates(limits) if limits.project_rate > 0 else None
        self.trees[explain.MOUNT], self.names[explain.MOUNT] = Tree([explain.api]), "pileus"
        for service in runtime.services:
            if service.apis:
                self.trees[service.path.strip("/")] = tree_of(service.apis)
                self.names[service.path.strip("/")] = service.type
            for first in service.at_root(runtime.config) if service.at_root is not None else ():
                self.at_root[first], self.names[first] = tree_of(service.apis), service.type
            for path, name in service.mounts.items():
                self.mounts[path.strip("/")] = Mounted(runtime, name)
            self.raw |= {path.strip("/") for path in service.raw_mounts}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            return await _lifespan(receive, send)
        first = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        if first in self.mounts:
            return await self.mounts[first](scope if first in self.raw else self.proxies.seen(scope), receive, send)
        request = Request.from_scope(scope, receive)
        self.proxies.look_behind(request)
        if kind == "websocket":
            from pileus.kernel.rest.sockets import serve_socket

            return await serve_socket(self, request, scope, receive, send)
        try:
            self.serving.enter()
        except Unavailable as error:
            return await self._refusal(error, request, self.context(request), None).send(send)
        try:
            await self._serve(request, self.names.get(first, "pileus"), receive, send)
        finally:
            self.serving.leave()
        return None

    async def _serve(self, request: Request, service: str, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        ctx = self.context(request)
        try:
            response = await self.handle(request, ctx)
        except Disconnected:
            log.info("client left", extra={"request_id": ctx.request_id, "path": request.path})
            return
        try:
            await response.send(send, head=request.method == "HEAD", receive=receive)
        finally:
            seconds = time.perf_counter() - started
            self.recent.add(ctx, request.method, request.path, response.status, seconds)
            telemetry.request_done(service, request, ctx, response, seconds)

    def source_ip(self, scope: MutableMapping[str, Any]) -> str | None:
        """Return who sent what a mounted application serves, trusted proxies looked behind."""
        request = Request.from_scope(scope, _nothing)
        self.proxies.look_behind(request)
        return request.source_ip

    def context(self, request: Request) -> Context:
        """Return the context of a request whose caller is not known yet."""
        given = request.headers.get("x-openstack-request-id", "")
        return Context(
            ANONYMOUS,
            self.runtime.policy,
            base_url=self.runtime.config.cloud.public_url or request.base_url,
            global_request_id=given if given.startswith("req-") and ids.is_uuid(given[4:]) else None,
            source_ip=request.source_ip,
        )

    async def handle(self, request: Request, ctx: Context) -> Response:
        """Return the answer to a request; refusals are answers too."""
        api: Api | None = None
        endpoint: Endpoint | None = None
        try:
            segments = path_segments(request.path)
            tree = self.trees.get(segments[0])
            rooted = self.at_root.get(segments[0])
            if rooted is not None and (tree is None or tree.find(segments[1:]) is None):
                tree, segments = rooted, ["", *segments]
            if tree is None:
                return await self.runtime.root_response(request, ctx)
            api = tree.default
            node, request.params = self._find(tree, segments[1:], request)
            endpoints = _by_method(node, request)
            api = endpoints[0].api
            if api.screen is not None:
                api.screen(request, endpoints[0].route)
            if api.microversions is not None:
                ctx.version = api.microversions.choose(request.headers)
            raw = None
            if any(endpoint.wants_json for endpoint in endpoints):
                await request.read(api.json_limit)
                raw = request.json()
            endpoint = _select(endpoints, ctx.version if api.microversions else LAST, raw)
            response = await self._call(endpoint, request, ctx, raw)
            if response.when_ended is not None:
                response = await when_ended(self.runtime.db, endpoint, request, ctx, response)
        except Disconnected:
            raise
        except Exception as error:
            response = self._refusal(error, request, ctx, api)
            if endpoint is not None and endpoint.api.refused is not None and isinstance(error, ApiError):
                endpoint.api.refused(self.runtime, ctx, request, endpoint.route, error)
        return self._finish(response, ctx, api)

    def _find(self, tree: Tree, segments: list[str], request: Request) -> tuple[Node, dict[str, str]]:
        found = tree.find(segments)
        if found is None and segments and not segments[-1]:
            found = tree.find(segments[:-1])
            if found is not None and not found[0].ends_with_slash:
                raise NotFound(f"There is nothing at {request.path}: an id is missing, or the slash is too much.")
        if found is None:
            raise NotFound(f"There is nothing at {request.path}.")
        return found

    async def _call(self, endpoint: Endpoint, request: Request, ctx: Context, raw: Any) -> Response:
        db = self.runtime.db
        if endpoint.route.reads:
            if not endpoint.is_async:
                try:
                    return await db.read(self._run, endpoint, request, ctx, raw)
                except NeedsWrite:
                    return await db.write(self.decide, endpoint, request, ctx, raw)
        elif (wanted := asked(request)) is not None:
            return await as_asked(self, endpoint, wanted, request, ctx, raw)
        elif not endpoint.is_async:
            return await db.write(self.decide, endpoint, request, ctx, raw)
        arguments = await db.read(self.prepare, endpoint, request, ctx, raw)
        result = await endpoint.route.handler(**arguments)
        if isinstance(result, InTransaction):
            return await db.write(self.conclude, endpoint, request, ctx, result.work)
        return endpoint.respond(result, ctx, request)

    def decide(self, tx: Tx, endpoint: Endpoint, request: Request, ctx: Context, raw: Any) -> Response:
        """Run a plain handler that may write, and write the request down with what it did."""
        tx.info["writable"] = True
        arguments = self.prepare(tx, endpoint, request, ctx, raw)
        return self._wrote(tx, endpoint, request, ctx, endpoint.route.handler(**arguments))

    def conclude(
        self, tx: Tx, endpoint: Endpoint, request: Request, ctx: Context, work: Callable[[Tx], Any]
    ) -> Response:
        """Run what an ``async`` handler left for the transaction."""
        tx.info["writable"] = True
        tx.info["request"], tx.info["endpoint"] = request, endpoint
        tx.info["ctx"], tx.info["request_id"] = ctx, ctx.request_id
        return self._wrote(tx, endpoint, request, ctx, work(tx))

    def _wrote(self, tx: Tx, endpoint: Endpoint, request: Request, ctx: Context, result: Any) -> Response:
        if endpoint.api.written is not None:
            endpoint.api.written(tx, ctx, request, endpoint.route, result)
        response = endpoint.respond(result, ctx, request)
        if not endpoint.route.reads:
            remember(tx, ctx, request.method, request.path, response.status)
        return response

    def _run(self, tx: Tx, endpoint: Endpoint, request: Request, ctx: Context, raw: Any) -> Response:
        arguments = self.prepare(tx, endpoint, request, ctx, raw)
        return endpoint.respond(endpoint.route.handler(**arguments), ctx, request)

    def prepare(self, tx: Tx, endpoint: Endpoint, request: Request, ctx: Context, raw: Any) -> dict[str, Any]:
        tx.info["request"], tx.info["endpoint"], tx.info["page"] = request, endpoint, self.limits.page
        self.authenticate(tx, request, ctx, required=endpoint.route.rule is not None)
        if self.rates is not None:
            self.rates.take(ctx.project_id or ctx.user_id or ctx.source_ip or "nobody")
        tx.info["ctx"], tx.info["request_id"] = ctx, ctx.request_id
        if (project := request.params.get("project_id")) and endpoint.api.project_in_path:
            _check_project_in_path(project, ctx)
        return endpoint.arguments(tx, ctx, request, raw, self.runtime)

    def authenticate(self, tx: Tx, request: Request, ctx: Context, *, required: bool) -> None:
        """Put the caller into the context; raise Unauthenticated when one is required and there is none."""
        try:
            ctx.caller = self.runtime.authenticate(tx, request, self.runtime)
        except Unauthenticated:
            if required:
                raise
        service_token = request.headers.get("x-service-token")
        if service_token and ctx.caller is not ANONYMOUS:
            second = dataclasses.replace(request, headers={"x-auth-token": service_token})
            ctx.service_roles = self.runtime.authenticate(tx, second, self.runtime).roles
        if required and ctx.caller is ANONYMOUS:
            raise Unauthenticated("The request you have made requires authentication: send a token in X-Auth-Token.")

    def _refusal(self, error: Exception, request: Request, ctx: Context, api: Api | None) -> Response:
        if isinstance(error, IntegrityError):
            error = _violated(error, request, ctx) or error
        if _unstorable(error):
            error = Invalid("A value in the request cannot be stored or compared: a number is too large, or a text is.")
        elif not isinstance(error, ApiError):
            log.exception("unexpected failure", extra={"request_id": ctx.request_id, "path": request.path})
            error = ApiError(
                "Pileus failed to serve this request; this is a defect. The log has the cause under request id "
                f"{ctx.request_id}."
            )
        assert isinstance(error, ApiError)
        ctx.refusal = error.message
        return (api.error if api is not None else error_object)(error, ctx.request_id)

    def _finish(self, response: Response, ctx: Context, api: Api | None) -> Response:
        response.headers.append(("x-openstack-request-id", ctx.request_id))
        if api is not None:
            if api.request_id_header != "x-openstack-request-id":
                response.headers.append((api.request_id_header, ctx.request_id))
            if api.microversions is not None and ctx.version != (0, 0):
                response.headers.extend(api.microversions.headers(ctx.version))
        return response


def _violated(error: IntegrityError, request: Request, ctx: Context) -> ApiError | None:
    """Return the refusal of what violates a constraint, or None for a defect: a value that nobody sent.

    Two requests at once do not get here: a database that lets them collide runs the loser again.
    """
    violation = violation_of(error)
    log.warning("constraint violated: %s", error.orig, extra={"request_id": ctx.request_id})
    if violation.kind == "unique":
        same = f"the same {' and '.join(violation.columns)}" if violation.columns else "the same key"
        return Conflict(f"There is another one with {same} already: change that, or use the one that is there.")
    if violation.kind == "reference":
        return Conflict("What this request names is gone, or something else still refers to it; look at both again.")
    if violation.kind == "null" and (null := sorted(_nulls(_json(request)) & set(violation.columns))):
        return Invalid(f"Invalid input for {null[0]}. Reason: it cannot be null.")
    return None


def _json(request: Request) -> Any:
    try:
        return msgspec.json.decode(request.body or b"null")
    except msgspec.DecodeError:
        return None


def _nulls(body: Any) -> set[str]:
    """Return the members that are null anywhere in a body, by the names that columns have."""
    if isinstance(body, list):
        return {name for item in body for name in _nulls(item)}
    if not isinstance(body, dict):
        return set()
    own = {name.replace(":", "_").replace("-", "_") for name, value in body.items() if value is None}
    return own.union(*(_nulls(value) for value in body.values()))


def _unstorable(error: Exception) -> bool:
    """Tell whether the database's driver refused a value: beyond 64 bits, a text with NUL or longer than its column."""
    return isinstance(error, DataError) or (isinstance(error, OverflowError) and "SQLite INTEGER" in str(error))


def _by_method(node: Node, request: Request) -> list[Endpoint]:
    endpoints = node.endpoints.get(request.method)
    if endpoints is None and request.method == "HEAD":
        endpoints = node.endpoints.get("GET")
    if endpoints is None:
        allowed = ", ".join(sorted(node.endpoints))
        raise MethodNotAllowed(
            f"{request.method} is not possible on {request.path}; possible: {allowed}.", headers={"Allow": allowed}
        )
    return endpoints


def _select(endpoints: list[Endpoint], version: Version, raw: Any) -> Endpoint:
    """Return the endpoint for this microversion and, where the body names an action, for that action."""
    there = [endpoint for endpoint in endpoints if version == LAST or version in endpoint.route.versions]
    if not there:
        raise NotFound(f"This does not exist in version {version[0]}.{version[1]} of the API.")
    if there[0].route.action is None:
        return there[0]
    if not isinstance(raw, dict):
        raise Invalid("The request body must be a JSON object with one member, the action.")
    for endpoint in there:
        if endpoint.route.action in raw:
            if len(raw) > 1 and endpoint.api.strict:
                raise Invalid(f"The request body must have one member, the action; it has {', '.join(sorted(raw))}.")
            return endpoint
    known = ", ".join(sorted(str(endpoint.route.action) for endpoint in there))
    named = ", ".join(sorted(raw)) or "none is named"
    raise Invalid(f"There is no such action: {named}. Possible: {known}.")


def _check_project_in_path(project: str, ctx: Context) -> None:
    if project != ctx.project_id and not ctx.is_admin and ctx.caller is not ANONYMOUS:
        raise Invalid(f"Malformed request URL: the project '{project}' in it is not the token's project.")


async def _nothing() -> MutableMapping[str, Any]:
    return {"type": "http.disconnect"}


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def choices(request: Request, versions: list[dict[str, Any]]) -> Response:
    """Return a version document with status 300, as the unversioned roots of several APIs answer."""
    return json_response({"versions": versions}, 300)
