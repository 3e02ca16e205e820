"""The API itself, its version documents, and the list of what it has.  Rule: an extension is listed when it works."""

from typing import Any

from pileus.dialects.neutron import NEUTRON, neutron_error
from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Api, Request
from pileus.kernel.rest.references import Refers
from pileus.services.network.api.extensions import LISTED
from pileus.services.network.app.limits import LIMITS
from pileus.services.network.app.refusals import group_not_found


def missing(refers: Refers, id: str, field: str) -> ApiError:
    """Return the refusal of a reference to what the caller does not see: 404, with the thing's own type."""
    if refers.kind == "security_group":
        return group_not_found(id)
    return NEUTRON.not_found(next(one for one in api.resources if one.name == refers.kind), id)


api = Api("network", "/v2.0", error=neutron_error, strict=False, dialect=NEUTRON, quotas=LIMITS, missing=missing)
versions = Api("network", "", error=neutron_error)

BY_HAND = (
    ("quota", "quotas"),
    ("agent", "agents"),
    ("availability_zone", "availability_zones"),
    ("extension", "extensions"),
)
"""Collections that no declaration names."""
GET_EXTENSION = Rule("get_extension", "@", "See what the API has.")


@versions.get("/", None)
def list_versions(ctx: Context, request: Request) -> dict[str, Any]:
    root = f"{ctx.base_url}{request.path.rstrip('/')}"
    link = {"rel": "self", "href": f"{root}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


@api.get("/", None)
def show_version(ctx: Context, request: Request) -> dict[str, Any]:
    root = f"{ctx.base_url}{request.path.rstrip('/')}"
    collections = [(resource.name, resource.path.removeprefix("/")) for resource in api.resources]
    return {
        "resources": [
            {"name": name, "collection": plural, "links": [{"rel": "self", "href": f"{root}/{plural}"}]}
            for name, plural in (*collections, *BY_HAND)
        ]
    }


@api.get("/extensions", GET_EXTENSION)
def list_extensions() -> dict[str, Any]:
    return {"extensions": _extensions()}


@api.get("/extensions/{alias}", GET_EXTENSION)
def show_extension(alias: str) -> dict[str, Any]:
    found = next((extension for extension in _extensions() if extension["alias"] == alias), None)
    if found is None:
        raise NotFound(f"Extension with alias {alias} does not exist", kind="ExtensionNotFound")
    return {"extension": found}


def _extensions() -> list[dict[str, Any]]:
    """Return what is listed by hand and what the resources say."""
    return [
        {"alias": alias, "name": name, "description": text, "updated": "2026-01-01T00:00:00-00:00", "links": []}
        for alias, name, text in sorted((*LISTED, *api.extensions))
    ]
