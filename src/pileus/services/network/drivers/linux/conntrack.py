"""Cut tracked connections that no rule allows any longer.

One rule: cutting is safe. A connection that is still allowed is picked up again by its next packet, so callers cut
rather too much than too little. Layouts are those of <linux/netfilter/nfnetlink_conntrack.h>.
"""

import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator

from pileus.services.network.drivers.linux.netlink import NLM_F_ACK, NLM_F_DUMP, Netlink, NetlinkError, attr, attrs_of

_GET, _DELETE = 0x101, 0x102
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_NESTED = 0x8000
_NETLINK_NETFILTER = 12


def cut(zone: int, ips: Collection[str] | None = None) -> int:
    """Forget the connections of a zone (those of `ips` only, where given) in this namespace; return how many."""
    wanted = None if ips is None else {ipaddress.ip_address(ip).packed for ip in ips if "/" not in ip}
    if wanted is not None and not wanted:
        return 0
    count = 0
    with Netlink(_NETLINK_NETFILTER) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            for entry in list(_entries(netlink, family, zone)):
                if wanted is None or wanted & _addresses(entry):
                    _delete(netlink, family, entry)
                    count += 1
    return count


def _entries(netlink: Netlink, family: int, zone: int) -> Iterator[dict[int, bytes]]:
    body = struct.pack("=BBH", family, 0, 0) + attr(_ZONE, struct.pack("!H", zone))
    for data in netlink.exchange(_GET, NLM_F_DUMP, body, "list connections"):
        entry = attrs_of(data[4:])
        # Kernels before 6.8 ignore the zone in a dump request.
        if struct.unpack("!H", entry.get(_ZONE, b"\0\0"))[0] == zone:
            yield entry


def _addresses(entry: dict[int, bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for direction in (_TUPLE_ORIG, _TUPLE_REPLY):
        addresses = attrs_of(attrs_of(entry.get(direction, b"")).get(1, b""))
        found |= set(addresses.values())
    return found


def _delete(netlink: Netlink, family: int, entry: dict[int, bytes]) -> None:
    body = struct.pack("=BBH", family, 0, 0) + attr(_TUPLE_ORIG | _NESTED, entry[_TUPLE_ORIG])
    body += b"".join(attr(kind, entry[kind]) for kind in (_ZONE, _ID) if kind in entry)
    try:
        for _ in netlink.exchange(_DELETE, NLM_F_ACK, body, "cut a connection"):
            pass
    except NetlinkError as error:
        if error.errno != 2:  # ENOENT: it ended by itself meanwhile
            raise
