"""The rows of key management.

Rule: of a secret's content there is only what a store's driver made of it; nothing here opens it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock, ids
from pileus.kernel.config import Settings
from pileus.kernel.db import Row

ACTIVE, PENDING, ERROR = "ACTIVE", "PENDING", "ERROR"
MOST_SECRET_BYTES = 60_000
"""The setting ``max_secret_bytes`` at most: what a text of a JSON body holds, and a column everywhere."""
SEAL_BYTES = 128
"""What a store's driver adds to a content at most."""


class KeyManagerSettings(Settings, frozen=True):
    """Table ``[key_manager]``."""

    max_secret_bytes: int = 20_000
    """Bytes of a secret's content; at most 60,000."""
    master_keys: str | None = None
    """The folder of the master keys of ``simple_crypto``; by default ``STATE/key_manager/master-keys``."""


class Entity:
    """Mixin: identity, owner, maker, state and times."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    project_id: Mapped[str] = mapped_column(String(255), index=True)
    creator_id: Mapped[str] = mapped_column(String(255), default="")
    status: Mapped[str] = mapped_column(String(16), default=ACTIVE)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class Secret(Entity, Row):
    """A secret; ``content`` is sealed with the project key ``key_id``, both empty until there is a payload."""

    __tablename__ = "key_manager_secrets"
    name: Mapped[str | None]
    secret_type: Mapped[str] = mapped_column(String(80), default="opaque")
    algorithm: Mapped[str | None]
    bit_length: Mapped[int | None]
    mode: Mapped[str | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    content_type: Mapped[str] = mapped_column(String(64), default="")
    content: Mapped[bytes | None] = mapped_column(LargeBinary(MOST_SECRET_BYTES + SEAL_BYTES))
    key_id: Mapped[str | None] = mapped_column(String(36), index=True)
    user_metadata: Mapped[dict[str, str]] = mapped_column(default=dict)


class ProjectKey(Row):
    """A key that seals the secrets of one project; ``sealed`` opens only with the store's master key."""

    __tablename__ = "key_manager_project_keys"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    project_id: Mapped[str] = mapped_column(String(255), index=True)
    store: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary(1024))
    active: Mapped[bool] = mapped_column(default=True)
    """It seals what is new; of the others everything moves to the active one."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class Container(Entity, Row):
    """Named references to secrets."""

    __tablename__ = "key_manager_containers"
    name: Mapped[str | None]
    type: Mapped[str] = mapped_column(String(16))


class ContainerSecret(Row):
    """A secret in a container, under a name."""

    __tablename__ = "key_manager_container_secrets"
    container_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    secret_id: Mapped[str] = mapped_column(String(36), primary_key=True, index=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True, default="")


class Order(Entity, Row):
    """A key or a pair of keys to be made."""

    __tablename__ = "key_manager_orders"
    type: Mapped[str] = mapped_column(String(16))
    meta: Mapped[dict[str, Any]] = mapped_column(default=dict)
    secret_id: Mapped[str | None] = mapped_column(String(36))
    container_id: Mapped[str | None] = mapped_column(String(36))
    error_status_code: Mapped[str | None] = mapped_column(String(16))
    error_reason: Mapped[str | None] = mapped_column(String(255))


class Acl(Row):
    """Who may read a secret or a container (``thing_id``) besides what its project's roles give."""

    __tablename__ = "key_manager_acls"
    thing_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_access: Mapped[bool] = mapped_column(default=True)
    """False: of the project only the maker and administrators read it."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class AclUser(Row):
    """A user who may read a thing, whatever its project."""

    __tablename__ = "key_manager_acl_users"
    thing_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)


class ConsumerEntity:
    """Mixin: who uses a secret or a container."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    thing_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(255), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class SecretConsumer(ConsumerEntity, Row):
    """A resource of a service that uses a secret."""

    __tablename__ = "key_manager_secret_consumers"
    service: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str]


class ContainerConsumer(ConsumerEntity, Row):
    """Something at a URL that uses a container."""

    __tablename__ = "key_manager_container_consumers"
    name: Mapped[str] = mapped_column(String(36))
    url: Mapped[str]


class SecretStore(Row):
    """A place where secrets are kept: a driver's."""

    __tablename__ = "key_manager_secret_stores"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    name: Mapped[str]
    crypto_plugin: Mapped[str] = mapped_column(String(64), unique=True)
    global_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class PreferredStore(Row):
    """Where a project's new secrets go."""

    __tablename__ = "key_manager_preferred_stores"
    project_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    store_id: Mapped[str] = mapped_column(String(36))


class TransportKey(Row):
    """A public key under which clients may wrap what they send to a store."""

    __tablename__ = "key_manager_transport_keys"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    plugin_name: Mapped[str]
    transport_key: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), default=ACTIVE)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
