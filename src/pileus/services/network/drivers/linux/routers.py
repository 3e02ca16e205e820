"""Routers: a namespace each, its legs on bridges, its routes and its address translation.

One rule: translation is one table, replaced as a whole in one transaction; open connections live in connection
tracking and are not disturbed. Only what lost its floating IP is cut.
"""

import ipaddress
import socket
import struct
from functools import partial

from pileus.services.network.drivers.linux import conntrack, names, namespaces, switches
from pileus.services.network.drivers.linux.host import Host, Removal, alias
from pileus.services.network.drivers.linux.names import PREFIX, inner
from pileus.services.network.drivers.linux.netlink import Link, Netlink
from pileus.services.network.drivers.linux.nftables import Nft
from pileus.services.network.wanted import METADATA_IP, RouterLeg, RouterSpec

STATIC = 4  # the route protocol of routes that are ours to remove


def ensure(host: Host, router: RouterSpec) -> str:
    """Make a router exactly as given; return its namespace, in which metadata is to be answered."""
    host.prepare()
    legs = [("qr", leg) for leg in router.interfaces] + ([("qg", router.gateway)] if router.gateway else [])
    bridges = [switches.find(host, leg.network_id, f"router {router.id}") for _, leg in legs]
    namespace = host.names.router_namespace(router.id)
    namespaces.make(namespace)
    wanted = {host.names.interface(names.PLUG, leg.port_id) for _, leg in legs}
    for link in host.links():
        if link.alias == alias("router", router.id) and link.name not in wanted:
            host.netlink.delete_link(link.name)
    mtus = {inner(prefix, leg.port_id): bridge.mtu for (prefix, leg), bridge in zip(legs, bridges, strict=True)}

    def plug() -> None:
        for (prefix, leg), bridge in zip(legs, bridges, strict=True):
            outer = host.names.interface(names.PLUG, leg.port_id)
            what = alias("router", router.id)
            end = inner(prefix, leg.port_id)
            switches.plug_veth(host, bridge, outer, end, mac=leg.mac, namespace=namespace, what=what)
        namespaces.inside(namespace, lambda: _configure(router, mtus))

    try:
        plug()
    except switches.LegLost:
        for name in wanted:
            host.netlink.delete_link(name)
        plug()
    return namespace


def ensure_gone(host: Host, router_id: str) -> list[Removal]:
    legs = [link for link in host.links() if link.alias == alias("router", router_id)]
    namespace = host.names.router_namespace(router_id)
    return [*(host.removal(link) for link in legs), partial(namespaces.remove, namespace)]


TABLE = f"{PREFIX}_router"


def translation(router: RouterSpec) -> str:
    """Write a router's nftables table."""
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for name, (head, rules) in chains(router).items():
        lines += [f"chain {name} {{ {head}", *rules, "}"]
    return "\n".join([*lines, "}"])


def chains(router: RouterSpec) -> dict[str, tuple[str, list[str]]]:
    """Return the chains: floating IPs both ways, source translation, who may ask for metadata, what passes through."""
    inward = [inner("qr", leg.port_id) for leg in router.interfaces]
    before, after, guard, through = [], [], [], []
    if router.gateway is not None:
        outside = inner("qg", router.gateway.port_id)
        own = next((a.split("/")[0] for a in router.gateway.addresses if ":" not in a), None)
        pairs = [(fip.floating_ip, fip.fixed_ip) for fip in router.floating_ips]
        if pairs:
            there = ", ".join(f"{floating} : {fixed}" for floating, fixed in pairs)
            back = ", ".join(f"{fixed} : {floating}" for floating, fixed in pairs)
            before += [f"dnat ip to ip daddr map {{ {there} }}"]
            after += [f'oifname "{outside}" snat ip to ip saddr map {{ {back} }}']
        if own is not None and router.enable_snat:
            after += [f'oifname "{outside}" meta nfproto ipv4 snat ip to {own}']
        if own is not None and pairs:
            # A guest that calls a floating IP of its own router must get its answers through the router too.
            after += [f'iifname != "{outside}" oifname != "{outside}" ct status dnat snat ip to {own}']
        guard += [f'iifname "{outside}" ip daddr {METADATA_IP} drop']
        if router.enable_snat:
            # Behind translation a tenant's addresses are private: from outside only floating IPs lead to them, whatever
            # routes a neighbour on the external network has set. Without it the router routes, as an operator asked.
            through += [
                "ct state established,related accept",
                f'iifname "{outside}" ct status dnat accept',
                f'iifname "{outside}" meta nfproto ipv4 drop',
            ]
    if not router.admin_up:
        guard += ["drop"]
    if not inward or not router.metadata:
        guard += [f"ip daddr {METADATA_IP} drop"]
    accept = "accept" if router.admin_up else "drop"
    return {
        "before": ("type nat hook prerouting priority dstnat; policy accept;", before),
        "after": ("type nat hook postrouting priority srcnat; policy accept;", after),
        "guard": ("type filter hook input priority filter; policy accept;", guard),
        "through": (f"type filter hook forward priority filter; policy {accept};", through if router.admin_up else []),
    }


