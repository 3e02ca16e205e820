"""What is refused of a request before anybody looks who sent it: names that cannot be, headers without effect.

The one rule: it looks at the request alone, so it costs next to nothing and tells nothing of what is stored.
"""

from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Request, Route
from pileus.services.object_store.api.permits import refuse_reach
from pileus.services.object_store.app import headers, metadata

KINDS = {0: "service", 1: "account", 2: "container", 3: "object"}


def screen(request: Request, route: Route) -> None:
    """Raise ApiError for what no caller may send."""
    kind = KINDS[len(request.params)]
    for name in request.params.values():
        metadata.check_text(name)
    refuse_reach(request)
    query = dict(request.query_items())
    if "bulk-delete" in query and request.method in ("POST", "DELETE") and kind != "account":
        raise Invalid(f"?bulk-delete goes to the account, /v1/{request.params['account']}; here it deletes nothing.")
    if "bulk-delete" in query or "extract-archive" in query:
        return  # headers of an archive or of a list of names are judged by who reads those
    headers.check(kind, request.method, request.headers)
