"""How refusals and pages are dressed where an API has no way of its own; ``pileus.dialects`` has those of upstream."""

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


def error_headers(error: ApiError) -> list[tuple[str, str]]:
    """Return the headers of a refusal."""
    headers = list(error.headers.items())
    if error.status == 401 and not any(name.lower() == "www-authenticate" for name, _ in headers):
        headers.append(("WWW-Authenticate", "Keystone uri='/identity'"))
    if error.status in (429, 503) and not any(name.lower() == "retry-after" for name, _ in headers):
        headers.append(("Retry-After", RETRY_AFTER_S))
    return headers


def error_object(error: ApiError, request_id: str) -> Response:
    """``{"error": {"code": 404, "message": ..., "title": ...}}``: Keystone's, and all others'."""
    content = {"code": error.status, "message": error.message, "title": error.title, **error.details}
    return json_response({"error": content}, error.status, error_headers(error))


def next_url(request: Request, context: Context, marker: str) -> str:
    """Return the URL of the request with its marker replaced."""
    items = [(name, value) for name, value in request.query_items() if name != "marker"]
    return f"{context.base_url}{request.path}?{urlencode([*items, ('marker', marker)])}"


def link_page(plural: str, items: list[Any], marker: str | None, request: Request, context: Context) -> dict[str, Any]:
    """``{"servers": [...], "servers_links": [{"rel": "next", "href": ...}]}``."""
    page: dict[str, Any] = {plural: items}
    if marker is not None:
        page[f"{plural}_links"] = [{"rel": "next", "href": next_url(request, context, marker)}]
    return page


def plain_page(plural: str, items: list[Any], marker: str | None, request: Request, context: Context) -> dict[str, Any]:
    """``{"resource_classes": [...]}``: APIs without pages."""
    return {plural: items}


class Page(msgspec.Struct):
    """A handler's answer to a listing: the views, and the marker of the next page when there is one."""

    items: list[Any]
    marker: str | None = None
