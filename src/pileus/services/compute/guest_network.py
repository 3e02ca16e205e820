"""What a guest is told of its networks, and how the metadata service knows which guest asks."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden
from pileus.kernel.runtime import Runtime
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store
from pileus.services.network import public

SIGNATURES = public.metadata_signature


def network_data(tx: Tx, server_id: str) -> dict[str, Any]:
    """Return ``network_data.json`` of a server."""
    nics = store.list_nics(tx, server_id)
    ports = public.ports_by_id(tx, [nic.port_id for nic in nics])
    subnets = {
        subnet.id: subnet
        for found in public.subnets_of_networks(tx, sorted({nic.network_id for nic in nics})).values()
        for subnet in found
    }
    links, networks, servers = [], [], {}
    for nic in nics:
        port = ports.get(nic.port_id)
        if port is None:
            continue
        link = f"tap{port.id[:11]}"
        links.append({"id": link, "vif_id": port.id, "type": "tap", "mtu": port.mtu, "ethernet_mac_address": port.mac})
        for fixed in port.fixed_ips:
            subnet = subnets[fixed.subnet_id]
            networks.append(_network(len(networks), link, port.network_id, fixed.ip, subnet))
            servers.update(dict.fromkeys(subnet.dns_nameservers))
    return {
        "links": links,
        "networks": networks,
        "services": [{"type": "dns", "address": address} for address in servers],
    }


def _network(number: int, link: str, network_id: str, ip: str, subnet: public.SubnetFacts) -> dict[str, Any]:
    version = subnet.ip_version
    found: dict[str, Any] = {
        "id": f"network{number}",
        "type": f"ipv{version}_dhcp" if subnet.enable_dhcp else f"ipv{version}",
        "link": link,
        "network_id": network_id,
    }
    if subnet.enable_dhcp and version == 4:
        return found
    gateway = [("0.0.0.0/0" if version == 4 else "::/0", subnet.gateway_ip)] if subnet.gateway_ip else []
    routes = [
        {"network": str(net.network_address), "netmask": str(net.netmask), "gateway": hop}
        for destination, hop in [*gateway, *subnet.host_routes]
        if (net := ip_network(destination, strict=False))
    ]
    return {
        **found,
        "ip_address": ip,
        "netmask": str(ip_network(subnet.cidr).netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": address} for address in subnet.dns_nameservers],
    }


def proven_source(runtime: Runtime, headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return (header, network or router id, guest's address) of a signed request; raise Forbidden otherwise."""
    address = headers.get(SIGNATURES.ADDRESS_HEADER.lower(), "").split(",")[0].strip()
    signature = headers.get(SIGNATURES.SIGNATURE_HEADER.lower(), "")
    secret = SIGNATURES.shared_secret(runtime.config.state)
    for header in (SIGNATURES.NETWORK_HEADER, SIGNATURES.ROUTER_HEADER):
        source = headers.get(header.lower())
        if source and SIGNATURES.verify(secret, header, source, address, signature):
            return header, source, address
    raise Forbidden("Metadata is for guests: the request does not carry the signature of a host's proxy.")


def server_at(tx: Tx, header: str, source: str, address: str) -> Server | None:
    """Return the server that asked from an address on a network, or through a router.

    The port that has the address tells nothing by itself: a server's card is what compute's own row says, and the
    port must be of the server's project (as Nova has it of the proxy's ``X-Tenant-ID``).
    """
    by_network = header == SIGNATURES.NETWORK_HEADER
    port = public.find_guest(
        tx, address, network_id=source if by_network else None, router_id=None if by_network else source
    )
    nic = store.get_nic(tx, port.id) if port is not None else None
    server = store.get_server(tx, nic.server_id) if nic is not None else None
    if port is None or server is None or server.deleted_at is not None or server.project_id != port.project_id:
        return None
    return server
