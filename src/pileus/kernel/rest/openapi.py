"""The OpenAPI document of all services, made from the same declarations that serve them."""

import re
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from pileus import __version__
from pileus.kernel.rest.binding import Endpoint, WhenEnded
from pileus.kernel.rest.versions import FIRST, LAST

if TYPE_CHECKING:
    from pileus.kernel.rest.app import App


DOCUMENTED = "documented_body"
"""Attribute of a handler whose body is decoded by its own code: (the member that holds it, its struct)."""
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


PARAMETERS: dict[str, Any] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "Sent again under the same key within a day by the same user and project, the request is "
        "answered again and not carried out again; another request under the key is refused with 422.",
    },
    "DryRun": {
        "name": "dry_run",
        "in": "query",
        "required": False,
        "schema": {"type": "boolean", "default": False},
        "description": "Tell what the request would do, claim, begin or be refused for; change nothing.",
    },
}
"""What every write understands that is decided in one transaction."""


def document(app: "App") -> bytes:
    """Return the document (OpenAPI 3.1, JSON); routes that share a path and differ by action share an entry."""
    paths: dict[str, dict[str, Any]] = {}
    kinds: list[Any] = []
    entries: list[tuple[dict[str, Any], Endpoint]] = []
    for mount, tree in app.trees.items():
        for endpoint in tree.endpoints:
            if endpoint.route.websocket:
                continue
            path = f"/{mount}{endpoint.api.prefix}{endpoint.route.path}".replace(":path}", "}")
            action = endpoint.route.action
            key = f"{path}#{action}" if action else path
            versions = endpoint.route.versions
            method = endpoint.route.method.lower()
            if method not in METHODS:  # Swift's COPY: OpenAPI has no place for other methods but extensions
                method = f"x-{method}"
            if key in paths and method in paths[key]:
                key = f"{key}#{versions.first[0]}.{versions.first[1]}"
            entry = _entry(app.names[mount], path, endpoint)
            paths.setdefault(key, {})[method] = entry
            entries.append((entry, endpoint))
            described = (_body(endpoint)[1], _answer(endpoint), _query(endpoint))
            kinds.extend(kind for kind in described if kind is not None)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found = iter(schemas)
    for entry, endpoint in entries:
        member, body = _body(endpoint)
        if body is not None:
            entry["requestBody"] = _content(next(found), member)
        elif endpoint.route.action:
            entry["requestBody"] = _content({}, endpoint.route.action)
        if _answer(endpoint) is not None:
            answer = {"description": "", **_content(next(found), endpoint.route.wrap)}
            entry["responses"] = {str(endpoint.route.status or 200): answer}
        if _query(endpoint) is not None:
            entry["parameters"] += _parameters(next(found), components)
    head = {"openapi": "3.1.0", "info": {"title": "Pileus", "version": __version__}}
    return msgspec.json.encode(
        {**head, "paths": paths, "components": {"schemas": components, "parameters": PARAMETERS}}
    )


def _entry(service: str, path: str, endpoint: Endpoint) -> dict[str, Any]:
    route = endpoint.route
    names = re.findall(r"{([^}]+)}", path)
    entry: dict[str, Any] = {
        "tags": [service],
        "operationId": f"{service}.{route.handler.__module__.rpartition('.')[2]}.{route.handler.__name__}",
        "summary": (route.handler.__doc__ or route.handler.__name__.replace("_", " ")).split("\n")[0],
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names],
        "responses": {str(route.status or 200): {"description": ""}},
    }
    if not route.reads and (endpoint.defers or not endpoint.is_async):
        entry["parameters"] += [_reference(name) for name in _understood(route.method)]
    if route.rule is not None:
        entry["x-policy"] = route.rule.name
    if route.versions.first != FIRST:
        entry["x-since"] = "{}.{}".format(*route.versions.first)
    if route.versions.last != LAST:
        entry["x-until"] = "{}.{}".format(*route.versions.last)
    return entry


def _understood(method: str) -> list[str]:
    return ["IdempotencyKey", "DryRun"] if method == "POST" else ["DryRun"]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _body(endpoint: Endpoint) -> tuple[str | None, Any]:
    """Return the member of the request body that holds what is described, and its type."""
    documented = getattr(endpoint.route.handler, DOCUMENTED, None)
    if documented is not None:
        return documented
    member = endpoint.route.action or endpoint.route.body
    if member is None:
        member = endpoint.route.wrap
    return member, endpoint.body_kind


def _query(endpoint: Endpoint) -> type[msgspec.Struct] | None:
    return endpoint.query_kind


def _parameters(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a query struct's fields as parameters."""
    whole = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    needed = whole.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": field}
        for name, field in whole.get("properties", {}).items()
    ]


def _answer(endpoint: Endpoint) -> Any:
    kind = typing.get_type_hints(endpoint.route.handler).get("return")
    if typing.get_origin(kind) is WhenEnded:
        (kind,) = typing.get_args(kind)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ != "Page" else None


def _content(schema: Any, member: str | None) -> dict[str, Any]:
    whole = {"type": "object", "required": [member], "properties": {member: schema}} if member else schema
    return {"content": {"application/json": {"schema": whole}}}
