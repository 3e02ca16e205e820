"""What happens below and concerns servers: a port's addresses change, a port is deleted by its owner.

Rule: a consumer only renews what the server's row repeats; what is to be done on a host, an operation does.
"""

from pileus.kernel import events
from pileus.kernel.db import Tx
from pileus.kernel.events import Event
from pileus.services.compute import holdings, ports
from pileus.services.compute.store import servers as store


@events.on(
    "network.port.updated",
    "network.floatingip.created",
    "network.floatingip.updated",
    "network.floatingip.deleted",
    name="compute.addresses",
)
def renew_addresses(tx: Tx, event: Event) -> None:
    """Renew the addresses of the servers whose ports an event names."""
    named = {event.resource_id, event.payload.get("port_id"), event.payload.get("old_port_id")}
    for port_id in named - {None}:
        _renew(tx, str(port_id))


@events.on("network.port.deleted", name="compute.lost_ports")
def forget_port(tx: Tx, event: Event) -> None:
    """Forget a card whose port is gone, and have the guest let go of it."""
    nic = store.get_nic(tx, event.resource_id)
    if nic is None:
        return
    server = store.get_server(tx, nic.server_id)
    tx.delete(nic)
    tx.flush()
    if server is not None and server.deleted_at is None:
        ports.refresh_addresses(tx, server)
        holdings.take_out(tx, server, event.resource_id)


def _renew(tx: Tx, port_id: str) -> None:
    nic = store.get_nic(tx, port_id)
    server = store.get_server(tx, nic.server_id) if nic is not None else None
    if server is not None and server.deleted_at is None:
        ports.refresh_addresses(tx, server)
