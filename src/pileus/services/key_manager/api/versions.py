"""Version documents: without a microversion the older form, which has no range of them."""

from typing import Any

from pileus.dialects.barbican import url_of
from pileus.kernel.context import Context
from pileus.kernel.rest import Response, json_response
from pileus.services.key_manager.api.base import VERSIONS, api, make_api

root = make_api("")
MEDIA_TYPES = [{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}]


def version(ctx: Context) -> dict[str, Any]:
    """Return the description of v1."""
    links = [
        {"rel": "self", "href": url_of(ctx, "")},
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
    ]
    if ctx.version < (1, 1):
        return {"id": "v1", "status": "stable", "links": links, "media-types": MEDIA_TYPES}
    range = {"min_version": VERSIONS.minimum, "max_version": VERSIONS.maximum}
    return {"id": "v1", "status": "CURRENT", **range, "links": links}


@root.get("", None)
def list_versions(ctx: Context) -> Response:
    found = [version(ctx)]
    return json_response({"versions": {"values": found} if ctx.version < (1, 1) else found}, 300)


@api.get("", None, wrap="version")
def show_version(ctx: Context) -> dict[str, Any]:
    return version(ctx)
