"""Images from the web: one GET, redirects followed, streamed in blocks from a thread.

The one rule: the address that the connection really reached is judged, not the name, so that no name can
lead the cloud to its own insides.
"""

import asyncio
import http.client
import ipaddress
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pileus.kernel.errors import Invalid, Unavailable

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 60
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class WebSource:
    """What may be reached."""

    ports: frozenset[int]
    private: bool

    def check(self, uri: str) -> None:
        """Raise Invalid for a URI that cannot be an image's."""
        parts = urlsplit(uri)
        try:
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            port = None
        if port is None or not parts.hostname or parts.scheme not in ("http", "https"):
            raise Invalid(f"The URI '{uri[:200]}' must be http or https with a host.")
        if port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise Invalid(f"The URI '{uri[:200]}' names port {port}; a web-download may use {allowed}.")

    async def chunks(self, uri: str) -> AsyncIterator[bytes]:
        """Yield what is at ``uri``.  Raises Invalid and Unavailable, naming the URI."""
        response = await asyncio.to_thread(self._open, uri)
        try:
            while block := await asyncio.to_thread(_read, uri, response):
                yield block
        finally:
            response.close()

    def _open(self, uri: str) -> http.client.HTTPResponse:
        for _ in range(MAX_REDIRECTS + 1):
            self.check(uri)
            response = self._get(uri)
            if response.status in (301, 302, 303, 307, 308) and (location := response.getheader("Location")):
                response.close()
                uri = urljoin(uri, location)
            elif response.status == 200:
                return response
            else:
                raise Invalid(f"The server answered {response.status} {response.reason} for {uri}.")
        raise Invalid(f"The server redirected more than {MAX_REDIRECTS} times, last to {uri}.")

    def _get(self, uri: str) -> http.client.HTTPResponse:
        parts = urlsplit(uri)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.connect()
            self._check_address(connection.sock, uri)
            target = parts.path or "/"
            target = f"{target}?{parts.query}" if parts.query else target
            connection.request("GET", target, headers={"Connection": "close"})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unavailable(f"The server of {uri} cannot be reached: {error}.") from error

    def _check_address(self, sock: socket.socket, uri: str) -> None:
        address = ipaddress.ip_address(sock.getpeername()[0])
        if not address.is_global and not self.private:
            sock.close()
            raise Invalid(f"The URI {uri} leads to {address}, which is no public address.")


def _read(uri: str, response: http.client.HTTPResponse) -> bytes:
    try:
        block = response.read(BLOCK_BYTES)
        if not block and response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return block
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"The download of {uri} broke off: {error}.") from error
