"""Floating IPs."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN_OR_MANAGER
from pileus.kernel.rest.regular import Attr, Resource, Tagged
from pileus.services.network.api.root import api
from pileus.services.network.app import floating_ips as app
from pileus.services.network.app.port_values import DnsDomain
from pileus.services.network.app.references import NetworkId, PortId, SubnetId
from pileus.services.network.model import FloatingIp
from pileus.services.network.store import ports


class FloatingIpAttributes(Tagged, kw_only=True):
    floating_network_id: Annotated[NetworkId, Attr(on="cv")]
    subnet_id: Annotated[SubnetId | None, Attr(on="c")] = None
    floating_ip_address: Annotated[str | None, Attr(on="cv", create=ADMIN_OR_MANAGER)] = None
    port_id: PortId | None = None
    fixed_ip_address: str | None = None
    router_id: Annotated[str | None, Attr(on="v")] = None
    status: Annotated[str, Attr(on="v")] = "DOWN"
    port_details: Annotated[dict[str, Any] | None, Attr(on="v", find="", source="")] = None
    dns_name: Annotated[str, msgspec.Meta(max_length=255), Attr(on="cv")] = ""
    dns_domain: Annotated[DnsDomain, Attr(on="cv")] = ""


floating_ips = Resource(
    api, "floatingip", "floatingips", FloatingIpAttributes, FloatingIp, title="Floating IP", tagged=True, whole=True
)
floating_ips.create(app.create_floating_ip)
floating_ips.update(app.update_floating_ip)
floating_ips.delete(app.delete_floating_ip)


@floating_ips.related
def related(tx: Tx, ctx: Context, rows: Sequence[FloatingIp], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    if "port_details" not in wanted:
        return {}
    found = ports.ports(tx, [row.port_id for row in rows if row.port_id is not None])
    details = {
        port.id: {
            "name": port.name,
            "network_id": port.network_id,
            "mac_address": port.mac_address,
            "admin_state_up": port.admin_state_up,
            "status": port.status,
            "device_id": port.device_id,
            "device_owner": port.device_owner,
        }
        for port in found.values()
    }
    return {"port_details": {row.id: details[row.port_id] for row in rows if row.port_id in details}}
