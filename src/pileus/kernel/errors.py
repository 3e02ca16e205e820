"""The few ways in which a request can fail, by meaning; the sentence comes from the service.

Rule: every sentence names the thing, the cause and what to do.  Each API dresses these in its own body format.
What a host's driver says is for operators; a sentence that a user may read has been through ``without_paths``.
"""

import re
from http import HTTPStatus

# A path has two parts or more; URLs, fractions and the devices that a guest sees (/dev/vdb) are none of the host's.
_PATH = re.compile(r"(?<![\w/.~-])/(?!dev/)[\w@%+=~-][\w@%+=~.,-]*(?:/[\w@%+=~.,-]+)+/?")


def without_paths(text: str) -> str:
    """Return a sentence with every path of a host's file system replaced: users are not told how a host is laid out."""
    return _PATH.sub(lambda found: "(a file of the host)" + found[0][len(found[0].rstrip(".,")) :], text)


def title_of(status: int) -> str:
    """Return the reason phrase of a status, as HTTP calls it (RFC 9110)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


class ApiError(Exception):
    """A refusal that is told to the client.

    ``kind`` is the name some APIs put in the body (``type`` in Networking, the key in Compute); ``headers``
    go out with the answer; ``details`` are extra members for APIs that have room for them.
    """

    status = 500
    title = "Internal Server Error"

    told_by_host: str | None = None
    """The sentence as a host's driver put it, for operators alone; ``message`` says the same without its paths."""

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        **details: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.headers = headers or {}
        self.details = details
        if status is not None and status != self.status:
            self.status, self.title = status, title_of(status)


class Invalid(ApiError):
    """The request itself is wrong: a field, a value, a combination."""

    status, title = 400, "Bad Request"


class Unauthenticated(ApiError):
    """Who asks is unknown: no token, a bad one, wrong credentials."""

    status, title = 401, "Unauthorized"


class Forbidden(ApiError):
    """Who asks is known and may not."""

    status, title = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such thing, or it belongs to somebody else."""

    status, title = 404, "Not Found"


class MethodNotAllowed(ApiError):
    """The thing is there, but not this verb."""

    status, title = 405, "Method Not Allowed"


class NotAcceptable(ApiError):
    """The microversion or the media type asked for does not exist."""

    status, title = 406, "Not Acceptable"


class Conflict(ApiError):
    """The thing is in a state, or another thing exists, that forbids this now."""

    status, title = 409, "Conflict"


class PreconditionFailed(ApiError):
    """A condition in a header does not hold."""

    status, title = 412, "Precondition Failed"


class TooLarge(ApiError):
    """The body or the thing asked for is larger than allowed."""

    status, title = 413, "Request Entity Too Large"


class OverQuota(ApiError):
    """The project's limit would be passed."""

    status, title = 403, "Forbidden"


class TooManyRequests(ApiError):
    """The client should slow down; ``Retry-After`` says by how much."""

    status, title = 429, "Too Many Requests"


class Unavailable(ApiError):
    """Something needed is not there now (a host, an engine, a time limit); trying again later may help."""

    status, title = 503, "Service Unavailable"
    refused = False
    """Whether a host's driver answered so itself: then what hinders it may well be there to stay."""


class Failed(ApiError):
    """It cannot be done, and trying again would not help: a tool said no, a program is missing, a file is lost."""


class OutOfSpace(ApiError):
    """A disk is full."""

    status, title = 507, "Insufficient Storage"
