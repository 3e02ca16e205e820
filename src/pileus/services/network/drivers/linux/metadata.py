"""The metadata address 169.254.169.254 of every network and router, answered by the agent's own event loop.

One rule: the guest is not trusted. A request is read within limits of size, time and number, the headers that name
the asker are ours alone, and the upstream learns who asks by the listener and the source address, signed.
Listening sockets are made inside the namespaces; a socket stays where it was made, so no process is needed there.
"""

import asyncio
import contextlib
import logging
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from pileus.services.network.drivers.linux import namespaces
from pileus.services.network.metadata_signature import (
    ADDRESS_HEADER,
    NETWORK_HEADER,
    ROUTER_HEADER,
    SIGNATURE_HEADER,
    sign,
)
from pileus.services.network.wanted import METADATA_IP

log = logging.getLogger(__name__)

HEAD_BYTES, BODY_BYTES, ANSWER_BYTES = 16 << 10, 64 << 10, 16 << 20
READ_S, ANSWER_S = 10.0, 60.0
CONNECTIONS_PER_GUEST, CONNECTIONS_PER_NAMESPACE, CONNECTIONS = 8, 64, 512
"""At once.  When the agent has all that it can serve, the oldest connection where most are open gives way to one of a
namespace that has fewer, so that no tenant keeps another's guests from their metadata."""
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_VALUE = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT")
# Headers that say who asks, that end at this hop, or that we set ourselves.
_DROPPED = re.compile(
    rb"(?i)x-forwarded-.*|forwarded|x-neutron-.*|x-pileus-.*|x-instance-.*|x-tenant-.*|x-project-.*|connection|"
    rb"keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|content-length|expect|host"
)


@dataclass(frozen=True)
class MetadataUpstream:
    """Where requests go: `http://host:port/prefix`, or `unix:///path/of/socket:/prefix`; `secret` signs the asker."""

    url: str
    secret: bytes


class _Refused(Exception):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class _Request:
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class MetadataProxy:
    """All listeners of one agent. Keys are namespaces."""

    def __init__(self, upstream: MetadataUpstream) -> None:
        self._upstream = upstream
        self._servers: dict[str, asyncio.Server] = {}
        self._open: dict[str, dict[asyncio.Task[None], str]] = {}
        """The guest's address by connection, oldest first, in each namespace."""

    @property
    def served(self) -> frozenset[str]:
        return frozenset(self._servers)

    async def serve(self, namespace: str, kind: str, id: str, listener: socket.socket) -> None:
        """Answer on a listening socket made in the namespace of a network's DHCP or of a router (`kind`)."""
        if namespace in self._servers:
            listener.close()
            return
        source = ROUTER_HEADER if kind == "router" else NETWORK_HEADER
        self._open[namespace] = {}

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            tasks = self._open.get(namespace)
            if task is None or tasks is None:
                writer.close()
                return
            guest_ip = str(writer.get_extra_info("peername")[0])
            tasks[task] = guest_ip
            try:
                await self._converse(reader, writer, source, id, guest_ip, room=self._room(namespace, guest_ip))
            finally:
                tasks.pop(task, None)

        self._servers[namespace] = await asyncio.start_server(connected, sock=listener, limit=HEAD_BYTES)

    async def stop(self, namespace: str) -> None:
        """Close a listener and its connections, without which the namespace could not vanish."""
        server = self._servers.pop(namespace, None)
        if server is None:
            return
        server.close()
        tasks = self._open.pop(namespace, {})
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        for namespace in list(self._servers):
            await self.stop(namespace)

    def _room(self, namespace: str, guest_ip: str) -> bool:
        """Tell whether a connection that has just been opened may stay; another may have to go for it."""
        here = self._open[namespace]
        if len(here) > CONNECTIONS_PER_NAMESPACE or list(here.values()).count(guest_ip) > CONNECTIONS_PER_GUEST:
            return False
        if sum(map(len, self._open.values())) <= CONNECTIONS:
            return True
        busiest = max(self._open.values(), key=len)
        if len(busiest) <= len(here):
            return False
        task, address = next(iter(busiest.items()))
        log.warning("the metadata proxy is full: the oldest request of a guest (%s) where most are open ends", address)
        del busiest[task]
        task.cancel()
        return True

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: str,
        id: str,
        guest_ip: str,
        *,
        room: bool,
    ) -> None:
        try:
            if not room:
                raise _Refused("503 Service Unavailable")
            request = await asyncio.wait_for(_read_request(reader), READ_S)
            await asyncio.wait_for(self._forward(request, writer, source, id, guest_ip), ANSWER_S)
        except _Refused as refusal:
            _refuse(writer, refusal.status)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            log.info("a metadata request on %s %s ended early: %s", source, id, type(error).__name__)
        finally:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.drain(), READ_S)
            writer.close()

    async def _forward(
        self, request: _Request, guest: asyncio.StreamWriter, source: str, id: str, guest_ip: str
    ) -> None:
        try:
            reader, writer, prefix, host = await self._connect()
        except (OSError, TimeoutError) as error:
            log.warning("metadata upstream %s does not answer: %s", self._upstream.url, error)
            raise _Refused("503 Service Unavailable") from error
        try:
            signature = sign(self._upstream.secret, source, id, guest_ip)
            head = [request.method + b" " + prefix.encode() + request.target + b" HTTP/1.1"]
            head += [name + b": " + value for name, value in request.headers]
            ours = {"Host": host, "Connection": "close", ADDRESS_HEADER: guest_ip, source: id}
            ours |= {SIGNATURE_HEADER: signature, "Content-Length": str(len(request.body))}
            head += [f"{name}: {value}".encode() for name, value in ours.items()]
            writer.write(b"\r\n".join(head) + b"\r\n\r\n" + request.body)
            await _relay(reader, guest)
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str, str]:
        if self._upstream.url.startswith("unix://"):
            path, _, prefix = self._upstream.url.removeprefix("unix://").partition(":")
            reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(path), READ_S)
            return reader, writer, prefix.rstrip("/"), "localhost"
        parts = urlsplit(self._upstream.url)
        connecting = asyncio.open_connection(parts.hostname, parts.port or 80)
        reader, writer = await asyncio.wait_for(connecting, READ_S)
        return reader, writer, parts.path.rstrip("/"), parts.netloc


