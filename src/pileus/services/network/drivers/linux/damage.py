"""What somebody else's hand took from what was made, read from the kernel itself.

One rule: each check compares one spec with the host and says what is amiss; it changes nothing. What it finds is mended
by ensuring the thing again.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.linux import dhcp as dhcp_server
from pileus.services.network.drivers.linux import names, namespaces, routers, switches
from pileus.services.network.drivers.linux.host import Host
from pileus.services.network.drivers.linux.names import inner
from pileus.services.network.drivers.linux.netlink import Link, Netlink
from pileus.services.network.drivers.linux.nftables import Nft
from pileus.services.network.wanted import (
    DhcpSpec,
    ExternalNetworkSpec,
    Lost,
    NetworkSpec,
    Plug,
    PortSpec,
    RouterSpec,
)

Spec = NetworkSpec | ExternalNetworkSpec | PortSpec | DhcpSpec | RouterSpec


@dataclass(frozen=True)
class Seen:
    """The host's interfaces by name, and of its tables the elements of each set and map and the rules of each chain."""

    links: dict[str, Link]
    elements: dict[str, set[str]]
    rules: dict[str, int]


def look(host: Host) -> Seen:
    """Read what all checks share, once for a round."""
    elements: dict[str, set[str]] = {}
    rules: dict[str, int] = {}
    for family in ("inet", "bridge"):
        for entry in host.nft.list(f"table {family} {host.table}"):
            held = entry.get("map") or entry.get("set")
            if held is not None:
                keys = [one[0] if isinstance(one, list) else one for one in held.get("elem", [])]
                elements[held["name"]] = {str(key) for key in keys}
            elif "rule" in entry:
                chain = entry["rule"]["chain"]
                rules[chain] = rules.get(chain, 0) + 1
    return Seen({link.name: link for link in host.links()}, elements, rules)


def found(host: Host, spec: Spec, seen: Seen) -> list[Lost]:
    """Say what is amiss with one thing; something that cannot be looked at is."""
    match spec:
        case NetworkSpec():
            kind, id, amiss = "networks", spec.id, _network(host, spec, seen)
        case ExternalNetworkSpec():
            kind, id, amiss = "networks", spec.network.id, _external(host, spec, seen)
        case PortSpec():
            kind, id, amiss = "ports", spec.id, _port(host, spec, seen)
        case DhcpSpec():
            kind, id, amiss = "dhcp", spec.network_id, _dhcp(host, spec, seen)
        case RouterSpec():
            kind, id, amiss = "routers", spec.id, _router(host, spec, seen)
    try:
        what = list(amiss)
    except HostNetworkError as error:
        what = [str(error)]
    lost = [Lost(kind=kind, id=id, what=", ".join(what))] if what else []
    if isinstance(spec, PortSpec) and _unheld(host, spec, seen):
        lost.append(Lost(kind="plugs", id=id, what="no guest holds its tap"))
    return lost


def _unheld(host: Host, spec: PortSpec, seen: Seen) -> bool:
    """Tell whether a port's tap is there and up and no guest holds it."""
    link = seen.links.get(host.names.interface(names.TAP, spec.id)) if spec.plug is Plug.TAP else None
    return link is not None and link.up and not link.carrier


def _bridge(host: Host, seen: Seen, network_id: str) -> Link | None:
    return seen.links.get(host.names.interface(names.BRIDGE, network_id))


def _network(host: Host, spec: NetworkSpec, seen: Seen) -> Iterator[str]:
    name = host.names.interface(names.BRIDGE, spec.id)
    bridge = seen.links.get(name)
    if bridge is None:
        yield f"bridge {name} is gone"
        return
    if not bridge.up:
        yield f"bridge {name} is down"
    if name not in seen.elements.get("bridges", ()) or name not in seen.elements.get("zones", ()):
        yield f"the filters do not know bridge {name}"
    if spec.vni is not None and host.settings.tunnel_ip is not None:
        yield from _tunnel(host, spec, bridge, seen)
    nic = host.settings.physical_interfaces.get(spec.physical_network or "")
    uplink = host.netlink.link(nic) if nic else None
    if uplink is not None and uplink.master != bridge.index:
        yield f"uplink {nic} is not in bridge {name}"


def _tunnel(host: Host, spec: NetworkSpec, bridge: Link, seen: Seen) -> Iterator[str]:
    name = host.names.interface(names.VXLAN, spec.id)
    link = seen.links.get(name)
    yield from _member(link, name, bridge)
    if link is not None:
        lost = switches.wanted_forwarding(host, spec) - host.netlink.forwarding(link.index)
        if lost:
            yield f"{len(lost)} forwarding entries of tunnel {name} are gone"


