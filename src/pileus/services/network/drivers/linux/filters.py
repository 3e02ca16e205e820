"""Security groups and anti-spoofing as nftables text: pure functions from desired state to one transaction.

One rule: every text may be applied to any earlier state. So whatever belongs to one port or group is the content of
chains named after it (flushed and refilled), and removal first adds what it then deletes.

The way of a frame from guest A to guest B on a bridge (this kernel's bridge family knows no connection tracking, so
br_netfilter lends the inet hooks, where in turn only the bridge is known but not its ports; the mark carries those):

| hook | chain | does |
| --- | --- | --- |
| bridge prerouting -400 | guard_A | drops forged MAC, IP, ARP and ND; mark = A's number and EGRESS |
| inet prerouting raw | zone_bridge | a conntrack zone for each bridge keeps overlapping cidrs apart |
| inet prerouting mangle | out_A | A's egress rules, once for each frame |
| bridge forward -200 | to_B | mark = B's number |
| inet forward | in_B | B's ingress rules, once for each receiver |
"""

import ipaddress
from collections.abc import Iterable

from pileus.services.network.wanted import PortSpec, RuleSpec, SecurityGroupSpec

EGRESS = 0x80000000  # tells a sender's number from a receiver's

# The names the API allows, with IANA's numbers.
# fmt: off
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41, "ipv6-route": 43,
    "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132, "udplite": 136,
}
# fmt: on
_WITH_PORTS = {6, 17, 33, 132, 136}
_NEIGHBOURS = (
    "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }"
)

# What is the same for every port stands in shared chains: nft loads every anonymous set there is for each transaction.
_GUARD_FIRST = (
    "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
    "ether type ip udp sport 67 udp dport 68 drop",
    "ether type ip6 udp sport 547 udp dport 546 drop",
    "icmpv6 type { nd-router-advert, nd-redirect } drop",
)
_GUARD_LAST = (f"ip6 saddr :: icmpv6 type {_NEIGHBOURS} accept",)
_OUT_FIRST = (
    "udp sport 68 udp dport 67 accept",
    "udp sport 546 udp dport 547 accept",
    f"icmpv6 type {_NEIGHBOURS} accept",
    "ct state invalid drop",
)
_IN_FIRST = (
    "udp sport 67 udp dport 68 accept",
    "udp sport 547 udp dport 546 accept",
    "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept",
    "ct state invalid drop",
)


def tables(table: str) -> str:
    """Make the two tables with their base chains; applied again it changes nothing."""
    return f"""
add table bridge {table}
add map bridge {table} guards {{ type ifname : verdict; }}
add map bridge {table} receivers {{ type ifname : verdict; }}
add chain bridge {table} prerouting {{ type filter hook prerouting priority -400; policy accept; }}
flush chain bridge {table} prerouting
add rule bridge {table} prerouting iifname vmap @guards
add chain bridge {table} forward {{ type filter hook forward priority -200; policy accept; }}
flush chain bridge {table} forward
add rule bridge {table} forward oifname vmap @receivers
{_shared("bridge", table, "guard_first", _GUARD_FIRST)}
{_shared("bridge", table, "guard_last", _GUARD_LAST)}
add table inet {table}
add set inet {table} bridges {{ type ifname; }}
add set inet {table} host_legs {{ type ifname; }}
add map inet {table} zones {{ type ifname : verdict; }}
add map inet {table} egress {{ type mark : verdict; }}
add map inet {table} ingress {{ type mark : verdict; }}
add chain inet {table} zone {{ type filter hook prerouting priority raw; policy accept; }}
flush chain inet {table} zone
add rule inet {table} zone iifname vmap @zones
add chain inet {table} from_guest {{ type filter hook prerouting priority mangle; policy accept; }}
flush chain inet {table} from_guest
add rule inet {table} from_guest iifname != @bridges accept
add rule inet {table} from_guest ct state established,related accept
add rule inet {table} from_guest meta mark vmap @egress
add chain inet {table} to_guest {{ type filter hook forward priority filter; policy accept; }}
flush chain inet {table} to_guest
add rule inet {table} to_guest iifname @bridges oifname != @bridges drop
add rule inet {table} to_guest iifname != @bridges accept
add rule inet {table} to_guest ct state established,related accept
add rule inet {table} to_guest meta mark vmap @ingress
add chain inet {table} to_host {{ type filter hook input priority filter; policy accept; }}
flush chain inet {table} to_host
add rule inet {table} to_host iifname @bridges drop
add chain inet {table} through_leg
add rule inet {table} to_host iifname @host_legs jump through_leg
{_shared("inet", table, "out_first", _OUT_FIRST)}
{_shared("inet", table, "in_first", _IN_FIRST)}
"""


