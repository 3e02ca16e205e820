"""Which addresses a server may be sent to by what a user has written.

The one rule: a name is resolved once, every address it has is judged, and the connection goes to one that was judged,
so that no name (also one whose owner answers differently each time) leads to the cloud's own insides.
"""

import ipaddress
import socket
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public Internet, also the one that it stands for."""
    return all(
        one.is_global and not (one.is_multicast or one.is_reserved or one.is_unspecified or one.is_loopback)
        for one in _meant(address)
    )


def _meant(address: Address) -> Iterator[Address]:
    """Yield the addresses that packets to ``address`` may end at: itself, or the IPv4 address within it."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    within = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        within.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    found = [one for one in within if one is not None]
    yield from found or [address]


def resolve(host: str, port: int) -> list[Address]:
    """Return every address of a host, in the resolver's order; blocks.  Raises OSError and UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
