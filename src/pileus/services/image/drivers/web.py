"""Images from the web: one GET, redirects followed, streamed in blocks from a thread.

The one rule: every address of a host is judged before anything is connected to, and the connection goes to one of
those; so at each redirect.  No proxy is used, whatever the environment says: it would resolve the name anew.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from pileus.kernel import addresses, clock
from pileus.kernel.errors import Invalid, Unavailable

T = TypeVar("T")
BLOCK_BYTES = 1 << 20
TIMEOUT_S = 60
MAX_REDIRECTS = 5
LONGEST_URI = 2048
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebSource:
    """What may be reached, and for how long."""

    ports: frozenset[int]
    private: bool
    total_s: float

    def check(self, uri: str) -> None:
        """Raise Invalid for a URI that cannot be an image's."""
        self._target(uri)

    def _target(self, uri: str) -> tuple[SplitResult, int]:
        """Return a URI's parts and its port."""
        shown = uri[:200]
        if len(uri) > LONGEST_URI or not uri.isascii() or not uri.isprintable() or " " in uri:
            raise Invalid(f"The URI '{shown}' must be at most {LONGEST_URI} printable ASCII characters.")
        try:
            parts = urlsplit(uri)
            port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
            (parts.hostname or "").encode("idna")
        except ValueError as error:  # a port that is no number, a label that is too long, a bracket that is not closed
            raise Invalid(f"The URI '{shown}' cannot be read: {error}.") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise Invalid(f"The URI '{shown}' must be http or https with a host.")
        if parts.username is not None or parts.password is not None:
            raise Invalid(f"The URI of {parts.hostname} names a user; a web-download sends no credentials.")
        if port is None or port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise Invalid(f"The URI '{shown}' names port {port}; a web-download may use {allowed}.")
        return parts, port

    async def chunks(self, uri: str) -> AsyncIterator[bytes]:
        """Yield what is at ``uri``.  Raises Invalid and Unavailable, naming the URI."""
        download = _Download(self, uri, clock.monotonic() + self.total_s)
        try:
            await download.within(download.open)
            while block := await download.within(download.read):
                yield block
        finally:
            download.close()

    def dial(self, uri: str) -> tuple[socket.socket, SplitResult, int]:
        """Connect to one of a URI's addresses, all of which have been judged; blocks."""
        parts, port = self._target(uri)
        host = parts.hostname or ""
        try:
            found = addresses.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"The host of {uri} has no address: {error}.") from error
        for address in found:
            if not self.private and not addresses.is_public(address):
                raise Invalid(f"The URI {uri} leads to {address}, which is no public address.")
        failure: OSError | None = None
        for address in found:
            try:
                return socket.create_connection((str(address), port), timeout=TIMEOUT_S), parts, port
            except OSError as error:
                failure = error
        raise Unavailable(f"The server of {uri} cannot be reached: {failure}.") from failure


@dataclass(slots=True)
class _Download:
    """One download: what blocks is done on threads, which are woken by the end of the connection."""

    source: WebSource
    uri: str
    until: float
    response: http.client.HTTPResponse | None = None
    sockets: list[socket.socket] = field(default_factory=list)
    closed: bool = False

    async def within(self, do: Callable[[], T]) -> T:
        """Run what blocks until the download's time is over; a server that dribbles does not hold us for ever."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(do), max(0.0, self.until - clock.monotonic()))
        except TimeoutError as error:
            limit = f"{self.source.total_s:.0f} seconds, the time limit of a web-download"
            raise Unavailable(f"The download of {self.uri} did not end within {limit}.") from error

    def open(self) -> None:
        """Follow the URI to an answer that is the image."""
        uri = self.uri
        for _ in range(MAX_REDIRECTS + 1):
            response = self._get(uri)
            if response.status in (301, 302, 303, 307, 308) and (location := response.getheader("Location")):
                response.close()
                uri = self._redirected(uri, location)
            elif response.status == 200:
                self.response = response
                return
            else:
                raise Invalid(f"The server answered {response.status} {response.reason[:100]} for {uri}.")
        raise Invalid(f"The server redirected more than {MAX_REDIRECTS} times, last to {uri}.")

    def _redirected(self, uri: str, location: str) -> str:
        try:
            return urljoin(uri, location)
        except ValueError as error:
            raise Invalid(f"The server of {uri} redirects to what is no URI: {error}.") from error

    def _get(self, uri: str) -> http.client.HTTPResponse:
        sock, parts, port = self.source.dial(uri)
        self._keep(sock)
        host = parts.hostname or ""
        try:
            if parts.scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
                self._keep(sock)
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
            connection.sock = sock  # it is connected already, to the address that was judged
            connection.default_port = _PORTS[parts.scheme]  # for the Host header
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            connection.request("GET", target, headers={"Connection": "close"})
            return connection.getresponse()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unavailable(f"The server of {uri} cannot be reached: {error}.") from error

    def _keep(self, sock: socket.socket) -> None:
        self.sockets.append(sock)
        if self.closed:
            _end(sock)

    def read(self) -> bytes:
        """Return the next block, nothing at the end."""
        assert self.response is not None
        try:
            block = self.response.read(BLOCK_BYTES)
            if not block and self.response.length:
                raise http.client.IncompleteRead(b"", self.response.length)
            return block
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unavailable(f"The download of {self.uri} broke off: {error}.") from error

    def close(self) -> None:
        """End the connections; a thread that still waits for one of them is woken by that."""
        self.closed = True
        for sock in self.sockets:
            _end(sock)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
