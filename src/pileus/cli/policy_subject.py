"""What ``pileus policy explain`` is asked about: from the user's words to a rule and the thing it is judged against.

Rule: the thing is loaded by the very loader that the request would use.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.cli.terminal import Problem
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, NotFound
from pileus.kernel.policy import RULES, Rule, attribute
from pileus.kernel.rest.binding import Endpoint
from pileus.kernel.rest.http import path_segments
from pileus.kernel.rest.tree import Tree
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "COPY")


@dataclass(frozen=True)
class Subject:
    """A rule (None: open to all), which requests it guards, and what it is judged against.

    ``look(ctx)`` loads what a request's path names, as far as that caller sees it, and raises NotFound; ``row`` is what
    the cloud itself sees there.
    """

    rule: Rule | None
    guards: list[str]
    things: dict[str, Any] = field(default_factory=dict)
    described: str = ""
    row: Any = None
    look: Callable[[Context], Any] | None = None

    def seen_by(self, ctx: Context) -> bool:
        """Tell whether the thing is there for a caller."""
        try:
            if self.look is not None:
                self.look(ctx)
        except NotFound:
            return False
        return True

    def target_for(self, ctx: Context) -> Any:
        """Return the target of the judgement."""
        if self.things:
            return {**ctx.own, "target": self.things, **self.things}
        return ctx.own if self.row is None else self.row


def endpoints_of(services: Sequence[Service]) -> Iterator[tuple[Service, Endpoint]]:
    """Yield every route there is."""
    for service in services:
        if service.apis:
            for endpoint in Tree(list(service.apis)).endpoints:
                yield service, endpoint


def guarded_by(services: Sequence[Service]) -> dict[str, list[str]]:
    """Return the requests that each rule guards, by its name."""
    found: dict[str, list[str]] = {}
    for service, endpoint in endpoints_of(services):
        if endpoint.route.rule is not None:
            where = found.setdefault(endpoint.route.rule.name, [])
            if (text := _written(service, endpoint)) not in where:
                where.append(text)
    return found


def _written(service: Service, endpoint: Endpoint) -> str:
    route = endpoint.route
    action = f" ({route.action})" if route.action else ""
    return f"{route.method} {service.path}{endpoint.api.prefix}{route.path}{action}"


def find_subject(tx: Tx, runtime: Runtime, action: str, words: list[str]) -> Subject:
    """Return what is asked about; raise Problem when there is no such rule, request or thing."""
    if action.upper() in METHODS:
        return _by_request(tx, runtime, action.upper(), words)
    if action not in RULES:
        near = [name for name in RULES if action.lower() in name.lower()][:5]
        hint = f"Did you mean {', '.join(near)}?" if near else "`pileus policy sample` names every rule."
        raise Problem(f"There is no rule {action}.", hint)
    rule = RULES[action]
    found = [(service, endpoint) for service, endpoint in endpoints_of(runtime.services) if endpoint.route.rule == rule]
    guards = [_written(service, endpoint) for service, endpoint in found]
    if not words:
        return Subject(rule, guards)
    if len(words) == 1 and "=" not in words[0]:
        loading = next((endpoint for _, endpoint in found if _names_one(endpoint)), None)
        if loading is None:
            raise Problem(
                f"No request with the rule {action} names one thing.",
                "Say what it is about with words such as project_id=ID, user=ID or project=ID.",
            )
        return _named(rule, guards, loading, {_parameter(loading): words[0]}, tx, runtime)
    loaders = {name: load for _, endpoint in endpoints_of(runtime.services) for name, _, load in endpoint.loads}
    own = {name: load for service, endpoint in found for name, _, load in endpoint.loads}
    pairs = [word.partition("=") for word in words]
    things = [(name, value, {**loaders, **own}.get(name)) for name, _, value in pairs]
    return _about(rule, guards, things, tx, runtime)


def _by_request(tx: Tx, runtime: Runtime, method: str, words: list[str]) -> Subject:
    path = words[0] if words else ""
    segments = path_segments(path.partition("?")[0])
    tree = runtime.app.trees.get(segments[0]) if path.startswith("/") else None
    found = tree.find(segments[1:]) if tree is not None else None
    if found is None:
        raise Problem(
            f"There is nothing at {path or 'no path'}.", "Name the whole path, such as /compute/v2.1/servers/ID."
        )
    node, params = found
    endpoints = node.endpoints.get(method) or (node.endpoints.get("GET") if method == "HEAD" else None)
    if not endpoints:
        raise Problem(f"{path} has no {method}.", f"It has {', '.join(sorted(node.endpoints))}.")
    actions = [endpoint.route.action for endpoint in endpoints if endpoint.route.action]
    if actions:
        chosen = [endpoint for endpoint in endpoints if endpoint.route.action in words[1:]]
        if not chosen:
            raise Problem(f"{method} {path} has several actions.", f"Add one of: {', '.join(sorted(set(actions)))}.")
        endpoints = chosen
    endpoint = endpoints[-1]
    service = next(service for service in runtime.services if service.path.strip("/") == segments[0])
    guards = [_written(service, endpoint)]
    if endpoint.route.rule is None or not _names_one(endpoint):
        return Subject(endpoint.route.rule, guards)
    return _named(endpoint.route.rule, guards, endpoint, params, tx, runtime)


def _names_one(endpoint: Endpoint) -> bool:
    return bool(endpoint.loads) or endpoint.route.about is not None


def _parameter(endpoint: Endpoint) -> str:
    return endpoint.loads[0][0] if endpoint.loads else "id"


def _named(
    rule: Rule, guards: list[str], endpoint: Endpoint, params: Mapping[str, str], tx: Tx, runtime: Runtime
) -> Subject:
    """Return what a path names, found as the request would find it, for each caller anew."""
    about, name = endpoint.route.about, _parameter(endpoint)

    def look(ctx: Context) -> Any:
        tx.info["ctx"] = ctx
        if about is None:
            return endpoint.loads[0][2](tx, ctx, params[name])
        row = about.load(tx, ctx, params)
        return None if about.target is None else about.target(tx, ctx, row)

    ctx = runtime.internal()
    try:
        found = look(ctx)
    except ApiError as error:
        raise Problem(error.message) from error
    return Subject(rule, guards, described=_described(name, params[name], found), row=found, look=look)


def _described(name: str, value: str, thing: Any) -> str:
    owners = [f"{part} {owner}" for part in ("project_id", "domain_id", "user_id") if (owner := attribute(thing, part))]
    return f"{name} {value}" + (f" ({', '.join(owners)})" if owners else "")


def _about(rule: Rule, guards: list[str], things: list[tuple[str, str, Any]], tx: Tx, runtime: Runtime) -> Subject:
    """Load what is named; a name without a loader is an attribute, taken as it is given."""
    ctx = runtime.internal()
    tx.info["ctx"] = ctx
    found: dict[str, Any] = {}
    notes = []
    for name, value, load in things:
        try:
            found[name] = value if load is None else load(tx, ctx, value)
        except ApiError as error:
            raise Problem(error.message) from error
        notes.append(f"{name} {value}" if load is None else _described(name, value, found[name]))
    return Subject(rule, guards, found, ", ".join(notes))
