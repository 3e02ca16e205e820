"""Which peers are proxies of the operator's own, so that what they say of a client counts.

Rule: a header that says who a client is counts only from such a peer; from anybody else it is just text.
"""

import ipaddress
import logging
from collections.abc import MutableMapping, Sequence
from typing import Any

from pileus.kernel.config import ConfigError
from pileus.kernel.rest.http import Request

log = logging.getLogger("pileus.rest")
REMEMBERED = 1024
_TOLD_BY_PROXIES = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port")


class Proxies:
    """The addresses and networks of ``[cloud] trusted_proxies``."""

    def __init__(self, networks: Sequence[str]) -> None:
        try:
            self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        except ValueError as error:
            raise ConfigError(f"table [cloud]: trusted_proxies: {error}") from error
        self._known: dict[str | None, bool] = {None: False}
        self._warned: set[str | None] = set()

    def __contains__(self, address: str | None) -> bool:
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known = {None: False}
            found = self._known[address] = self._trusts(str(address))
        return found

    def _trusts(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def seen(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the scope of a request as if no proxy were between: for applications that know of none."""
        client = scope.get("client")
        if client is None or client[0] not in self:
            return scope
        request = Request.from_scope(scope, None)
        self.look_behind(request)
        scheme, _, host = request.base_url.partition("://")
        rest = [(name, value) for name, value in scope["headers"] if name not in _TOLD_BY_PROXIES and name != b"host"]
        socket = scope["type"] == "websocket"
        return {
            **scope,
            "scheme": {"http": "ws", "https": "wss"}[scheme] if socket else scheme,
            "client": (request.source_ip, 0),
            "headers": [(b"host", host.encode("latin-1")), *rest],
        }

    def look_behind(self, request: Request) -> None:
        """Give a request that a proxy passed on the address of the client behind it."""
        if request.source_ip not in self:
            self._warn(request)
            return
        request.through_proxy = True
        for address in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            if address := address.strip():
                request.source_ip = address
                if address not in self:
                    return

    def _warn(self, request: Request) -> None:
        """Say once of each peer that its word does not count: it may be a proxy that the operator forgot to name."""
        if request.source_ip in self._warned or not any(name.startswith("x-forwarded-") for name in request.headers):
            return
        if len(self._warned) < REMEMBERED:
            self._warned.add(request.source_ip)
            log.warning("X-Forwarded-* from %s is ignored: it is not in [cloud] trusted_proxies", request.source_ip)
