"""Which peers are proxies of the operator's own, so that what they say of a client counts.

Rule: a header that says who a client is counts only from such a peer; from anybody else it is just text.
"""

import ipaddress
import logging
from collections.abc import Sequence

from pileus.kernel.config import ConfigError
from pileus.kernel.rest.http import Request

log = logging.getLogger("pileus.rest")
REMEMBERED = 1024


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
