"""Cut tracked connections that no rule allows any longer.

One rule: cutting is safe. A connection that is still allowed is picked up again by its next packet, so callers cut
rather too much than too little. Layouts are those of <linux/netfilter/nfnetlink_conntrack.h>.
"""

import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator, Mapping

from pileus.services.network.drivers.linux.netlink import NLM_F_ACK, NLM_F_DUMP, Netlink, NetlinkError, attr, attrs_of

_GET, _DELETE = 0x101, 0x102
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_NESTED = 0x8000
_NETLINK_NETFILTER = 12


def cut(targets: Mapping[int, Collection[str] | None]) -> int:
    """Forget connections in this namespace; return how many.

    `targets` says in which zones, and of which addresses there (None: all). The whole table is read once, however
    many targets there are; that is several milliseconds on a host with a large one.
    """
    wanted = {zone: None if ips is None else _packed(ips) for zone, ips in targets.items()}
    count = 0
    with Netlink(_NETLINK_NETFILTER) as netlink:
        for family, zone, entry in list(_entries(netlink)):
            ips = wanted.get(zone, set())
            if ips is None or ips & _addresses(entry):
                _delete(netlink, family, entry)
                count += 1
    return count


def _packed(ips: Collection[str]) -> set[bytes]:
    return {ipaddress.ip_address(ip).packed for ip in ips if "/" not in ip}


def _entries(netlink: Netlink) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    for data in netlink.exchange(_GET, NLM_F_DUMP, body, "list connections"):
        entry = attrs_of(data[4:])
        yield data[0], struct.unpack("!H", entry.get(_ZONE, b"\0\0"))[0], entry


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
