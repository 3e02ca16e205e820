"""The API's manners, and how its rows are found by the ids in paths."""

from pileus.dialects.nova import nova_error
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound
from pileus.kernel.ids import is_uuid
from pileus.kernel.rest import Api, Microversions, link_page
from pileus.kernel.rest.references import Refers, each
from pileus.services.compute import images, ports
from pileus.services.compute.model import Flavor, Server, ServerGroup
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store

PATH = "/compute"
VERSIONS = Microversions("compute", "2.1", "2.103", legacy="X-OpenStack-Nova-API-Version")

MISSING = {
    "flavor": "Flavor {id} could not be found: choose one of the list of flavors.",
    "image": "Can not find requested image {id}: choose one of the list of images.",
    "network": "Network {id} could not be found.",
    "port": "Port {id} could not be found.",
}


def missing(refers: Refers, id: str, field: str) -> ApiError:
    """Return the refusal of a reference to what the caller does not see: 400, as upstream answers it."""
    if refers.kind in ("network", "port") and not is_uuid(id):
        return Invalid(f"Bad networks format: {refers.kind} uuid is not in proper format ({id}).")
    return Invalid(MISSING[refers.kind].format(id=id))


api = Api(
    "compute",
    "/v2.1",
    VERSIONS,
    error=nova_error,
    page=link_page,
    request_id_header="x-compute-request-id",
    project_in_path=True,
    final_slash=False,
    missing=missing,
)
api.reference("image")(each(images.show))
api.reference("network")(each(ports.network))
api.reference("port")(each(ports.port))
documents = Api("compute", "", None, error=nova_error, request_id_header="x-compute-request-id")
"""What is answered without a version: the version documents and the guests' metadata."""


@api.loader(Server)
def load_server(tx: Tx, ctx: Context, id: str) -> Server:
    """Return a server that is not deleted; raise NotFound."""
    server = store.get_server(tx, id) if len(id) <= 36 else None
    if server is None or server.deleted_at is not None:
        raise NotFound(f"Instance {id} could not be found.")
    return server


@api.loader(Flavor)
def load_flavor(tx: Tx, ctx: Context, id: str) -> Flavor:
    """Return a flavor the caller may see; raise NotFound."""
    flavor = catalog.get_flavor(tx, id)
    if flavor is None or not (ctx.is_admin or catalog.may_use_flavor(tx, flavor, ctx.project_id)):
        raise NotFound(f"Flavor {id} could not be found.")
    return flavor


api.reference("flavor")(each(load_flavor))


@api.loader(ServerGroup)
def load_group(tx: Tx, ctx: Context, id: str) -> ServerGroup:
    """Return a server group; raise NotFound."""
    group = catalog.get_group(tx, id)
    if group is None:
        raise NotFound(f"Instance group {id} could not be found.")
    return group


def require_unlocked(ctx: Context, server: Server) -> None:
    """Raise Conflict when the server is locked and the caller is not an administrator."""
    if server.locked_by is not None and not ctx.is_admin:
        raise Conflict(f"Instance {server.id} is locked; unlock it first.")


def url(ctx: Context, *segments: str) -> str:
    """Return the address of a resource of this API."""
    return "/".join((ctx.base_url + PATH + "/v2.1", *segments))


def links(ctx: Context, plural: str, id: str) -> list[dict[str, str]]:
    """Return the links of a resource: itself, and its address without a version."""
    root = ctx.base_url + PATH
    return [
        {"rel": "self", "href": f"{root}/v2.1/{plural}/{id}"},
        {"rel": "bookmark", "href": f"{root}/{plural}/{id}"},
    ]


def bookmark(ctx: Context, plural: str, id: str) -> list[dict[str, str]]:
    """Return the one link by which other resources point here."""
    return [{"rel": "bookmark", "href": f"{ctx.base_url}{PATH}/{plural}/{id}"}]