def inet_chains(ports: Iterable[str], bridges: Iterable[str]) -> list[str]:
    """Name the chains of the inet table that have rules for as long as these interfaces are there."""
    base = ["zone", "from_guest", "to_guest", "to_host", "out_first", "in_first"]
    return [*base, *(f"{way}_{port}" for port in ports for way in ("out", "in")), *(f"zone_{name}" for name in bridges)]


def bridge_chains(ports: Iterable[str]) -> list[str]:
    """Name the chains of the bridge table that have rules for as long as these interfaces are there."""
    return ["prerouting", "forward", *(f"{way}_{port}" for port in ports for way in ("guard", "to"))]


def bridge(table: str, name: str, zone: int) -> str:
    return f"""
add chain inet {table} zone_{name}
flush chain inet {table} zone_{name}
add rule inet {table} zone_{name} ct zone set {zone}
add element inet {table} zones {{ "{name}" : jump zone_{name} }}
add element inet {table} bridges {{ "{name}" }}
"""


def host_leg(table: str, name: str, resolvers: Iterable[str], tcp_ports: Iterable[int]) -> str:
    """Let guests, who come to the host by its leg in an external network, reach what it answers and nothing more.

    All that is behind the leg are tenants, floating IPs and routers, so whatever listens on the host's addresses (any
    of them) is closed to them but for the host's own resolvers and the ports that the operator opened.
    """
    rules = ["ct state established,related accept", "icmp type echo-request accept"]
    rules += ["icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept"]
    for ip in resolvers:
        rules += [f"{'ip6' if ':' in ip else 'ip'} daddr {ip} {kind} dport 53 accept" for kind in ("udp", "tcp")]
    opened = ", ".join(str(port) for port in sorted(set(tcp_ports)))
    rules += [f"tcp dport {{ {opened} }} accept"] if opened else []
    lines = [_shared("inet", table, "through_leg", [*rules, "drop"])]
    return "\n".join([*lines, f'add element inet {table} host_legs {{ "{name}" }}'])


def host_leg_gone(table: str, name: str) -> str:
    element = f'element inet {table} host_legs {{ "{name}" }}'
    return f"add {element}\ndelete {element}\n"


def bridge_gone(table: str, name: str) -> str:
    return f"""
add chain inet {table} zone_{name}
add element inet {table} zones {{ "{name}" : jump zone_{name} }}
delete element inet {table} zones {{ "{name}" }}
add element inet {table} bridges {{ "{name}" }}
delete element inet {table} bridges {{ "{name}" }}
delete chain inet {table} zone_{name}
"""


def port(table: str, interface: str, number: int, spec: PortSpec, stale_number: int | None = None) -> str:
    """Filter a port whose interface is known to the marks by `number`; forget an earlier number of the same name."""
    lines = [] if stale_number in (None, number) else [_unnumber(table, interface, stale_number)]
    lines += [_chains(table, interface)]
    lines += _rules("bridge", table, f"guard_{interface}", _guard(number, spec))
    lines += _rules("bridge", table, f"to_{interface}", [f"meta mark set {number:#x}"])
    lines += _rules("inet", table, f"out_{interface}", _egress(spec))
    lines += _rules("inet", table, f"in_{interface}", _ingress(spec))
    return "\n".join([*lines, _numbers(table, interface, number)])


def port_gone(table: str, interface: str, number: int | None) -> str:
    """Lift every filter off a port."""
    lines = [_chains(table, interface)]
    if number is not None:
        lines += [_unnumber(table, interface, number)]
    lines += [
        f'delete element bridge {table} guards {{ "{interface}" }}',
        f'delete element bridge {table} receivers {{ "{interface}" }}',
        f"delete chain bridge {table} guard_{interface}",
        f"delete chain bridge {table} to_{interface}",
        f"delete chain inet {table} out_{interface}",
        f"delete chain inet {table} in_{interface}",
    ]
    return "\n".join(lines)


def group(table: str, spec: SecurityGroupSpec) -> str:
    """Fill a group's two chains and two member sets; groups that its rules name get empty sets if they have none."""
    lines = [_member_sets(table, id) for id in sorted({spec.id, *_named_groups(spec)})]
    for version in (4, 6):
        members = sorted(_elements(spec.member_ips, version))
        lines += [f"flush set inet {table} {members_set(spec.id, version)}"]
        if members:
            lines += [f"add element inet {table} {members_set(spec.id, version)} {{ {', '.join(members)} }}"]
    for direction in ("ingress", "egress"):
        chain = group_chain(spec.id, direction)
        lines += [f"add chain inet {table} {chain}", f"flush chain inet {table} {chain}"]
        lines += _rules("inet", table, chain, [rule(r) for r in spec.rules if r.direction == direction])
    return "\n".join(lines)


