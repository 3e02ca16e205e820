"""The rows of block storage, the states its resources go through, and its limits.

One rule: a status is written only with the decision or the operation step that makes it true.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row

DEFAULT_TYPE = "__DEFAULT__"
DEFAULT_ZONE = "nova"

# States of a volume, in Cinder's words.
CREATING = "creating"
DOWNLOADING = "downloading"
AVAILABLE = "available"
RESERVED = "reserved"
ATTACHING = "attaching"
IN_USE = "in-use"
DETACHING = "detaching"
MAINTENANCE = "maintenance"
DELETING = "deleting"
EXTENDING = "extending"
UPLOADING = "uploading"
REVERTING = "reverting"
RETYPING = "retyping"
BACKING_UP = "backing-up"
RESTORING_BACKUP = "restoring-backup"
AWAITING_TRANSFER = "awaiting-transfer"
ERROR = "error"
ERROR_DELETING = "error_deleting"
ERROR_EXTENDING = "error_extending"
ERROR_RESTORING = "error_restoring"
ERROR_BACKING_UP = "error_backing-up"

# States of an attachment.
ATTACHED = "attached"
DETACHED = "detached"
ERROR_ATTACHING = "error_attaching"

DELETABLE_VOLUME = frozenset({AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_DELETING})
RESTORING = "restoring"
DELETABLE_BACKUP = frozenset({AVAILABLE, ERROR, ERROR_DELETING})
BACKUP_STATES = frozenset({AVAILABLE, CREATING, DELETING, ERROR, ERROR_DELETING, RESTORING})
DELETABLE_SNAPSHOT = frozenset({AVAILABLE, ERROR, ERROR_DELETING})
SNAPSHOT_STATES = frozenset({AVAILABLE, CREATING, DELETING, ERROR, ERROR_DELETING})
VOLUME_STATES = frozenset(
    {
        CREATING, AVAILABLE, DELETING, ERROR, ERROR_DELETING, ERROR_EXTENDING, ERROR_RESTORING, ERROR_BACKING_UP,
        ATTACHING, IN_USE, DETACHING, MAINTENANCE, RESERVED, UPLOADING, DOWNLOADING, EXTENDING, REVERTING, RETYPING,
        BACKING_UP, RESTORING_BACKUP, AWAITING_TRANSFER,
    }
)  # fmt: skip


class VolumeType(Row):
    """What kind of volume a project may ask for; ``extra_specs`` choose among the pools."""

    __tablename__ = "block_storage_types"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str | None] = mapped_column(String(255))
    is_public: Mapped[bool]
    extra_specs: Mapped[dict[str, str]]
    qos_specs_id: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class VolumeTypeAccess(Row):
    """A project that may use a private type."""

    __tablename__ = "block_storage_type_access"

    volume_type_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Volume(Row):
    """A disk that a server can have.  ``host`` is ``<host>@<backend>#<pool>`` once it is known where it lives.

    ``read_only`` is null until somebody sets the flag: only then does it show in the metadata.
    """

    __tablename__ = "block_storage_volumes"
    __table_args__ = (Index("ix_block_storage_volumes_listing", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(255))
    size: Mapped[int]
    quota_gib: Mapped[int]
    """What the quota counts: the size, or the one that the volume grows to."""
    status: Mapped[str] = mapped_column(String(32))
    previous_status: Mapped[str | None] = mapped_column(String(32))
    availability_zone: Mapped[str] = mapped_column(String(255))
    host: Mapped[str | None] = mapped_column(String(255))
    volume_type_id: Mapped[str] = mapped_column(String(36), index=True)
    snapshot_id: Mapped[str | None] = mapped_column(String(36))
    source_volid: Mapped[str | None] = mapped_column(String(36))
    bootable: Mapped[bool]
    multiattach: Mapped[bool]
    read_only: Mapped[bool | None]
    properties: Mapped[dict[str, str]]
    image_properties: Mapped[dict[str, str] | None]
    group_id: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class Snapshot(Row):
    """A moment of a volume."""

    __tablename__ = "block_storage_snapshots"
    __table_args__ = (Index("ix_block_storage_snapshots_listing", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    volume_id: Mapped[str] = mapped_column(String(36), index=True)
    volume_type_id: Mapped[str] = mapped_column(String(36))
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(255))
    size: Mapped[int]
    status: Mapped[str] = mapped_column(String(32))
    progress: Mapped[str] = mapped_column(String(8))
    properties: Mapped[dict[str, str]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class Attachment(Row):
    """A server's (or a host's) hold on a volume; the row is deleted when the hold ends.

    ``managed`` says that Compute made it and must end it: a user who ended it would pull the disk from under a
    running guest.
    """

    __tablename__ = "block_storage_attachments"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    volume_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    server_id: Mapped[str | None] = mapped_column(String(36), index=True)
    status: Mapped[str] = mapped_column(String(32))
    mode: Mapped[str | None] = mapped_column(String(4))
    host_name: Mapped[str | None] = mapped_column(String(255))
    device: Mapped[str | None] = mapped_column(String(255))
    connector: Mapped[dict[str, Any] | None]
    connection_info: Mapped[dict[str, Any] | None]
    managed: Mapped[bool]
    attached_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Transfer(Row):
    """An offer of a volume to whoever knows the key; ``key_hash`` is salted, the key itself is told once."""

    __tablename__ = "block_storage_transfers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    volume_id: Mapped[str] = mapped_column(String(36), unique=True)
    name: Mapped[str | None] = mapped_column(String(255))
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    salt: Mapped[str] = mapped_column(String(64))
    key_hash: Mapped[str] = mapped_column(String(64))
    no_snapshots: Mapped[bool]
    created_at: Mapped[datetime]


class Backup(Row):
    """A copy of a volume in the object store, with what it takes to make the volume anew."""

    __tablename__ = "block_storage_backups"
    __table_args__ = (Index("ix_block_storage_backups_listing", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    volume_id: Mapped[str] = mapped_column(String(36), index=True)
    snapshot_id: Mapped[str | None] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(32))
    fail_reason: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int]
    container: Mapped[str] = mapped_column(String(255))
    object_count: Mapped[int]
    availability_zone: Mapped[str] = mapped_column(String(255))
    properties: Mapped[dict[str, str]]
    volume_type_id: Mapped[str] = mapped_column(String(36))
    volume_properties: Mapped[dict[str, str]]
    image_properties: Mapped[dict[str, str] | None]
    bootable: Mapped[bool]
    data_timestamp: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class Message(Row):
    """Why something of the user's went wrong, kept for a while for the user to read."""

    __tablename__ = "block_storage_messages"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    resource_type: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(36), index=True)
    event_id: Mapped[str] = mapped_column(String(64))
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    guaranteed_until: Mapped[datetime]


class ServiceFlags(Row):
    """What an administrator said of a service on a host; absent means enabled."""

    __tablename__ = "block_storage_services"

    binary: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    disabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(String(255))
    frozen: Mapped[bool]
    updated_at: Mapped[datetime]


DEFAULT_QUOTAS = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,
    "backups": 10,
    "backup_gigabytes": 1000,
    "per_volume_gigabytes": -1,
    "groups": 10,
}
