"""The kernel's route netlink, as far as the driver needs it: links, addresses, routes, forwarding entries.

One rule: a socket belongs to the namespace of the thread that opened it, and every call is one synchronous exchange
of well under a millisecond. Layouts are those of <linux/rtnetlink.h>, <linux/if_link.h> and <linux/neighbour.h>.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pileus.services.network.drivers.base import HostNetworkError

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 20, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER, IFLA_TUN_OWNER = 1, 2, 1, 1
IFF_LOWER_UP = 0x10000
IFF_UP, NLA_F_NESTED, NUD_PERMANENT, NTF_SELF = 1, 0x8000, 0x80, 2
SOL_NETLINK, NETLINK_EXT_ACK, NLMSGERR_ATTR_MSG = 270, 11, 1


@dataclass(frozen=True)
class Link:
    index: int
    name: str
    kind: str
    master: int
    mtu: int
    mac: str
    up: bool
    alias: str
    tap_owner: int | None
    carrier: bool = True
    """Of a tap: a guest holds it."""


@dataclass(frozen=True)
class RouteEntry:
    destination: str
    nexthop: str | None
    index: int
    protocol: int


class NetlinkError(HostNetworkError):
    """The kernel refused; `errno` says which way."""

    def __init__(self, number: int, doing: str, message: str) -> None:
        super().__init__(f"The kernel refused to {doing}: {os.strerror(number)}{f' ({message})' if message else ''}.")
        self.errno = number


def attr(type: int, value: bytes | str | int) -> bytes:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    size = len(value) + 4
    return struct.pack("=HH", size, type) + value + b"\0" * (-size % 4)


def nested(type: int, *attrs: bytes) -> bytes:
    return attr(type | NLA_F_NESTED, b"".join(attrs))


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def attrs_of(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        size, type = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[type & 0x3FFF] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


class Netlink:
    """One socket into the current thread's network namespace."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.settimeout(10)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    # Links

    def links(self) -> list[Link]:
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        return [_link(data) for data in self.exchange(RTM_GETLINK, NLM_F_DUMP, body, "list interfaces")]

    def link(self, name: str) -> Link | None:
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attr(IFLA_IFNAME, name)
        try:
            return _link(next(self.exchange(RTM_GETLINK, 0, body, f"show interface {name}")))
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def add_link(self, name: str, kind: str, *data: bytes, mac: str | None = None, mtu: int | None = None) -> None:
        info = attr(IFLA_INFO_KIND, kind.encode()) + (nested(IFLA_INFO_DATA, *data) if data else b"")
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + _link_attrs(name, mac, mtu)
        body += nested(IFLA_LINKINFO, info)
        self._run(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make {kind} {name}")

    def add_veth(
        self, name: str, peer: str, *, peer_mac: str | None = None, mtu: int, peer_namespace_fd: int | None = None
    ) -> None:
        there = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + _link_attrs(peer, peer_mac, mtu)
        if peer_namespace_fd is not None:
            there += attr(IFLA_NET_NS_FD, peer_namespace_fd)
        self.add_link(name, "veth", nested(VETH_INFO_PEER, there), mtu=mtu)

    def set_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        master: int | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        alias: str | None = None,
    ) -> None:
        flags, change = (IFF_UP if up else 0), (IFF_UP if up is not None else 0)
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change) + _link_attrs(None, mac, mtu)
        if master is not None:
            body += attr(IFLA_MASTER, master)
        if alias is not None:
            body += attr(IFLA_IFALIAS, alias.encode())
        self._run(RTM_NEWLINK, 0, body, f"set interface {index}")

    def delete_link(self, name: str) -> None:
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attr(IFLA_IFNAME, name)
        self._run(RTM_DELLINK, 0, body, f"remove interface {name}", errno.ENODEV)

    # Addresses

    def addresses(self) -> list[tuple[int, str]]:
        """List (interface index, address with prefix), link-local IPv6 left out."""
        found: list[tuple[int, str]] = []
        for data in self.exchange(RTM_GETADDR, NLM_F_DUMP, struct.pack("=BBBBi", 0, 0, 0, 0, 0), "list addresses"):
            _, prefix, _, scope, index = struct.unpack_from("=BBBBi", data)
            attrs = attrs_of(data[8:])
            if scope != 253:  # RT_SCOPE_LINK
                found.append((index, f"{ipaddress.ip_address(attrs.get(2, attrs.get(1, b'')))}/{prefix}"))
        return found

    def add_address(self, index: int, address: str) -> None:
        interface = ipaddress.ip_interface(address)
        extra = b""
        if interface.version == 4 and interface.network.prefixlen < 31:
            extra = attr(4, interface.network.broadcast_address.packed)
        # IFA_F_NODAD: the control plane hands out addresses, so nobody else has this one.
        flags = 2 if interface.version == 6 else 0
        body = _address(interface, index, flags) + extra
        self._run(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, f"give address {address}")

    def delete_address(self, index: int, address: str) -> None:
        body = _address(ipaddress.ip_interface(address), index, 0)
        self._run(RTM_DELADDR, 0, body, f"take address {address}", errno.EADDRNOTAVAIL, errno.ENODEV)

    # Routes of the main table

    def routes(self) -> list[RouteEntry]:
        body = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)
        found: list[RouteEntry] = []
        for data in self.exchange(RTM_GETROUTE, NLM_F_DUMP, body, "list routes"):
            family, prefix, _, _, table, protocol, _, type, _ = struct.unpack_from("=BBBBBBBBI", data)
            attrs = attrs_of(data[12:])
            if table != 254 or type != 1 or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            nothing = b"\0" * (4 if family == socket.AF_INET else 16)
            destination = f"{ipaddress.ip_address(attrs.get(1, nothing))}/{prefix}"
            nexthop = str(ipaddress.ip_address(attrs[5])) if 5 in attrs else None
            found.append(RouteEntry(destination, nexthop, struct.unpack("=i", attrs.get(4, nothing[:4]))[0], protocol))
        return found

    def replace_route(self, destination: str, nexthop: str | None, index: int | None, *, onlink: bool = False) -> None:
        body = _route(destination, nexthop, index, onlink)
        self._run(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, f"route {destination} by {nexthop}")

    def delete_route(self, destination: str, nexthop: str | None, index: int | None) -> None:
        body = _route(destination, nexthop, index, False)
        self._run(RTM_DELROUTE, 0, body, f"remove the route to {destination}", errno.ESRCH, errno.ENODEV)

    # Forwarding entries of a VXLAN device

    def forwarding(self, index: int) -> set[tuple[str, str]]:
        """List (mac, tunnel address) of a VXLAN device; the all-zero mac floods."""
        found: set[tuple[str, str]] = set()
        body = struct.pack("=BBHiHBB", socket.AF_BRIDGE, 0, 0, index, 0, 0, 0)
        for data in self.exchange(RTM_GETNEIGH, NLM_F_DUMP, body, "list forwarding entries"):
            _, _, _, owner, _, _, _ = struct.unpack_from("=BBHiHBB", data)
            attrs = attrs_of(data[12:])
            if owner == index and 1 in attrs and 2 in attrs:
                found.add((attrs[2].hex(":"), str(ipaddress.ip_address(attrs[1]))))
        return found

    def add_forwarding(self, index: int, mac: str, tunnel_ip: str) -> None:
        how = NLM_F_APPEND if mac == "00:00:00:00:00:00" else NLM_F_REPLACE
        body = _neighbour(index, mac, tunnel_ip)
        self._run(RTM_NEWNEIGH, NLM_F_CREATE | how, body, f"forward {mac} to {tunnel_ip}", errno.EEXIST)

    def delete_forwarding(self, index: int, mac: str, tunnel_ip: str) -> None:
        body = _neighbour(index, mac, tunnel_ip)
        self._run(RTM_DELNEIGH, 0, body, f"stop forwarding {mac} to {tunnel_ip}", errno.ENOENT)

    def _run(self, type: int, flags: int, body: bytes, doing: str, *fine: int) -> None:
        try:
            for _ in self.exchange(type, flags | NLM_F_ACK, body, doing):
                pass
        except NetlinkError as error:
            if error.errno not in fine:
                raise

    def exchange(self, type: int, flags: int, body: bytes, doing: str) -> Iterator[bytes]:
        """Send one request and yield the bodies of its answers; raise NetlinkError with what we were `doing`."""
        self._sequence += 1
        self._socket.send(struct.pack("=IHHII", len(body) + 16, type, flags | NLM_F_REQUEST, self._sequence, 0) + body)
        while True:
            packet = self._socket.recv(1 << 17)
            at = 0
            while at < len(packet):
                size, kind, answer_flags, sequence, _ = struct.unpack_from("=IHHII", packet, at)
                data = packet[at + 16 : at + size]
                at += (size + 3) & ~3
                if sequence != self._sequence:
                    continue  # the rest of an exchange that was given up
                if kind == 3:  # NLMSG_DONE
                    return
                if kind == 2:  # NLMSG_ERROR, or an acknowledgement
                    _raise_error(data, answer_flags, doing)
                    return
                yield data
                if not flags & (NLM_F_DUMP | NLM_F_ACK):
                    return


