"""Networks: their segment, their size of packets, who may use them, and when they may go."""

from typing import Any

from sqlalchemy import delete

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.services.network.app import groups, limits, telling
from pileus.services.network.app.refusals import invalid
from pileus.services.network.app.sharing import dependents
from pileus.services.network.model import (
    DHCP,
    EXTERNAL,
    SHARED,
    FloatingIp,
    Network,
    NetworkSettings,
    Port,
    Subnet,
)
from pileus.services.network.store import addresses, ports, roles, routers, sharing
from pileus.services.network.store import networks as store

TYPES = ("local", "flat", "vxlan")
OVERHEAD = {"vxlan": 50}
LEAST_MTU = {4: 68, 6: 1280}
"""https://www.rfc-editor.org/rfc/rfc791 and https://www.rfc-editor.org/rfc/rfc8200#section-5"""


def create_network(tx: Tx, ctx: Context, body: Any, settings: NetworkSettings) -> Network:
    """Add a network with a segment of its own."""
    limits.claim(tx, body.project_id, "network")
    if body.project_id:
        groups.default_group(tx, body.project_id)
    kind, physical, number = _segment(tx, body, settings)
    row = Network(
        project_id=body.project_id,
        name=body.name,
        description=body.description,
        admin_state_up=body.admin_state_up,
        port_security_enabled=body.port_security_enabled,
        is_default=body.is_default,
        dns_domain=body.dns_domain,
        availability_zone_hints=body.availability_zone_hints,
        network_type=kind,
        physical_network=physical,
        segmentation_id=number,
        mtu=_mtu(body.mtu, kind, settings),
    )
    _check_default(body.is_default, body.router_external)
    tx.add(row)
    tx.flush()
    if body.shared:
        sharing.set_everybody(tx, "network", row, SHARED, True)
    if body.router_external:
        sharing.set_everybody(tx, "network", row, EXTERNAL, True)
    return row


def _check_default(is_default: bool, external: bool) -> None:
    if is_default and not external:
        raise invalid("is_default can only be true for an external network: set router:external as well.")


def _segment(tx: Tx, body: Any, settings: NetworkSettings) -> tuple[str, str | None, int | None]:
    """Return type, physical network and segment as asked for, or the next free ones of the default type."""
    kind, physical, number = body.network_type, body.physical_network, body.segmentation_id
    if kind is None and (physical is not None or number is not None):
        raise invalid("provider:network_type is required with provider:physical_network or provider:segmentation_id.")
    kind = kind or settings.tenant_network_type
    if kind not in TYPES:
        raise invalid(f"provider:network_type '{kind}' is not served here; the types are {', '.join(TYPES)}.")
    if kind == "flat":
        if physical is None or number is not None:
            raise invalid("a flat network takes provider:physical_network and no provider:segmentation_id.")
        if store.segment_taken(tx, kind, physical, None):
            raise Conflict(
                f"Unable to create the flat network. Physical network {physical} is in use.", kind="FlatNetworkInUse"
            )
        return kind, physical, None
    if physical is not None:
        raise invalid(f"a network of type {kind} takes no provider:physical_network.")
    if kind == "local":
        if number is not None:
            raise invalid("a local network takes no provider:segmentation_id.")
        return kind, None, None
    return kind, None, _vni(tx, number, settings)


def _vni(tx: Tx, number: int | None, settings: NetworkSettings) -> int:
    first, last = settings.vni_first, settings.vni_last
    if number is not None:
        if not 1 <= number <= 16777215:
            raise invalid(f"provider:segmentation_id {number} is not between 1 and 16777215.")
        if store.segment_taken(tx, "vxlan", None, number):
            raise Conflict(f"Unable to create the network. The tunnel ID {number} is in use.", kind="TunnelIdInUse")
        return number
    highest = store.highest_segment(tx, "vxlan", first, last)
    if highest is None or highest < last:
        return first if highest is None else highest + 1
    used = store.used_segments(tx, "vxlan")
    free = next((candidate for candidate in range(first, last + 1) if candidate not in used), None)
    if free is None:
        raise Conflict(
            "Unable to create the network. No tenant network is available for allocation: all VXLAN segments"
            f" from {first} to {last} are in use.",
            kind="NoNetworkAvailable",
        )
    return free


