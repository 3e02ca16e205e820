"""Placement's way: errors as the API-SIG's guideline has them."""

from pileus.kernel.errors import ApiError
from pileus.kernel.rest.formats import error_headers
from pileus.kernel.rest.http import Response, json_response


def placement_error(error: ApiError, request_id: str) -> Response:
    """``{"errors": [{"status": ..., "title": ..., "detail": ..., "request_id": ...}]}``."""
    content = {"status": error.status, "title": error.title, "detail": error.message, "request_id": request_id}
    if error.kind:
        content["code"] = error.kind
    return json_response({"errors": [{**content, **error.details}]}, error.status, error_headers(error))