def _raise_error(data: bytes, flags: int, doing: str) -> None:
    (number,) = struct.unpack_from("=i", data)
    if number == 0:
        return
    message = ""
    if flags & 0x200:  # NLM_F_ACK_TLVS: the kernel explains itself
        (echoed,) = struct.unpack_from("=I", data, 4)
        start = 4 + (16 if flags & 0x100 else (echoed + 3) & ~3)
        message = attrs_of(data[start:]).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
    raise NetlinkError(-number, doing, message)


def _link_attrs(name: str | None, mac: str | None, mtu: int | None) -> bytes:
    body = b"" if name is None else attr(IFLA_IFNAME, name)
    body += b"" if mac is None else attr(IFLA_ADDRESS, mac_bytes(mac))
    return body + (b"" if mtu is None else attr(IFLA_MTU, mtu))


def _link(data: bytes) -> Link:
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", data)
    attrs = attrs_of(data[16:])
    info = attrs_of(attrs.get(IFLA_LINKINFO, b""))
    kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode()
    owner = attrs_of(info.get(IFLA_INFO_DATA, b"")).get(IFLA_TUN_OWNER) if kind == "tun" else None
    return Link(
        index=index,
        name=attrs[IFLA_IFNAME].rstrip(b"\0").decode(),
        kind=kind,
        master=struct.unpack("=I", attrs.get(IFLA_MASTER, b"\0\0\0\0"))[0],
        mtu=struct.unpack("=I", attrs[IFLA_MTU])[0],
        mac=attrs.get(IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        alias=attrs.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(),
        tap_owner=None if owner is None else struct.unpack("=I", owner)[0],
    )


def _address(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, index: int, flags: int) -> bytes:
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    packed = interface.ip.packed
    header = struct.pack("=BBBBi", family, interface.network.prefixlen, flags, 0, index)
    return header + attr(1, packed) + attr(2, packed)


def _route(destination: str, nexthop: str | None, index: int | None, onlink: bool) -> bytes:
    network = ipaddress.ip_network(destination)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = 0 if nexthop or network.version == 6 else 253
    # Protocol 4 (static) marks the routes that are ours to remove; flag 4 is RTNH_F_ONLINK.
    body = struct.pack("=BBBBBBBBI", family, network.prefixlen, 0, 0, 254, 4, scope, 1, 4 if onlink else 0)
    body += attr(1, network.network_address.packed)
    body += b"" if nexthop is None else attr(5, ipaddress.ip_address(nexthop).packed)
    return body + (b"" if index is None else attr(4, index))


def _neighbour(index: int, mac: str, tunnel_ip: str) -> bytes:
    header = struct.pack("=BBHiHBB", socket.AF_BRIDGE, 0, 0, index, NUD_PERMANENT, NTF_SELF, 0)
    return header + attr(1, ipaddress.ip_address(tunnel_ip).packed) + attr(2, mac_bytes(mac))
