"""The OpenID providers of this cloud, and what their claims are called in mapping rules.

Rule: a claim has the names that mappings written for Keystone behind Apache use, so that those go on working.
"""

import re
from typing import Any

import msgspec

from pileus.kernel.config import ConfigError
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.identity.drivers.openid import Claims, OpenId
from pileus.services.identity.drivers.web import is_safe
from pileus.services.identity.model.federation import FederationSettings
from pileus.services.identity.store import federation

_NO_LETTER = re.compile(r"[^A-Za-z0-9]")


class OpenIds:
    """The providers that ``[identity.openid.ID]`` tables describe."""

    def __init__(self, runtime: Runtime) -> None:
        self._known: dict[str, OpenId] = {}
        for id, settings in runtime.config.get(FederationSettings).openid.items():
            if not is_safe(settings.issuer):
                raise ConfigError(
                    f"table [identity.openid.{id}]: issuer must be an https address (http only on this machine)"
                )
            self._known[id] = OpenId(settings)

    def find(self, provider_id: str, protocol_id: str) -> OpenId | None:
        """Return the provider behind a protocol, if it is reached by OpenID Connect."""
        found = self._known.get(provider_id)
        return found if found is not None and found.settings.protocol == protocol_id else None

    def require(self, provider_id: str, protocol_id: str) -> OpenId:
        """Return the provider behind a protocol; raise Unavailable, saying what to write down."""
        found = self.find(provider_id, protocol_id)
        if found is None:
            raise Unavailable(
                f"This cloud does not know how to ask {provider_id} by {protocol_id}: an administrator has to add a "
                f"table [identity.openid.{provider_id}] with protocol = {protocol_id!r} to pileus.toml."
            )
        return found

    def all_choices(self, tx: Tx) -> list[tuple[str, str]]:
        """Return ``(provider, protocol)`` of every enabled provider that a browser can be sent to."""
        if not self._known:
            return []
        there = federation.enabled_protocols(tx)
        return [(row.provider_id, row.id) for row in there if self.find(row.provider_id, row.id)]

    def choices(self, tx: Tx, protocol_id: str) -> list[str]:
        """Return the ids of the enabled providers that a browser can be sent to by a protocol."""
        return [row.id for row in federation.providers_with(tx, protocol_id) if self.find(row.id, protocol_id)]


def assertion_of(claims: Claims) -> dict[str, list[str]]:
    """Return claims by the names that mapping rules use: ``OIDC-sub``, ``HTTP_OIDC_SUB`` and the like."""
    found: dict[str, list[str]] = {}
    for name, value in _flat(claims).items():
        upper = _NO_LETTER.sub("_", name).upper()
        for alias in (f"OIDC-{name}", f"HTTP_OIDC_{upper}", f"OIDC_CLAIM_{name}", f"HTTP_OIDC_CLAIM_{upper}"):
            found[alias] = value
    if isinstance(claims.get("sub"), str):
        found["REMOTE_USER"] = [claims["sub"]]
    return found


def _flat(claims: Any, prefix: str = "") -> dict[str, list[str]]:
    """Return every claim as a list of texts; one inside another is called ``outer.inner``."""
    found: dict[str, list[str]] = {}
    for name, value in claims.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            found[f"{prefix}{name}"] = [_text(one) for one in values]
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
