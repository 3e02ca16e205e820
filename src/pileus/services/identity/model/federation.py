"""Who is known elsewhere: identity providers, what is made of their words, whom they sent, and service providers.

Rule: a federated user is an ordinary user row with a ``FederatedUser`` beside it, so that roles, trusts and
credentials work for it as for anybody.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.config import Settings
from pileus.kernel.db import JsonText, Row


class OpenIdProvider(Settings, frozen=True):
    """Table ``[identity.openid.ID]``: how the identity provider ID is asked by OpenID Connect."""

    issuer: str
    """Exactly what the provider calls itself."""
    client_id: str
    """What the provider calls this cloud."""
    client_secret: str | None = None
    """What this cloud proves that with."""
    protocol: str = "openid"
    """The protocol of the identity provider that this is for."""
    audiences: tuple[str, ...] = ()
    """Whom access tokens may be meant for besides ``client_id``."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What the provider is asked to tell."""
    discovery_url: str | None = None
    """By default the issuer's ``/.well-known/openid-configuration``."""
    userinfo: bool = True
    """Ask the provider who a token's holder is, besides what the token itself says."""
    ca_file: str | None = None
    """File of the CAs (PEM) that the provider's certificate is judged by; by default the system's."""


class SamlProvider(Settings, frozen=True):
    """Table ``[identity.saml.ID]``: how assertions of the identity provider ID are checked."""

    metadata_file: str
    """The provider's SAML metadata, as it hands it out."""
    protocol: str = "saml2"
    """The protocol of the identity provider that this is for."""
    entity_id: str | None = None
    """What this cloud is called as a service provider; by default its address and /OS-FEDERATION/saml2/sp."""


class FederationSettings(Settings, frozen=True):
    """Part of table ``[identity]``."""

    openid: dict[str, OpenIdProvider] = {}
    saml: dict[str, SamlProvider] = {}
    saml_entity_id: str | None = None
    """What this cloud is called as an identity provider; by default its address and /OS-FEDERATION/saml2/idp."""
    saml_certificate: Path | None = None
    """With what assertions are signed; by default a pair that is made at the first use, in STATE/identity/saml."""
    saml_key: Path | None = None
    """The key of that certificate."""
    saml_assertion_s: int = 300
    """How long an assertion counts."""
    trusted_dashboards: tuple[str, ...] = ()
    """Addresses that single sign-on may hand tokens to; this cloud's own dashboard need not be named."""

    default_authorization_ttl: int = 0
    """Minutes that memberships of a mapping last when the provider does not say; 0: as long as the token."""


class IdentityProvider(Row):
    """Somebody else who knows people; ``authorization_ttl`` is in minutes."""

    __tablename__ = "identity_providers"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_id: Mapped[str] = mapped_column(String(64), index=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str | None] = mapped_column(Text)
    authorization_ttl: Mapped[int | None]
    """How many minutes a membership lasts that came of a mapping; None: the cloud's default."""


class RemoteId(Row):
    """A name under which a provider speaks of itself (an issuer, an entity id); it belongs to one provider only."""

    __tablename__ = "identity_provider_remote_ids"
    remote_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    provider_id: Mapped[str] = mapped_column(String(64), index=True)
    position: Mapped[int] = mapped_column(default=0)


class Mapping(Row):
    """Rules that turn what a provider says of somebody into a user, groups and projects here."""

    __tablename__ = "identity_mappings"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rules: Mapped[list[dict[str, Any]]] = mapped_column(JsonText)
    schema_version: Mapped[str] = mapped_column(String(5), default="1.0")


class Protocol(Row):
    """A way in which a provider is asked, and the mapping of its answers."""

    __tablename__ = "identity_federation_protocols"
    provider_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    mapping_id: Mapped[str] = mapped_column(String(64), index=True)
    remote_id_attribute: Mapped[str | None] = mapped_column(String(64))


class ServiceProvider(Row):
    """Another cloud that lets people of this one in."""

    __tablename__ = "identity_service_providers"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str | None] = mapped_column(Text)
    auth_url: Mapped[str] = mapped_column(String(256))
    sp_url: Mapped[str] = mapped_column(String(256))
    relay_state_prefix: Mapped[str | None] = mapped_column(String(256))


class FederatedUser(Row):
    """What a provider calls a user of ours."""

    __tablename__ = "identity_federated_users"
    __table_args__ = (UniqueConstraint("provider_id", "protocol_id", "unique_id"),)
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(255))


class ExpiringMembership(Row):
    """A user in a group because a provider said so; it ends by itself unless the user comes again."""

    __tablename__ = "identity_expiring_memberships"
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    provider_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime]


class UsedAssertion(Row):
    """An assertion that somebody came with: it is good once."""

    __tablename__ = "identity_used_assertions"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of its provider and id."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