def members(table: str, before: SecurityGroupSpec, after: SecurityGroupSpec) -> str:
    """Change a group's member sets from what they hold to what they shall hold."""
    lines: list[str] = []
    for version in (4, 6):
        held, wanted = _elements(before.member_ips, version), _elements(after.member_ips, version)
        for verb, changed in (("delete", held - wanted), ("add", wanted - held)):
            if changed:
                name = members_set(after.id, version)
                lines.append(f"{verb} element inet {table} {name} {{ {', '.join(sorted(changed))} }}")
    return "\n".join(lines)


def group_gone(table: str, group_id: str) -> str:
    """Remove a group's chains and empty its sets (rules of other groups may still name these)."""
    chains = [group_chain(group_id, direction) for direction in ("ingress", "egress")]
    lines = [_member_sets(table, group_id)]
    lines += [f"flush set inet {table} {members_set(group_id, version)}" for version in (4, 6)]
    lines += [f"add chain inet {table} {chain}\ndelete chain inet {table} {chain}" for chain in chains]
    return "\n".join(lines)


def group_chain(group_id: str, direction: str) -> str:
    return f"group_{group_id}_{direction}"


def chain_group(chain: str) -> str:
    """Tell the group of a group's chain."""
    return chain.removeprefix("group_").rsplit("_", 1)[0]


def members_set(group_id: str, version: int) -> str:
    return f"members{version}_{group_id}"


def rule(spec: RuleSpec) -> str:
    """Write one security group rule as the match and verdict of an nft rule."""
    version = 4 if spec.ethertype == "IPv4" else 6
    near, family = ("saddr" if spec.direction == "ingress" else "daddr"), ("ip" if version == 4 else "ip6")
    parts = [f"meta nfproto ipv{version}"]
    if spec.remote_ip_prefix is not None:
        parts += [f"{family} {near} {ipaddress.ip_network(spec.remote_ip_prefix, strict=False)}"]
    if spec.remote_group_id is not None:
        parts += [f"{family} {near} @{members_set(spec.remote_group_id, version)}"]
    return " ".join([*parts, *_protocol(spec, version), "accept"])


def _protocol(spec: RuleSpec, version: int) -> list[str]:
    if spec.protocol is None or spec.protocol == "any":
        return []
    number = PROTOCOLS[spec.protocol] if spec.protocol in PROTOCOLS else int(spec.protocol)
    if number in (1, 58):
        number = 1 if version == 4 else 58
    parts = [f"meta l4proto {number}"]
    low, high = spec.port_range_min, spec.port_range_max
    if number in _WITH_PORTS and low is not None:
        parts += [f"th dport {low}" if high in (None, low) else f"th dport {low}-{high}"]
    if number in (1, 58) and low is not None:
        name = "icmp" if number == 1 else "icmpv6"
        parts += [f"{name} type {low}"] + ([] if high is None else [f"{name} code {high}"])
    return parts


def _guard(number: int, spec: PortSpec) -> list[str]:
    pairs = [(spec.mac, ip) for ip in spec.ips]
    pairs += [(pair.mac, pair.ip) for pair in spec.allowed_address_pairs]
    macs = sorted({spec.mac, *(mac for mac, _ in pairs)})
    four = _pairs(pairs, 4)
    six = sorted({*_pairs(pairs, 6), *((mac, link_local(mac)) for mac in macs)})
    return [
        f"meta mark set {EGRESS | number:#x}",
        f"ether saddr != {macs[0] if len(macs) == 1 else '{ ' + ', '.join(macs) + ' }'} drop",
        "jump guard_first",
        *(f"ether saddr {mac} ip saddr {ip} accept" for mac, ip in four),
        *(f"arp saddr ether {mac} arp saddr ip {ip} accept" for mac, ip in four),
        *(f"arp saddr ether {mac} arp saddr ip 0.0.0.0 accept" for mac in macs),
        *(f"icmpv6 type nd-neighbor-advert @th,64,128 {_target(ip)} accept" for _, ip in six),
        "icmpv6 type nd-neighbor-advert drop",
        *(f"ether saddr {mac} ip6 saddr {ip} accept" for mac, ip in six),
        "jump guard_last",
        "drop",
    ]


def _egress(spec: PortSpec) -> list[str]:
    return ["jump out_first", *(f"jump {group_chain(id, 'egress')}" for id in spec.security_group_ids), "drop"]