def _mtu(asked: int, kind: str, settings: NetworkSettings) -> int:
    most = settings.underlay_mtu - OVERHEAD.get(kind, 0)
    if asked > most:
        raise invalid(f"requested MTU is too big, maximum is {most} for networks of type {kind}.")
    return asked or most


def check_mtu(network_id: str, mtu: int, ip_version: int) -> None:
    """Raise Conflict when packets of a network are smaller than a subnet's IP version must be able to send."""
    least = LEAST_MTU[ip_version]
    if mtu < least:
        raise Conflict(
            f"MTU of {network_id} is not valid, subnet requires a minimum of {least}; it is {mtu}.",
            kind="NetworkMTUSubnetConflict",
        )


def update_network(tx: Tx, ctx: Context, row: Network, changes: dict[str, Any], settings: NetworkSettings) -> None:
    """Apply changes; what others rely on cannot be taken from them."""
    if "shared" in changes:
        _set_shared(tx, row, changes.pop("shared"))
    if "router_external" in changes:
        _set_external(tx, row, changes.pop("router_external"))
    if {"network_type", "physical_network", "segmentation_id"} & changes.keys():
        raise invalid("the provider attributes of a network cannot be changed: create another network.")
    if "mtu" in changes:
        changes["mtu"] = _mtu(changes["mtu"], row.network_type, settings)
        for subnet in store.subnets_of(tx, [row.id]).get(row.id, []):
            check_mtu(row.id, changes["mtu"], subnet.ip_version)
    if changes.get("is_default"):
        _check_default(True, sharing.is_external(tx, row.id))
    for name, value in changes.items():
        setattr(row, name, value)
    if {"mtu", "admin_state_up", "dns_domain"} & changes.keys():
        telling.network_changed(tx, row.id)


def _set_shared(tx: Tx, row: Network, wanted: bool) -> None:
    entry = sharing.everybody(tx, "network", row.id, SHARED)
    if not wanted and entry is not None and dependents(tx, entry):
        raise Conflict(
            f"Unable to reconfigure sharing settings for network {row.id}. Multiple tenants are using it.",
            kind="InvalidSharedSetting",
        )
    sharing.set_everybody(tx, "network", row, SHARED, wanted)


def _set_external(tx: Tx, row: Network, wanted: bool) -> None:
    if not wanted and any(not roles.is_guest(port) for port in _used(tx, row.id)):
        raise Conflict(
            f"External network {row.id} cannot be updated to be made non-external, since it has existing gateway ports"
            " or floating IPs.",
            kind="ExternalNetworkInUse",
        )
    if not wanted:
        sharing.delete_shares(tx, row.id, EXTERNAL)
    elif not sharing.is_external(tx, row.id):
        sharing.set_everybody(tx, "network", row, EXTERNAL, True)


def _used(tx: Tx, network_id: str) -> list[Port]:
    return [port for port in store.ports_on(tx, network_id) if port.role != DHCP]


def delete_network(tx: Tx, ctx: Context, row: Network) -> None:
    """Remove a network with its subnets, DHCP ports and unassociated floating IPs, unless other ports are on it."""
    idle = routers.idle_floating_ips(tx, row.id)
    used = [port for port in _used(tx, row.id) if port.id not in idle]
    if used:
        owners = ", ".join(sorted({f"{port.id} ({port.device_owner or 'no device'})" for port in used[:5]}))
        raise Conflict(
            f"Unable to complete operation on network {row.id}. There are one or more ports still in use on the"
            f" network: {owners}. Delete them first.",
            kind="NetworkInUse",
        )
    telling.network_changed(tx, row.id)
    gone = [*idle, *(port.id for port in ports.dhcp_ports(tx, row.id))]
    addresses.release(tx, gone)
    tx.execute(delete(FloatingIp).where(FloatingIp.floating_network_id == row.id))
    tx.execute(delete(Port).where(Port.network_id == row.id))
    tx.execute(delete(Subnet).where(Subnet.network_id == row.id))
    sharing.delete_shares(tx, row.id)
    tx.delete(row)
