"""Beginning to plug a port into a server."""

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.compute import lifecycle, ports
from pileus.services.compute.app.verbs import require_built, run
from pileus.services.compute.model import Nic, Server
from pileus.services.compute.wanted import NicInput


def attach(tx: Tx, ctx: Context, server: Server, request: ports.Request) -> tuple[Nic, str]:
    """Make or take the port, bind it to the server's host, and begin to plug it in; return card and operation."""
    require_built(server, lifecycle.ATTACH_INTERFACE)
    asked = [request] if request.network_id or request.port_id else "auto"
    wanted = ports.resolve(tx, ctx, asked, count=1)
    if not wanted:
        raise Invalid("There is no network to attach an interface to: name one, or create one.")
    nic = ports.plug(tx, ctx, server, wanted[0], group_ids=())
    ports.refresh_addresses(tx, server)
    given = NicInput(server_id=server.id, host=server.host, port_id=nic.port_id)
    return nic, run(tx, ctx, lifecycle.ATTACH_INTERFACE, server, given)