def listen(namespace: str) -> socket.socket:
    """Make the listening socket inside a namespace that has the metadata address."""

    def make() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((METADATA_IP, 80))
        listener.listen(CONNECTIONS_PER_NAMESPACE)
        listener.setblocking(False)
        return listener

    return namespaces.inside(namespace, make)


async def _read_request(reader: asyncio.StreamReader) -> _Request:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise _Refused("431 Request Header Fields Too Large") from error
    request_line, *lines = head[:-4].split(b"\r\n")
    parts = request_line.split(b" ")
    if len(parts) != 3 or not _TARGET.fullmatch(parts[1]) or parts[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise _Refused("400 Bad Request")
    if parts[0] not in _METHODS:
        raise _Refused("405 Method Not Allowed")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _Refused("400 Bad Request")
        headers.append((name, value.strip()))
    body = await _read_body(reader, headers)
    kept = [(name, value) for name, value in headers if not _DROPPED.fullmatch(name)]
    return _Request(parts[0], parts[1], kept, body)


async def _read_body(reader: asyncio.StreamReader, headers: list[tuple[bytes, bytes]]) -> bytes:
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        raise _Refused("411 Length Required")
    lengths = {value for name, value in headers if name.lower() == b"content-length"}
    if not lengths:
        return b""
    length = lengths.pop()
    if lengths or not re.fullmatch(rb"\d{1,9}", length):
        raise _Refused("400 Bad Request")
    if int(length) > BODY_BYTES:
        raise _Refused("413 Content Too Large")
    return await reader.readexactly(int(length))


async def _relay(upstream: asyncio.StreamReader, guest: asyncio.StreamWriter) -> None:
    """Copy the answer as it comes; the upstream was asked to close when it is done."""
    sent = 0
    while data := await upstream.read(64 << 10):
        sent += len(data)
        if sent > ANSWER_BYTES:
            guest.transport.abort()
            return
        guest.write(data)
        await guest.drain()
    if sent == 0:
        raise _Refused("502 Bad Gateway")


def _refuse(writer: asyncio.StreamWriter, status: str) -> None:
    text = f"{status}\n"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        f"Connection: close\r\n\r\n{text}".encode()
    )
