"""How Glance answers: its error body, its pages, its one Api."""

from typing import Any
from urllib.parse import urlencode

from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError
from pileus.kernel.rest import Api, Request, Response, json_response
from pileus.kernel.rest.formats import error_headers
from pileus.services.image.app.visibility import load_image
from pileus.services.image.model import ImageRow


def image_error(error: ApiError, request_id: str) -> Response:
    """``{"message": ..., "code": "404 Not Found", "title": "Not Found"}``."""
    content = {"message": error.message, "code": f"{error.status} {error.title}", "title": error.title}
    return json_response(content, error.status, error_headers(error))


def image_page(plural: str, items: list[Any], marker: str | None, request: Request, context: Context) -> dict[str, Any]:
    """``{"images": [...], "first": "/v2/images?...", "next": ..., "schema": ...}``; links are paths, as upstream's."""
    query = [(name, value) for name, value in request.query_items() if name != "marker"]
    page: dict[str, Any] = {plural: items, "first": _link(plural, query), "schema": f"/v2/schemas/{plural}"}
    if marker is not None:
        page["next"] = _link(plural, [*query, ("marker", marker)])
    return page


def _link(plural: str, query: list[tuple[str, str]]) -> str:
    return f"/v2/{plural}?{urlencode(query)}" if query else f"/v2/{plural}"


api = Api("image", "/v2", error=image_error, page=image_page, hide_foreign=False, final_slash=False)
root = Api("image", "", error=image_error)
api.loader(ImageRow)(load_image)
