"""Which versions there are: what every client asks first."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.rest import Response, json_response
from pileus.services.identity.api.router import api, url, versions

MEDIA_TYPES = [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]


def version(ctx: Context) -> dict[str, Any]:
    """Return the description of v3."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": url(ctx, "/")}],
        "media-types": MEDIA_TYPES,
    }


@versions.get("", None)
def list_versions(ctx: Context) -> Response:
    return json_response({"versions": {"values": [version(ctx)]}}, 300, [("Location", url(ctx, "/"))])


@api.get("", None, wrap="version")
def show_version(ctx: Context) -> dict[str, Any]:
    return version(ctx)
