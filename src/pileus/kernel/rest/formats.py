"""How each API dresses refusals and pages: the same facts in every service's own format."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError
from pileus.kernel.rest.http import Request, Response, json_response

ErrorFormat = Callable[[ApiError, str], Response]
"""``format(error, request_id)``"""
PageFormat = Callable[[str, list[Any], str | None, Request, Context], dict[str, Any]]
"""``format(collection name, items, marker of the next page or None, request, context)``"""

RETRY_AFTER_S = "1"
"""What a client is told that may try again, where nothing better is known."""

_COMPUTE_KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    422: "unprocessableEntity",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}

_NETWORK_TYPES = {
    400: "HTTPBadRequest",
    401: "HTTPUnauthorized",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "HTTPConflict",
    412: "HTTPPreconditionFailed",
    413: "HTTPRequestEntityTooLarge",
    422: "HTTPUnprocessableEntity",
    429: "HTTPTooManyRequests",
    500: "HTTPInternalServerError",
    503: "HTTPServiceUnavailable",
}


def error_headers(error: ApiError) -> list[tuple[str, str]]:
    """Return the headers of a refusal."""
    headers = list(error.headers.items())
    if error.status == 401 and not any(name.lower() == "www-authenticate" for name, _ in headers):
        headers.append(("WWW-Authenticate", "Keystone uri='/identity'"))
    if error.status in (429, 503) and not any(name.lower() == "retry-after" for name, _ in headers):
        headers.append(("Retry-After", RETRY_AFTER_S))
    return headers


def compute_error(error: ApiError, request_id: str) -> Response:
    """``{"itemNotFound": {"code": 404, "message": ...}}``: Compute and Block Storage."""
    key = _COMPUTE_KEYS.get(error.status, "computeFault")
    content = {"code": error.status, "message": error.message, **error.details}
    if error.status == 503 or error.status == 413:
        content["retryAfter"] = error.headers.get("Retry-After", RETRY_AFTER_S if error.status == 503 else "0")
    return json_response({key: content}, error.status, error_headers(error))


def identity_error(error: ApiError, request_id: str) -> Response:
    """``{"error": {"code": 404, "message": ..., "title": ...}}``: Identity, and whatever has no format of its own."""
    content = {"code": error.status, "message": error.message, "title": error.title, **error.details}
    return json_response({"error": content}, error.status, error_headers(error))


def network_error(error: ApiError, request_id: str) -> Response:
    """``{"NeutronError": {"type": ..., "message": ..., "detail": ""}}``: Networking."""
    content = {
        "type": error.kind or _NETWORK_TYPES.get(error.status, f"HTTP{type(error).__name__}"),
        "message": error.message,
        "detail": "",
    }
    return json_response({"NeutronError": content}, error.status, error_headers(error))


def placement_error(error: ApiError, request_id: str) -> Response:
    """``{"errors": [{"status": ..., "title": ..., "detail": ..., "request_id": ...}]}``: Placement, API-SIG style."""
    content = {"status": error.status, "title": error.title, "detail": error.message, "request_id": request_id}
    if error.kind:
        content["code"] = error.kind
    return json_response({"errors": [{**content, **error.details}]}, error.status, error_headers(error))


def plain_error(error: ApiError, request_id: str) -> Response:
    """The sentence as text: Object Store."""
    return Response(error.status, f"{error.message}\n".encode(), error_headers(error), "text/plain; charset=utf-8")


def next_url(request: Request, context: Context, marker: str) -> str:
    """Return the URL of the request with its marker replaced."""
    items = [(name, value) for name, value in request.query_items() if name != "marker"]
    return f"{context.base_url}{request.path}?{urlencode([*items, ('marker', marker)])}"


def link_page(plural: str, items: list[Any], marker: str | None, request: Request, context: Context) -> dict[str, Any]:
    """``{"servers": [...], "servers_links": [{"rel": "next", "href": ...}]}``: Compute, Block Storage."""
    page: dict[str, Any] = {plural: items}
    if marker is not None:
        page[f"{plural}_links"] = [{"rel": "next", "href": next_url(request, context, marker)}]
    return page


def identity_page(
    plural: str, items: list[Any], marker: str | None, request: Request, context: Context
) -> dict[str, Any]:
    """``{"users": [...], "links": {"self": ..., "previous": null, "next": null}}``: Identity.

    A list that was cut short has ``"truncated": true`` beside them.
    """
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    following = next_url(request, context, marker) if marker is not None else None
    links = {"self": f"{context.base_url}{request.path}{query}", "previous": None, "next": following}
    cut = {"truncated": True} if marker is not None else {}
    return {"links": links, plural: items, **cut}


def plain_page(plural: str, items: list[Any], marker: str | None, request: Request, context: Context) -> dict[str, Any]:
    """``{"resource_classes": [...]}``: APIs without pages."""
    return {plural: items}


class Page(msgspec.Struct):
    """A handler's answer to a listing: the views, and the marker of the next page when there is one."""

    items: list[Any]
    marker: str | None = None
