"""Nova's way, which Cinder and Manila have too: errors under the name of their kind."""

from typing import Any

from pileus.kernel.errors import ApiError
from pileus.kernel.rest.formats import RETRY_AFTER_S, error_headers
from pileus.kernel.rest.http import Response, json_response

_KEYS = {
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


def nova_error(error: ApiError, request_id: str) -> Response:
    """``{"itemNotFound": {"code": 404, "message": ...}}``."""
    key = _KEYS.get(error.status, "computeFault")
    content: dict[str, Any] = {"code": error.status, "message": error.message, **error.details}
    if error.status == 503 or error.status == 413:
        content["retryAfter"] = error.headers.get("Retry-After", RETRY_AFTER_S if error.status == 503 else "0")
    return json_response({key: content}, error.status, error_headers(error))
