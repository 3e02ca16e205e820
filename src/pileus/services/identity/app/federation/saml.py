"""SAML: identity providers whose assertions are taken, and this cloud as the identity provider of others (K2K).

Rule: an assertion is good once; what it says has the names that mappings written for Keystone behind Apache use.
"""

import asyncio
import os
import re
from dataclasses import dataclass

import msgspec

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Unauthenticated, Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.federation.providers import require_service_provider
from pileus.services.identity.app.validation import Token, Tokens
from pileus.services.identity.drivers import saml
from pileus.services.identity.drivers.saml import Assertion, Keys, Verifier
from pileus.services.identity.model.federation import FederationSettings, SamlProvider
from pileus.services.identity.store import projects, users

BASE = "/identity/v3/OS-FEDERATION"
COOKIE = "pileus-assertion"
"""Of a client that showed its assertion at another address."""


class Samls:
    """The providers that ``[identity.saml.ID]`` tables describe, and the keys of this cloud."""

    def __init__(self, runtime: Runtime) -> None:
        self._settings = runtime.config.get(FederationSettings)
        self._folder = runtime.config.state / "identity" / "saml"
        self._verifiers: dict[str, tuple[int, Verifier]] = {}
        self._keys: Keys | None = None
        self._making = asyncio.Lock()

    def find(self, provider_id: str, protocol_id: str) -> SamlProvider | None:
        """Return how a protocol of a provider is checked, if it is SAML."""
        found = self._settings.saml.get(provider_id)
        return found if found is not None and found.protocol == protocol_id else None

    async def check(
        self, base_url: str, settings: SamlProvider, consumer_url: str, message: str, *, enveloped: bool
    ) -> Assertion:
        """Return what a message proves; raise Unauthenticated."""
        return await asyncio.to_thread(self._check, base_url, settings, consumer_url, message, enveloped)

    async def whose(self, base_url: str, consumer_url: str, message: str) -> "Presented":
        """Return what a message in an envelope proves, and by which provider; raise Unauthenticated."""
        refusal = Unauthenticated("No identity provider of this cloud speaks SAML.")
        for id, settings in self._settings.saml.items():
            try:
                checked = await self.check(base_url, settings, consumer_url, message, enveloped=True)
            except Unauthenticated as error:
                refusal = error
            else:
                return Presented(provider=id, protocol=settings.protocol, assertion=checked)
        raise refusal

    def _check(
        self, base_url: str, settings: SamlProvider, consumer_url: str, message: str, enveloped: bool
    ) -> Assertion:
        entity_id = settings.entity_id or f"{base_url}{BASE}/saml2/sp"
        verifier = self._verifier(settings.metadata_file)
        return verifier.check(message, entity_id=entity_id, consumer_url=consumer_url, enveloped=enveloped)

    def _verifier(self, metadata_file: str) -> Verifier:
        """Return what checks by a provider's metadata; a file that has changed is read anew."""
        try:
            changed = os.stat(metadata_file).st_mtime_ns
        except OSError as error:
            raise Unavailable(f"The SAML metadata in {metadata_file} cannot be read: {error}.") from error
        known = self._verifiers.get(metadata_file)
        if known is None or known[0] != changed:
            known = self._verifiers[metadata_file] = changed, Verifier(metadata_file)
        return known[1]

    async def keys(self, ctx: Context) -> Keys:
        """Return the keys with which this cloud signs."""
        async with self._making:
            if self._keys is None:
                own = self._settings
                if own.saml_certificate is not None and own.saml_key is not None:
                    self._keys = Keys(own.saml_certificate, own.saml_key)
                else:
                    self._keys = await asyncio.to_thread(saml.make_keys, self._folder, self.entity_id(ctx))
        return self._keys

    def entity_id(self, ctx: Context) -> str:
        """Return what this cloud calls itself as an identity provider."""
        return self._settings.saml_entity_id or f"{ctx.base_url}{BASE}/saml2/idp"

    async def metadata(self, ctx: Context) -> str:
        """Return the description of this cloud as an identity provider."""
        keys = await self.keys(ctx)
        return saml.metadata(keys, self.entity_id(ctx), f"{ctx.base_url}{BASE}/saml2/sso")


_NO_LETTER = re.compile(r"[^A-Za-z0-9_]")


def assertion_of(checked: Assertion) -> dict[str, list[str]]:
    """Return attributes by the names that mapping rules use."""
    found: dict[str, list[str]] = {"REMOTE_USER": [checked.subject]} if checked.subject else {}
    for name, values in checked.attributes.items():
        found[name] = values
        found[f"MELLON_{_NO_LETTER.sub('_', name)}"] = values
    found["Shib-Identity-Provider"] = found["MELLON_IDP"] = [checked.issuer]
    return found


class Presented(msgspec.Struct):
    """A checked assertion on its way to where the token is made."""

    provider: str
    protocol: str
    assertion: Assertion


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a token is worth in another cloud."""

    auth_url: str
    sp_url: str
    relay_state_prefix: str
    user_id: str
    attributes: dict[str, list[str]]


async def vouch(
    runtime: Runtime, ctx: Context, token: str, service_provider: str, *, enveloped: bool
) -> tuple[str, Exchange]:
    """Return a signed response about a token's holder for a service provider; raise Forbidden for unscoped tokens."""
    exchange = await runtime.db.read(_exchange, runtime, token, service_provider)
    part = runtime.part(Samls)
    keys, settings = await part.keys(ctx), runtime.config.get(FederationSettings)
    signed = await asyncio.to_thread(
        saml.signed_response,
        keys,
        issuer=part.entity_id(ctx),
        recipient=exchange.sp_url,
        subject=exchange.user_id,
        attributes=exchange.attributes,
        life_s=settings.saml_assertion_s,
    )
    if enveloped:
        signed = saml.in_envelope(signed, f"{exchange.relay_state_prefix}{ids.new_hex_id()}")
    return signed, exchange


def _exchange(tx: Tx, runtime: Runtime, text: str, service_provider_id: str) -> Exchange:
    token: Token = runtime.part(Tokens).caller(tx, text).token
    row = require_service_provider(tx, service_provider_id)
    if not row.enabled:
        raise Forbidden(f"Service Provider {row.id} is disabled.")
    if token.project is None or token.domain is None:
        raise Forbidden("Use a project scoped token when attempting to create a SAML assertion.")
    if token.application_credential is not None or token.trust is not None:
        raise Unauthenticated("A token of a trust or an application credential is not exchanged for another cloud.")
    groups = users.groups_by_id(tx, users.group_ids_of(tx, token.user.id)).values()
    domains = projects.projects_by_id(tx, {group.domain_id for group in groups})
    attributes = {
        "openstack_user": [token.user.name],
        "openstack_user_domain": [token.user_domain.name],
        "openstack_roles": [role.name for role in token.roles],
        "openstack_project": [token.project.name],
        "openstack_project_domain": [token.domain.name],
        "openstack_groups": [
            _named(group.name, domains[group.domain_id].name) for group in sorted(groups, key=lambda group: group.name)
        ],
    }
    return Exchange(row.auth_url, row.sp_url, row.relay_state_prefix or "", token.user.id, attributes)


def _named(group: str, domain: str) -> str:
    """Return a group with its domain as clouds tell each other: see the mapping engine."""
    return f"JSON:{msgspec.json.encode({'name': group, 'domain': {'name': domain}}).decode()}"
