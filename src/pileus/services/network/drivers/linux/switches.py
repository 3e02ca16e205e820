"""Networks on a host: a bridge each, its tunnel to other hosts, its uplink, the host's own leg in it.

One rule: the host is no party to a bridge: it has no address there, answers no ARP, and drops what is sent to it. It
meets an external network over a veth pair, as a member among others, so security groups hold against the host too.
"""

import ipaddress
import struct

from pileus.services.network.drivers.base import HostNetworkError, StillInUse
from pileus.services.network.drivers.linux import filters, names, namespaces
from pileus.services.network.drivers.linux.host import Host, Removal, alias, alias_id, zone_of
from pileus.services.network.drivers.linux.netlink import Link, attr
from pileus.services.network.wanted import ExternalNetworkSpec, NetworkSpec

FLOOD = "00:00:00:00:00:00"
IFLA_BR_MCAST_SNOOPING = 23
IFLA_VXLAN_ID, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6 = 1, 7, 15, 4, 17


class LegLost(HostNetworkError):
    """The inner end of a veth pair is not in its namespace: somebody took it, or the namespace, away."""


def ensure(host: Host, network: NetworkSpec) -> Link:
    """Make a network's bridge with its tunnel and uplink; return the bridge."""
    host.prepare()
    bridge = _ensure_bridge(host, network)
    if network.vni is None:
        host.netlink.delete_link(host.names.interface(names.VXLAN, network.id))
    elif host.settings.tunnel_ip is not None:
        _ensure_tunnel(host, network, bridge)
    elif network.tunnel_peers or network.remote_macs:
        raise HostNetworkError(
            f"Network {network.id} reaches other hosts, but this host has no tunnel address: set the agent's tunnel_ip."
        )
    if network.physical_network is not None:
        _ensure_uplink(host, network, bridge)
    return bridge


def ensure_external(host: Host, external: ExternalNetworkSpec) -> None:
    bridge = ensure(host, external.network)
    _ensure_host_leg(host, external, bridge)
    chain = f"masquerade_{bridge.name}"
    commands = f"add chain inet {host.table} {chain} {{ type nat hook postrouting priority srcnat; policy accept; }}\n"
    commands += f"flush chain inet {host.table} {chain}\n"
    if not (external.masquerade and external.host_addresses):
        host.nft.apply(f"{commands}delete chain inet {host.table} {chain}")
        return
    host.change_sysctl("net/ipv4/ip_forward", "1")
    leg = host.names.interface(names.HOST_LEG, external.network.id)
    for address in external.host_addresses:
        cidr = ipaddress.ip_interface(address).network
        family = "ip" if cidr.version == 4 else "ip6"
        # Frames on bridges pass here too, by br_netfilter; only what the host routes is hidden.
        match = f'{family} saddr {cidr} oifname != "{leg}" oifname != @bridges'
        commands += f"add rule inet {host.table} {chain} {match} masquerade\n"
    host.nft.apply(commands)


def ensure_gone(host: Host, network_id: str) -> list[Removal]:
    host.prepare()
    name = host.names.interface(names.BRIDGE, network_id)
    bridge = host.netlink.link(name)
    users = [] if bridge is None else _users(host, bridge)
    if users:
        raise StillInUse(f"Network {network_id} still carries {', '.join(users)}: remove these first.")
    chain = f"masquerade_{name}"
    host.nft.apply(
        f"{filters.bridge_gone(host.table, name)}"
        f"{filters.host_leg_gone(host.table, host.names.interface(names.HOST_LEG, network_id))}"
        f"add chain inet {host.table} {chain} {{ type nat hook postrouting priority srcnat; policy accept; }}\n"
        f"delete chain inet {host.table} {chain}"
    )
    letters = (names.HOST_LEG, names.HOST_LEG_PEER, names.VXLAN, names.BRIDGE)
    links = (host.netlink.link(host.names.interface(letter, network_id)) for letter in letters)
    return [host.removal(link) for link in links if link is not None]