def _configure(router: RouterSpec, mtus: dict[str, int]) -> None:
    namespaces.set_sysctl("net/ipv4/ip_forward", "1")
    namespaces.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    namespaces.set_sysctl("net/ipv6/conf/default/accept_ra", "0")
    with Nft() as nft:
        nft.apply(translation(router))
    with Netlink() as netlink:
        loopback = netlink.link("lo")
        if loopback is not None:
            if not loopback.up:
                netlink.set_link(loopback.index, up=True)
            _set_addresses(
                netlink, loopback, {f"{METADATA_IP}/32"} if router.metadata else set(), {"127.0.0.1/8", "::1/128"}
            )
        for leg in router.interfaces:
            _set_leg(netlink, leg, inner("qr", leg.port_id), set(leg.addresses), mtus)
        outside: Link | None = None
        if router.gateway is not None:
            name = inner("qg", router.gateway.port_id)
            floating = {single(fip.floating_ip) for fip in router.floating_ips}
            outside = _set_leg(netlink, router.gateway, name, {*router.gateway.addresses, *floating}, mtus)
        _set_routes(netlink, router, outside)


def _set_leg(netlink: Netlink, leg: RouterLeg, name: str, addresses: set[str], mtus: dict[str, int]) -> Link:
    link = netlink.link(name)
    if link is None:
        raise switches.LegLost(f"Interface {name} is not in its router's namespace; ensure the router again.")
    if link.mac != leg.mac.lower() or link.mtu != mtus[name] or not link.up:
        # The control plane hands out MACs, so link-local addresses are unique; advertisements need them at once.
        namespaces.set_sysctl(f"net/ipv6/conf/{name}/accept_dad", "0")
        netlink.set_link(link.index, up=True, mac=leg.mac, mtu=mtus[name])
    added, removed = _set_addresses(netlink, link, addresses)
    if removed:
        conntrack.cut({0: [address.split("/")[0] for address in removed]})
    _announce(name, leg.mac, [address.split("/")[0] for address in added if ":" not in address])
    return link


def _set_addresses(
    netlink: Netlink, link: Link, wanted: set[str], keep: frozenset[str] | set[str] = frozenset()
) -> tuple[set[str], set[str]]:
    present = {address for index, address in netlink.addresses() if index == link.index} - keep
    for address in present - wanted:
        netlink.delete_address(link.index, address)
    for address in wanted - present:
        netlink.add_address(link.index, address)
    return wanted - present, present - wanted


def _set_routes(netlink: Netlink, router: RouterSpec, outside: Link | None) -> None:
    wanted: dict[str, tuple[str, int | None]] = {}
    for nexthop in router.nexthops if outside else ():
        wanted["::/0" if ":" in nexthop else "0.0.0.0/0"] = (nexthop, outside.index if outside else None)
    for route in router.routes:
        wanted[str(ipaddress.ip_network(route.destination, strict=False))] = (route.nexthop, None)
    present = {entry.destination: entry for entry in netlink.routes() if entry.protocol == STATIC}
    for destination, entry in present.items():
        if destination not in wanted:
            netlink.delete_route(destination, entry.nexthop, entry.index)
    for destination, (nexthop, index) in wanted.items():
        entry = present.get(destination)
        if entry is None or entry.nexthop != nexthop:
            # The provider's gateway may lie outside the leg's own subnet, so an outward route needs no proof of it.
            netlink.replace_route(destination, nexthop, index, onlink=index is not None)


def single(ip: str) -> str:
    return f"{ip}/32" if ":" not in ip else f"{ip}/128"


def _announce(interface: str, mac: str, ips: list[str]) -> None:
    """Tell neighbours by gratuitous ARP (RFC 5227) that these addresses are here now."""
    if not ips:
        return
    hardware = bytes.fromhex(mac.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as sender:
        sender.bind((interface, 0))
        for ip in ips:
            own = ipaddress.ip_address(ip).packed
            arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hardware + own + b"\0" * 6 + own
            sender.send(b"\xff" * 6 + hardware + b"\x08\x06" + arp)
