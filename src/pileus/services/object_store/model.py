"""Accounts, containers, objects: what the database knows of them.  Bytes are the drivers' business.

The one rule: usage is never stored; counts and sizes are sums over these rows.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import ByteString, JsonText, Row

Name = ByteString(1024)
"""Listings are in the order of UTF-8 bytes."""

LIMITS = {
    "account_listing_limit": 10000,
    "container_listing_limit": 10000,
    "max_account_name_length": 256,
    "max_container_name_length": 256,
    "max_file_size": 5 * 1024**3 + 2,
    "max_header_size": 8192,
    "max_meta_count": 90,
    "max_meta_name_length": 128,
    "max_meta_overall_size": 4096,
    "max_meta_value_length": 256,
    "max_object_name_length": 1024,
}
"""Shown by /info under these names; sizes in bytes of UTF-8."""

MAX_SEGMENTS = 1000
MAX_MANIFEST_BYTES = 8 << 20
MAX_DEPTH = 10
"""Static manifests inside each other."""
MAX_LEAVES = 1_000_000
"""Objects that one static manifest names through others: two full levels."""
MAX_SEGMENT_DELETES = 10000
"""Objects that ``?multipart-manifest=delete`` removes through nested manifests."""
MAX_BULK_DELETES = 10000
MAX_FAILED_DELETES = 1000
POLICY = "Policy-0"
"""The one storage policy of this slice."""


class AccountRow(Row):
    """One project's storage; made by the first container or metadata written to it."""

    __tablename__ = "object_store_accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    created_at: Mapped[datetime]
    headers: Mapped[dict[str, str]] = mapped_column(JsonText)
    """Lower-case header name: value, as set (``x-account-meta-*`` and quotas)."""
    project_domain_id: Mapped[str | None] = mapped_column(String(64))
    """The domain of the project, as its own tokens say; None until one of them has written."""


class ContainerRow(Row):
    """One container."""

    __tablename__ = "object_store_containers"
    __table_args__ = (UniqueConstraint("account_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("object_store_accounts.id"))
    name: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    headers: Mapped[dict[str, str]] = mapped_column(JsonText)
    """Lower-case header name: value (``x-container-meta-*``, ACLs, versioning)."""


class ObjectRow(Row):
    """The current version of one object."""

    __tablename__ = "object_store_objects"
    __table_args__ = (
        UniqueConstraint("container_id", "name"),
        Index("ix_object_store_objects_delete_at", "delete_at"),
        Index("ix_object_store_objects_usage", "container_id", "own_bytes"),  # usage is read from it alone
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    container_id: Mapped[int] = mapped_column(ForeignKey("object_store_containers.id"))
    name: Mapped[str] = mapped_column(Name)
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes a reader gets; for a static large object the sum over its segments."""
    own_bytes: Mapped[int] = mapped_column(BigInteger)
    """Bytes that count as used; zero for a static large object, whose segments are counted."""
    etag: Mapped[str] = mapped_column(String(32))
    content_type: Mapped[str] = mapped_column(String(1024))
    updated_at: Mapped[datetime]
    headers: Mapped[dict[str, str]] = mapped_column(JsonText)
    """Lower-case header name: value (``x-object-meta-*``, content encoding, manifest)."""
    blob: Mapped[str | None] = mapped_column(String(80), unique=True)
    """Where the bytes are; None when there are none of its own (empty, or a static large object)."""
    segments: Mapped[list[dict[str, object]] | None] = mapped_column(JsonText)
    """The manifest of a static large object."""
    leaves: Mapped[int | None]
    """Of a static large object: how many objects its bytes come from, through all manifests."""
    depth: Mapped[int | None]
    """Of a static large object: how many manifests are inside each other, itself included."""
    delete_at: Mapped[int | None] = mapped_column(BigInteger)
    """Seconds since the epoch after which the object no longer exists."""


class DiscardRow(Row):
    """Bytes that no row names any more and that are still to be removed; written with the change that let go."""

    __tablename__ = "object_store_discards"
    blob: Mapped[str] = mapped_column(String(80), primary_key=True)