def _ingress(spec: PortSpec) -> list[str]:
    return ["jump in_first", *(f"jump {group_chain(id, 'ingress')}" for id in spec.security_group_ids), "drop"]


def _target(ip: str) -> str:
    """Match the target of a neighbour advertisement (at byte 8 of ICMPv6), which has no name in older nft."""
    network = ipaddress.IPv6Network(ip)
    first, last = int(network.network_address), int(network.broadcast_address)
    return f"{first:#034x}" if first == last else f"{first:#034x}-{last:#034x}"


def link_local(mac: str) -> str:
    """Derive the IPv6 link-local address a guest gives itself (EUI-64, RFC 4291 appendix A)."""
    octets = bytearray(bytes.fromhex(mac.replace(":", "")))
    octets[0] ^= 2
    return str(ipaddress.IPv6Address(b"\xfe\x80" + b"\0" * 6 + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])))


def _pairs(pairs: Iterable[tuple[str, str]], version: int) -> list[tuple[str, str]]:
    """Return the (mac, ip or cidr) pairs of one IP version; overlapping cidrs of one mac are merged."""
    by_mac: dict[str, list[str]] = {}
    for mac, ip in pairs:
        by_mac.setdefault(mac, []).append(ip)
    return [(mac, ip) for mac in sorted(by_mac) for ip in _collapse(by_mac[mac], version)]


def _collapse(ips: Iterable[str], version: int) -> list[str]:
    """Merge addresses and cidrs of one IP version into disjoint ones, as interval sets demand."""
    networks = [ipaddress.ip_network(ip, strict=False) for ip in ips]
    four = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    merged = four if version == 4 else six
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in merged]


def _elements(ips: Iterable[str], version: int) -> set[str]:
    """Return the elements of a member set: cidrs merged into disjoint ones, and the addresses outside of them.

    Neighbouring addresses stay apart: then one that comes or goes is one element, whoever else is there.
    """
    here = [ip for ip in ips if (":" in ip) == (version == 6)]
    cidrs = [ipaddress.ip_network(found) for found in _collapse((ip for ip in here if "/" in ip), version)]
    single = {str(ipaddress.ip_address(ip)) if version == 6 else ip for ip in here if "/" not in ip}
    if cidrs:
        single = {ip for ip in single if not any(ipaddress.ip_address(ip) in cidr for cidr in cidrs)}
    return single | {str(c.network_address) if c.prefixlen == c.max_prefixlen else str(c) for c in cidrs}


def _named_groups(spec: SecurityGroupSpec) -> set[str]:
    return {r.remote_group_id for r in spec.rules if r.remote_group_id is not None}


def _member_sets(table: str, group_id: str) -> str:
    return "\n".join(
        f"add set inet {table} {members_set(group_id, version)} {{ type ipv{version}_addr; flags interval; }}"
        for version in (4, 6)
    )


def _shared(family: str, table: str, chain: str, rules: Iterable[str]) -> str:
    head = f"add chain {family} {table} {chain}\nflush chain {family} {table} {chain}"
    return "\n".join([head, *_rules(family, table, chain, rules)])


def _rules(family: str, table: str, chain: str, rules: Iterable[str]) -> list[str]:
    return [f"add rule {family} {table} {chain} {text}" for text in rules]


def _chains(table: str, interface: str) -> str:
    """Make a port's chains, empty, and the map elements that do not depend on its number."""
    chains = [("bridge", f"guard_{interface}"), ("bridge", f"to_{interface}")]
    chains += [("inet", f"out_{interface}"), ("inet", f"in_{interface}")]
    lines = [f"add chain {family} {table} {chain}\nflush chain {family} {table} {chain}" for family, chain in chains]
    lines += [f'add element bridge {table} guards {{ "{interface}" : jump guard_{interface} }}']
    lines += [f'add element bridge {table} receivers {{ "{interface}" : jump to_{interface} }}']
    return "\n".join(lines)


def _numbers(table: str, interface: str, number: int) -> str:
    return (
        f"add element inet {table} egress {{ {EGRESS | number:#x} : jump out_{interface} }}\n"
        f"add element inet {table} ingress {{ {number:#x} : jump in_{interface} }}"
    )


def _unnumber(table: str, interface: str, number: int) -> str:
    return (
        f"add chain inet {table} out_{interface}\nadd chain inet {table} in_{interface}\n"
        f"{_numbers(table, interface, number)}\n"
        f"delete element inet {table} egress {{ {EGRESS | number:#x} }}\n"
        f"delete element inet {table} ingress {{ {number:#x} }}"
    )
