"""What happens below and concerns servers: a port's addresses change, its owner deletes it, a volume grows.

Rule: a consumer only renews what the server's row repeats; what is to be done on a host, an operation does.
"""

from typing import NamedTuple

from pileus.kernel import events
from pileus.kernel.db import Tx
from pileus.kernel.events import Event
from pileus.kernel.operations import note_done
from pileus.services.compute import ports
from pileus.services.compute.reconcile import devices
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
        devices.take_out(tx, server, event.resource_id)


class _Asked(NamedTuple):
    """Who asked for what an event tells of."""

    request_id: str | None
    user_id: str | None
    project_id: str | None


@events.on("block_storage.volume.extended", name="compute.extended_volumes")
def note_extension(tx: Tx, event: Event) -> None:
    """Have the servers that have a volume tell among their actions that it grew."""
    user_id = (event.initiator or {}).get("user_id")
    for server_id in store.servers_with(tx, event.resource_id):
        asked = _Asked(event.request_id, user_id, event.project_id)
        note_done(tx, asked, store.EXTENDED, store.resource_of(server_id), begun_at=event.at)


def _renew(tx: Tx, port_id: str) -> None:
    nic = store.get_nic(tx, port_id)
    server = store.get_server(tx, nic.server_id) if nic is not None else None
    if server is not None and server.deleted_at is None:
        ports.refresh_addresses(tx, server)
