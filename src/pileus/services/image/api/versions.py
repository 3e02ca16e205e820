"""Which versions of the API there are."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.rest import Response, json_response
from pileus.services.image.api.answers import root

MINORS = (13, *range(12, -1, -1))


def _versions(ctx: Context) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{ctx.base_url}/image/v2/"}]
    status = {MINORS[0]: "CURRENT"}
    return {
        "versions": [
            {"id": f"v2.{minor}", "status": status.get(minor, "SUPPORTED"), "links": links} for minor in MINORS
        ]
    }


@root.get("", None)
def show_choices(ctx: Context) -> Response:
    return json_response(_versions(ctx), 300)


@root.get("/versions", None)
def list_versions(ctx: Context) -> dict[str, Any]:
    return _versions(ctx)