def find(host: Host, network_id: str, user: str) -> Link:
    """Return a network's bridge; `user` says who needs it when it is not there."""
    bridge = host.netlink.link(host.names.interface(names.BRIDGE, network_id))
    if bridge is None:
        raise HostNetworkError(f"Network {network_id} is not on this host: call ensure_network before {user}.")
    return bridge


def plug_veth(host: Host, bridge: Link, outer: str, inner: str, *, mac: str, namespace: str, what: str) -> None:
    """Join a namespace to a bridge by a veth pair, or mend the pair that is there."""
    link = host.netlink.link(outer)
    if link is None:
        with open(namespaces.NAMESPACES / namespace, "rb") as target:
            host.netlink.add_veth(outer, inner, peer_mac=mac, mtu=bridge.mtu, peer_namespace_fd=target.fileno())
        link = host.netlink.link(outer)
    if link is None:
        raise HostNetworkError(f"Interface {outer} vanished while it was made; ensure {what} again.")
    if link.alias != what or link.master != bridge.index or link.mtu != bridge.mtu or not link.up:
        quiet(outer)
        host.netlink.set_link(link.index, alias=what, master=bridge.index, mtu=bridge.mtu, up=True)


def quiet(interface: str) -> None:
    """Keep the host's own IPv6 off an interface (call before it is up)."""
    namespaces.set_sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", "1")


def _ensure_bridge(host: Host, network: NetworkSpec) -> Link:
    name = host.names.interface(names.BRIDGE, network.id)
    what = alias("network", network.id)
    link = host.netlink.link(name)
    if link is None:
        host.netlink.add_link(name, "bridge", attr(IFLA_BR_MCAST_SNOOPING, b"\0"), mac=_own_mac(name))
        link = host.netlink.link(name)
    if link is None:
        raise HostNetworkError(f"Bridge {name} vanished while it was made; ensure network {network.id} again.")
    if link.mtu != network.mtu:
        for member in host.links():
            if member.master == link.index:
                host.netlink.set_link(member.index, mtu=network.mtu)
    if link.alias != what or link.mtu != network.mtu or not link.up:
        quiet(name)
        # Else the host would answer on the bridge for whatever address it has anywhere.
        namespaces.set_sysctl(f"net/ipv4/conf/{name}/arp_ignore", "8")
        host.nft.apply(filters.bridge(host.table, name, zone_of(link.index)))
        host.netlink.set_link(link.index, alias=what, mtu=network.mtu, up=True)
        link = host.netlink.link(name) or link
    return link


def _ensure_tunnel(host: Host, network: NetworkSpec, bridge: Link) -> None:
    name, what = host.names.interface(names.VXLAN, network.id), alias("tunnel", network.id)
    link = host.netlink.link(name)
    if link is None:
        local = ipaddress.ip_address(host.settings.tunnel_ip or "")
        host.netlink.add_link(
            name,
            "vxlan",
            attr(IFLA_VXLAN_ID, network.vni or 0),
            attr(IFLA_VXLAN_LOCAL if local.version == 4 else IFLA_VXLAN_LOCAL6, local.packed),
            attr(IFLA_VXLAN_LEARNING, b"\0"),
            attr(IFLA_VXLAN_PORT, struct.pack("!H", host.settings.tunnel_port)),
            mtu=network.mtu,
        )
        quiet(name)
        link = host.netlink.link(name)
    if link is None:
        raise HostNetworkError(f"Tunnel {name} vanished while it was made; ensure network {network.id} again.")
    if link.alias != what or link.master != bridge.index or not link.up:
        host.netlink.set_link(link.index, alias=what, master=bridge.index, mtu=network.mtu, up=True)
    wanted = wanted_forwarding(host, network)
    present = host.netlink.forwarding(link.index)
    for mac, peer in present - wanted:
        host.netlink.delete_forwarding(link.index, mac, peer)
    for mac, peer in wanted - present:
        host.netlink.add_forwarding(link.index, mac, peer)


