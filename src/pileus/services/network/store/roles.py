"""What a port is to the cloud: a server's card, a router's leg, a DHCP server's, a floating IP's.

Rule: ``role`` and ``holder_id`` of a port are written here and nowhere else, and they decide.  ``device_owner`` and
``device_id`` only show it: users may set these words, so nothing is believed because of them.
"""

from typing import Any

from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden
from pileus.services.network.model import DHCP, FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE, SERVER, Port, Router
from pileus.services.network.store import sharing

ROUTED = (ROUTER_INTERFACE, ROUTER_GATEWAY)
ENDS = {
    SERVER: "detach it from the server (DELETE /servers/{holder}/os-interface/{port})",
    ROUTER_INTERFACE: "remove the interface from the router (PUT /routers/{holder}/remove_router_interface)",
    ROUTER_GATEWAY: "change the router's external_gateway_info",
    FLOATING_IP: "delete floating IP {holder}",
    DHCP: "it goes when its host serves the network no longer",
}
"""How a role of a port ends."""
MAKERS = {
    ROUTER_INTERFACE: "PUT /routers/{id}/add_router_interface",
    ROUTER_GATEWAY: "external_gateway_info of a router",
    FLOATING_IP: "POST /floatingips",
    DHCP: "enable_dhcp of a subnet",
}
"""What gives a port the role whose name a user may not claim."""


def held(role: str, holder_id: str, device_owner: str = "") -> dict[str, Any]:
    """Return the columns of a new port that is held in a role; ``device_owner`` is the role's own name if not told."""
    return {"role": role, "holder_id": holder_id, "device_id": holder_id, "device_owner": device_owner or role}


def hold(port: Port, role: str, holder_id: str, device_owner: str = "") -> None:
    """Give a port that is there a role."""
    for name, value in held(role, holder_id, device_owner).items():
        setattr(port, name, value)


def release(port: Port) -> None:
    """Take a port's role, and the words that showed it."""
    port.role = port.holder_id = port.device_id = port.device_owner = ""


def is_free(port: Port, holder_id: str) -> bool:
    """Tell whether a port may be given to a server or a router.

    One that bears another device's id is left alone although it has no role: Nova and Neutron refuse it, so that is
    how programs beside them keep a port for themselves.
    """
    return port.holder_id == holder_id if port.role else port.device_id in ("", holder_id)


def is_guest(port: Port) -> bool:
    """Tell whether a port is a server's or free for one, rather than part of the network itself."""
    return not port.role or port.role == SERVER


GUESTS = Port.role.in_(("", SERVER))
"""The same as a condition."""


def check_words(tx: Tx, ctx: Context, project_id: str, device_id: str, device_owner: str) -> None:
    """Refuse words by which a port would look like what it is not.

    Raises Forbidden for a role's name, and Conflict (as Neutron: DeviceIDNotOwnedByTenant) for the id of a router or a
    server of another project.  Operators and services may name any device.
    """
    if device_owner in MAKERS:
        raise Forbidden(
            f"device_owner '{device_owner}' is written by the Networking service only: use {MAKERS[device_owner]}.",
            kind="PolicyNotAuthorized",
        )
    if not device_id or sharing.sees_all(ctx):
        return
    router = tx.get(Router, device_id)
    owners = {router.project_id} if router is not None else _holders(tx, device_id)
    if owners - {project_id}:
        raise Conflict(
            f"The following device_id {device_id} is not owned by your tenant or matches another tenants router.",
            kind="DeviceIDNotOwnedByTenant",
        )


def check_held(port: Port, device_id: str, device_owner: str) -> None:
    """Refuse other words on a port that has a role: they show who holds it."""
    if port.role and (device_id, device_owner) != (port.device_id, port.device_owner):
        how = ENDS[port.role].format(holder=port.holder_id, port=port.id)
        raise Conflict(
            f"device_id and device_owner of port {port.id} cannot be changed while it is held by {port.holder_id} as"
            f" {port.device_owner}: {how}.",
            kind="PortInUse",
        )


def _holders(tx: Tx, server_id: str) -> set[str]:
    cards = select(Port.project_id).where(Port.holder_id == server_id, Port.role == SERVER)
    return set(tx.scalars(cards.distinct()))
