"""Version discovery: ``/volume`` and ``/volume/v3``."""

import re
from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.kernel.rest import Api, Request, Response, json_response
from pileus.services.block_storage.api.base import FIRST, LATEST, api

root = Api("block_storage")
MEDIA = "application/vnd.openstack.volume+json;version=3"
_PROJECT = re.compile(r"[0-9a-f-]{32,36}")
UPDATED = "2026-04-01T00:00:00Z"


def document(ctx: Context) -> dict[str, Any]:
    """Describe the one major version there is."""
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": LATEST,
        "min_version": FIRST,
        "updated": UPDATED,
        "links": [
            {
                "rel": "describedby",
                "type": "text/html",
                "href": "https://docs.openstack.org/api-ref/block-storage/v3/",
            },
            {"rel": "self", "href": f"{ctx.base_url}/volume/v3/"},
        ],
        "media-types": [{"base": "application/json", "type": MEDIA}],
    }


@root.get("", None)
def list_versions(ctx: Context) -> Response:
    return json_response({"versions": [document(ctx)]}, 300)


@api.get("", None)
def show_version(ctx: Context, request: Request) -> Response:
    project_id = request.params.get("project_id")  # the catalog's endpoint has one, and discovery asks there too
    if project_id is not None and not _PROJECT.fullmatch(project_id):
        raise NotFound(f"There is nothing at {request.path}: the API is below /volume/v3.")
    return json_response({"versions": [document(ctx)]})
