"""The API itself, its version documents, and the list of what it has.  Rule: an extension is listed when it works."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Api, Request, network_error
from pileus.services.network.api.extensions import EXTENSIONS

api = Api("network", "/v2.0", error=network_error, strict=False)
versions = Api("network", "", error=network_error)

RESOURCES = (
    ("network", "networks"),
    ("subnet", "subnets"),
    ("port", "ports"),
    ("router", "routers"),
    ("floatingip", "floatingips"),
    ("security_group", "security-groups"),
    ("security_group_rule", "security-group-rules"),
    ("subnetpool", "subnetpools"),
    ("address_scope", "address-scopes"),
    ("rbac_policy", "rbac-policies"),
    ("quota", "quotas"),
    ("agent", "agents"),
    ("availability_zone", "availability_zones"),
    ("extension", "extensions"),
)
GET_EXTENSION = Rule("get_extension", "@", "See what the API has.")


@versions.get("/", None)
def list_versions(ctx: Context, request: Request) -> dict[str, Any]:
    root = f"{ctx.base_url}{request.path.rstrip('/')}"
    link = {"rel": "self", "href": f"{root}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


@api.get("/", None)
def show_version(ctx: Context, request: Request) -> dict[str, Any]:
    root = f"{ctx.base_url}{request.path.rstrip('/')}"
    return {
        "resources": [
            {"name": name, "collection": plural, "links": [{"rel": "self", "href": f"{root}/{plural}"}]}
            for name, plural in RESOURCES
        ]
    }


@api.get("/extensions", GET_EXTENSION)
def list_extensions() -> dict[str, Any]:
    return {"extensions": EXTENSIONS}


@api.get("/extensions/{alias}", GET_EXTENSION)
def show_extension(alias: str) -> dict[str, Any]:
    found = next((extension for extension in EXTENSIONS if extension["alias"] == alias), None)
    if found is None:
        raise NotFound(f"Extension with alias {alias} does not exist", kind="ExtensionNotFound")
    return {"extension": found}
