"""Router advertisements (RFC 4861): how guests on an IPv6 network learn their router, prefix and way of addressing.

One rule: a router says what its leg's subnet says, no more. The sockets are made inside the routers' namespaces and
served by the agent's loop; while no agent runs guests keep what they were told last, for up to `LIFETIME_S`.
"""

import asyncio
import ipaddress
import logging
import socket
import struct
from dataclasses import dataclass

from pileus.services.network.drivers.linux import namespaces
from pileus.services.network.drivers.linux.names import inner
from pileus.services.network.wanted import RouterLeg, RouterSpec

log = logging.getLogger(__name__)

LIFETIME_S, EVERY_S = 9000, 200.0
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
SOLICITATION, ADVERTISEMENT = 133, 134
_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_ICMP6_FILTER = 1


@dataclass(frozen=True)
class Voice:
    """One leg's advertisement: where it is sent and what it says."""

    namespace: str
    interface: str
    packet: bytes


def voices(namespace: str, router: RouterSpec) -> list[Voice]:
    """Return what each of a router's legs has to say; legs without `ipv6_ra_mode` are silent."""
    if not router.admin_up:
        return []
    legs = [leg for leg in router.interfaces if leg.ipv6_ra_mode is not None]
    return [Voice(namespace, inner("qr", leg.port_id), advertisement(leg)) for leg in legs]


def advertisement(leg: RouterLeg) -> bytes:
    """Write a leg's router advertisement; the kernel fills in the checksum."""
    flags = {"dhcpv6-stateful": _MANAGED | _OTHER, "dhcpv6-stateless": _OTHER}.get(leg.ipv6_ra_mode or "", 0)
    packet = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, flags, LIFETIME_S, 0, 0)
    packet += struct.pack("!BB", 1, 1) + bytes.fromhex(leg.mac.replace(":", ""))
    packet += struct.pack("!BBHI", 5, 1, 0, leg.mtu)
    how = _ON_LINK if leg.ipv6_ra_mode == "dhcpv6-stateful" else _ON_LINK | _AUTONOMOUS
    for address in leg.addresses:
        prefix = ipaddress.ip_interface(address).network
        if prefix.version == 6:
            packet += struct.pack("!BBBBIII", 3, 4, prefix.prefixlen, how, 86400, 14400, 0)
            packet += prefix.network_address.packed
    return packet


class Advertiser:
    """All speaking legs of one agent."""

    def __init__(self) -> None:
        self._sockets: dict[Voice, socket.socket] = {}
        self._tasks: dict[Voice, asyncio.Task[None]] = {}

    def said_in(self, namespace: str) -> set[Voice]:
        return {voice for voice in self._sockets if voice.namespace == namespace}

    def speak(self, voice: Voice, speaker: socket.socket) -> None:
        """Advertise at once, then every few minutes and whenever a guest asks."""
        loop = asyncio.get_running_loop()
        self._sockets[voice] = speaker
        loop.add_reader(speaker.fileno(), _answer, speaker, voice)
        self._tasks[voice] = loop.create_task(_repeat(speaker, voice), name=f"advertise on {voice.interface}")

    def hush(self, voice: Voice) -> None:
        """Stop and let the namespace go."""
        speaker = self._sockets.pop(voice)
        asyncio.get_running_loop().remove_reader(speaker.fileno())
        self._tasks.pop(voice).cancel()
        speaker.close()

    def hush_all(self) -> None:
        for voice in list(self._sockets):
            self.hush(voice)


def speaker(voice: Voice) -> socket.socket:
    """Make the socket for a voice inside its router's namespace."""

    def make() -> socket.socket:
        index = socket.if_nametoindex(voice.interface)
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        # A set bit blocks its type: let only solicitations through.
        blocked = bytearray(b"\xff" * 32)
        blocked[SOLICITATION // 32 * 4 + SOLICITATION % 32 // 8] &= ~(1 << SOLICITATION % 8)
        made.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
            made.setsockopt(socket.IPPROTO_IPV6, option, 255)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, voice.interface.encode())
        membership = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        made.setblocking(False)
        return made

    return namespaces.inside(voice.namespace, make)


def _answer(speaker: socket.socket, voice: Voice) -> None:
    try:
        speaker.recv(2048)
    except BlockingIOError:
        return
    _send(speaker, voice)


async def _repeat(speaker: socket.socket, voice: Voice) -> None:
    # The first ones close together (RFC 4861, 6.2.4), for guests that came before their router.
    for pause_s in (1.0, 4.0, 16.0):
        _send(speaker, voice)
        await asyncio.sleep(pause_s)
    while True:
        _send(speaker, voice)
        await asyncio.sleep(EVERY_S)


def _send(speaker: socket.socket, voice: Voice) -> None:
    try:
        speaker.sendto(voice.packet, (ALL_NODES, 0))
    except OSError as error:
        # The leg is going or coming; the next round tells again.
        log.info("no advertisement on %s: %s", voice.interface, error)
