"""GET /: the version and its microversions."""

from typing import Any

from pileus.services.placement.api.router import api


@api.get("", None)
def show_versions() -> dict[str, Any]:
    version = {
        "id": "v1.0",
        "status": "CURRENT",
        "min_version": "1.0",
        "max_version": "1.39",
        "links": [{"rel": "self", "href": ""}],
    }
    return {"versions": [version]}