def wanted_forwarding(host: Host, network: NetworkSpec) -> set[tuple[str, str]]:
    """Return the (MAC, tunnel address) entries of a network's tunnel."""
    own = host.settings.tunnel_ip
    wanted = {(FLOOD, peer) for peer in network.tunnel_peers if peer != own}
    return wanted | {
        (remote.mac.lower(), remote.tunnel_ip) for remote in network.remote_macs if remote.tunnel_ip != own
    }


def _ensure_uplink(host: Host, network: NetworkSpec, bridge: Link) -> None:
    physical = network.physical_network or ""
    nic = host.settings.physical_interfaces.get(physical)
    link = host.netlink.link(nic) if nic else None
    if nic is None:
        return  # A physical network without a NIC here lives between the guests and the host's own leg.
    if link is None:
        raise HostNetworkError(f"Interface {nic} of physical network {physical} does not exist; mend the agent's map.")
    if link.master != bridge.index:
        host.netlink.set_link(link.index, master=bridge.index, up=True)


def _ensure_host_leg(host: Host, external: ExternalNetworkSpec, bridge: Link) -> None:
    network = external.network
    leg, peer = (host.names.interface(letter, network.id) for letter in (names.HOST_LEG, names.HOST_LEG_PEER))
    if not external.host_addresses:
        host.netlink.delete_link(leg)
        host.nft.apply(filters.host_leg_gone(host.table, leg))
        return
    # Closed before it is there: a guest never finds the host open.
    host.nft.apply(filters.host_leg(host.table, leg, host.resolvers, host.settings.guest_tcp_ports))
    link = host.netlink.link(leg)
    _refuse_overlap(host, external, link)
    if link is None:
        host.netlink.add_veth(leg, peer, mtu=network.mtu)
        quiet(peer)
        if not any(":" in address for address in external.host_addresses):
            quiet(leg)
        link = host.netlink.link(leg)
    far = host.netlink.link(peer)
    if link is None or far is None:
        raise HostNetworkError(f"The host's leg {leg} vanished while it was made; ensure network {network.id} again.")
    host.netlink.set_link(far.index, alias=alias("leg", network.id), master=bridge.index, mtu=network.mtu, up=True)
    host.netlink.set_link(link.index, alias=alias("leg", network.id), mtu=network.mtu, up=True)
    present = {address for index, address in host.netlink.addresses() if index == link.index}
    for address in present - set(external.host_addresses):
        host.netlink.delete_address(link.index, address)
    for address in set(external.host_addresses) - present:
        host.netlink.add_address(link.index, address)


def _refuse_overlap(host: Host, external: ExternalNetworkSpec, leg: Link | None) -> None:
    interfaces = {link.index: link.name for link in host.netlink.links()}
    for index, used in host.netlink.addresses():
        if leg is not None and index == leg.index:
            continue
        for address in external.host_addresses:
            if ipaddress.ip_interface(used).network.overlaps(ipaddress.ip_interface(address).network):
                raise HostNetworkError(
                    f"External network {external.network.id} wants {address} on the host, but interface "
                    f"{interfaces.get(index)} has {used} there already: choose another range for one of them."
                )


def _users(host: Host, bridge: Link) -> list[str]:
    users: list[str] = []
    for link in host.links():
        if link.master != bridge.index:
            continue
        for kind in ("port", "dhcp", "router"):
            owner = alias_id(link, kind)
            if owner is not None:
                users.append("DHCP" if kind == "dhcp" else f"{kind} {owner}")
    return users


def _own_mac(name: str) -> str:
    """A stable, locally administered address: else the bridge's would follow its members'."""
    digits = bytes(name.encode())[-5:]
    return (b"\x02" + digits).hex(":")
