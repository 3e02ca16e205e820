"""Swift's way: errors are sentences."""

from pileus.kernel.errors import ApiError
from pileus.kernel.rest.formats import error_headers
from pileus.kernel.rest.http import Response


def swift_error(error: ApiError, request_id: str) -> Response:
    """The sentence as text."""
    return Response(error.status, f"{error.message}\n".encode(), error_headers(error), "text/plain; charset=utf-8")