def _external(host: Host, spec: ExternalNetworkSpec, seen: Seen) -> Iterator[str]:
    yield from _network(host, spec.network, seen)
    bridge = _bridge(host, seen, spec.network.id)
    if bridge is None or not spec.host_addresses:
        return
    leg, peer = (host.names.interface(letter, spec.network.id) for letter in (names.HOST_LEG, names.HOST_LEG_PEER))
    yield from _member(seen.links.get(peer), peer, bridge)
    link = seen.links.get(leg)
    if link is None or not link.up:
        yield f"the host's leg {leg} is gone or down"
    else:
        present = {address for index, address in host.netlink.addresses() if index == link.index}
        yield from (f"{address} of {leg} is gone" for address in sorted({*spec.host_addresses} - present))
    if leg not in seen.elements.get("host_legs", ()) or not seen.rules.get("through_leg"):
        yield f"the host is not closed to guests on {leg}"
    if spec.masquerade and not seen.rules.get(f"masquerade_{bridge.name}"):
        yield "the rules that hide guests behind the host's address are gone"


def _port(host: Host, spec: PortSpec, seen: Seen) -> Iterator[str]:
    name = host.names.interface(names.TAP if spec.plug is Plug.TAP else names.PLUG, spec.id)
    link, bridge = seen.links.get(name), _bridge(host, seen, spec.network_id)
    if link is None:
        yield f"interface {name} is gone"
        return
    if bridge is None or link.master != bridge.index:
        yield f"{name} is not in its bridge"
    if link.up != spec.admin_up:
        yield f"{name} is {'up' if link.up else 'down'}"
    if spec.port_security:
        known = (str(link.index) in seen.elements.get("ingress", ()), name in seen.elements.get("guards", ()))
        if not all(known) or name not in seen.elements.get("receivers", ()):
            yield f"the filters do not know {name}"


def _dhcp(host: Host, spec: DhcpSpec, seen: Seen) -> Iterator[str]:
    outer = host.names.interface(names.PLUG, spec.port_id)
    yield from _member(seen.links.get(outer), outer, _bridge(host, seen, spec.network_id))
    namespace, end = host.names.dhcp_namespace(spec.network_id), inner("ns", spec.port_id)
    routes = {"0.0.0.0/0"} if dhcp_server.way_out(spec) else set[str]()
    yield from namespaces.inside(namespace, lambda: _legs({end: dhcp_server.own_addresses(spec)}, routes))
    if lost := dhcp_server.files_lost(host, spec.network_id):
        yield f"the server's files are gone: {', '.join(lost)}"
    pid = dhcp_server.pid(host, spec.network_id)
    if pid is None or not namespaces.contains(namespace, pid):
        yield "no server runs there"


def _router(host: Host, spec: RouterSpec, seen: Seen) -> Iterator[str]:
    legs = [("qr", leg) for leg in spec.interfaces] + ([("qg", spec.gateway)] if spec.gateway else [])
    for _, leg in legs:
        outer = host.names.interface(names.PLUG, leg.port_id)
        yield from _member(seen.links.get(outer), outer, _bridge(host, seen, leg.network_id))
    wanted = {inner(prefix, leg.port_id): set(leg.addresses) for prefix, leg in legs}
    if spec.gateway is not None:
        wanted[inner("qg", spec.gateway.port_id)] |= {routers.single(one.floating_ip) for one in spec.floating_ips}
    routes = {str(ipaddress.ip_network(route.destination, strict=False)) for route in spec.routes}
    if spec.gateway is not None:
        routes |= {"::/0" if ":" in nexthop else "0.0.0.0/0" for nexthop in spec.nexthops}
    yield from namespaces.inside(
        host.names.router_namespace(spec.id), lambda: [*_legs(wanted, routes), *_translation(spec)]
    )


def _member(link: Link | None, name: str, bridge: Link | None) -> Iterator[str]:
    if link is None:
        yield f"interface {name} is gone"
    elif bridge is None or link.master != bridge.index:
        yield f"{name} is not in its bridge"
    elif not link.up:
        yield f"{name} is down"


def _legs(wanted: dict[str, set[str]], routes: set[str]) -> list[str]:
    """Look, inside a namespace, for interfaces with their addresses, and for destinations."""
    amiss: list[str] = []
    with Netlink() as netlink:
        held = netlink.addresses()
        for name, addresses in wanted.items():
            link = netlink.link(name)
            if link is None or not link.up:
                amiss.append(f"{name} is {'gone' if link is None else 'down'}")
                continue
            present = {address for index, address in held if index == link.index}
            amiss += [f"{address} of {name} is gone" for address in sorted(addresses - present)]
        there = {entry.destination for entry in netlink.routes()}
        amiss += [f"the route to {destination} is gone" for destination in sorted(routes - there)]
    return amiss


def _translation(spec: RouterSpec) -> list[str]:
    counted: dict[str, int] = {}
    with Nft() as nft:
        for entry in nft.list(f"table inet {routers.TABLE}"):
            name = entry["rule"]["chain"] if "rule" in entry else entry.get("chain", {}).get("name")
            counted[name] = counted.get(name, -1) + 1
    wanted = {name: len(rules) for name, (_, rules) in routers.chains(spec).items()}
    return [f"rules of chain {name} are gone" for name, number in wanted.items() if counted.get(name, -1) < number]
