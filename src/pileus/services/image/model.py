"""Images, their properties, tags and members: what the database knows of them.

The one rule: an image's bytes are the object of its id in the service's own account, and nothing else.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.config import Settings
from pileus.kernel.db import JsonText, Row
from pileus.services.object_store.public import Path

ACCOUNT = ".pileus-image"
"""Not an ``AUTH_`` account: no project reaches it through the API."""
DATA, STAGING = "images", "staging"
STORE = "object_store"
"""The one store, as the store APIs and the ``stores`` attribute call it."""

QUEUED, SAVING, UPLOADING, IMPORTING = "queued", "saving", "uploading", "importing"
ACTIVE, DEACTIVATED, KILLED = "active", "deactivated", "killed"
STATUSES = (QUEUED, SAVING, UPLOADING, IMPORTING, ACTIVE, DEACTIVATED, KILLED, "pending_delete", "deleted")
VISIBILITIES = ("public", "private", "shared", "community")
MEMBER_STATUSES = ("pending", "accepted", "rejected")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "gpt")
MAX_PROPERTIES = MAX_TAGS = MAX_MEMBERS = 128
HASH_ALGORITHM = "sha512"
ENDED = ("success", "failure")
"""States of tasks at which nothing more happens."""
TASKS_KEPT = timedelta(hours=48)
"""How long a task that has ended can be looked at; upstream's ``task_time_to_live``."""


class ImageSettings(Settings, frozen=True):
    """Table ``[image]``."""

    image_format_enforcement: bool = True
    """Refuse bytes that are not the declared disk format, or that point at other files."""
    image_size_cap: int = 1 << 40
    """Bytes of one image at most."""
    image_count_total: int = -1
    """Images of one project at most; -1 is no limit."""
    image_size_total: int = -1
    """MiB of images of one project at most; -1 is no limit."""
    image_stage_total: int = -1
    """MiB of staged data of one project at most; -1 is no limit."""
    image_count_uploading: int = -1
    """Uploads of one project at the same time at most; -1 is no limit."""
    web_download_ports: tuple[int, ...] = (80, 443)
    """Ports that a web-download may reach."""
    web_download_private: bool = False
    """Whether a web-download may reach loopback, link-local and private addresses."""
    web_download_seconds: float = 21600.0
    """How long one web-download may take in all."""


class ImageRow(Row):
    """One image."""

    __tablename__ = "image_images"
    __table_args__ = (Index("ix_image_images_created", "created_at", "id"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """The owner."""
    name: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20))
    visibility: Mapped[str] = mapped_column(String(20))
    protected: Mapped[bool] = mapped_column(default=False)
    os_hidden: Mapped[bool] = mapped_column(default=False)
    container_format: Mapped[str | None] = mapped_column(String(20))
    disk_format: Mapped[str | None] = mapped_column(String(20))
    min_disk: Mapped[int] = mapped_column(default=0)
    min_ram: Mapped[int] = mapped_column(default=0)
    size: Mapped[int | None] = mapped_column(BigInteger)
    virtual_size: Mapped[int | None] = mapped_column(BigInteger)
    checksum: Mapped[str | None] = mapped_column(String(32))
    os_hash_value: Mapped[str | None] = mapped_column(String(128))
    upload: Mapped[str | None] = mapped_column(String(36))
    """The upload under way, so that one which was given up cannot end in an image that begun anew."""
    staged: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    """What is known of staged bytes until they are imported."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def owner(self) -> str | None:
        """The owner, as policy files call it."""
        return self.project_id


def data_of(image_id: str) -> Path:
    """Return where an image's bytes are."""
    return Path(ACCOUNT, DATA, image_id)


def staging_of(image_id: str) -> Path:
    """Return where an image's bytes wait for an import."""
    return Path(ACCOUNT, STAGING, image_id)


class PropertyRow(Row):
    """One property that is not an attribute of every image."""

    __tablename__ = "image_properties"
    __table_args__ = (Index("ix_image_properties_name", "name", "image_id"),)
    image_id: Mapped[str] = mapped_column(ForeignKey("image_images.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class TagRow(Row):
    """One tag of an image."""

    __tablename__ = "image_tags"
    image_id: Mapped[str] = mapped_column(ForeignKey("image_images.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)


class MemberRow(Row):
    """A project that a shared image is offered to."""

    __tablename__ = "image_members"
    image_id: Mapped[str] = mapped_column(ForeignKey("image_images.id", ondelete="CASCADE"), primary_key=True)
    member_id: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
    status: Mapped[str] = mapped_column(String(20), default="pending")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TaskRow(Row):
    """One import: what was asked and how it went."""

    __tablename__ = "image_tasks"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str | None] = mapped_column(String(64))
    user_id: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))
    """pending, processing, success or failure."""
    input: Mapped[dict[str, Any]] = mapped_column(JsonText)
    message: Mapped[str] = mapped_column(String(4000), default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
