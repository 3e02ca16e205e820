"""Rows of the compute service.  Rule: what a server is doing is told by its operation, through the lifecycle."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row

NO_STATE, RUNNING, PAUSED, SHUT_DOWN, CRASHED, SUSPENDED = 0, 1, 3, 4, 6, 7
"""Power states, numbered as the API shows them in ``OS-EXT-STS:power_state``."""


class Server(Row):
    """One server.  It stays as a row after its deletion, for audits, usage and ``changes-since``.

    ``flavor`` and ``image`` are copies made at creation, since both may be changed or deleted later;
    ``addresses`` is the API's view of its ports, renewed by whatever changes a port.
    """

    __tablename__ = "compute_servers"
    __table_args__ = (
        Index("ix_compute_servers_project", "project_id", "deleted_at", "created_at"),
        Index("ix_compute_servers_updated", "updated_at"),
        Index("ix_compute_servers_host", "host", "deleted_at"),
    )
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    hostname: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(255))
    vm_state: Mapped[str] = mapped_column(String(20), default="building")
    task_state: Mapped[str | None] = mapped_column(String(40))
    power_state: Mapped[int] = mapped_column(default=NO_STATE)
    host: Mapped[str | None] = mapped_column(String(255))
    availability_zone: Mapped[str | None] = mapped_column(String(255))
    pinned_availability_zone: Mapped[str | None] = mapped_column(String(255))
    flavor_id: Mapped[str] = mapped_column(String(255))
    flavor: Mapped[dict[str, Any]]
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    quota_vcpus: Mapped[int]
    """What the quota counts, as ``quota_memory_mb``: the larger of both sizes until a resize is confirmed or over."""
    quota_memory_mb: Mapped[int]
    image_id: Mapped[str | None] = mapped_column(String(36))
    image: Mapped[dict[str, Any]] = mapped_column(default=dict)
    key_name: Mapped[str | None] = mapped_column(String(255))
    public_key: Mapped[str | None] = mapped_column(Text)
    user_data: Mapped[str | None] = mapped_column(Text)
    meta: Mapped[dict[str, str]] = mapped_column("metadata", default=dict)
    tags: Mapped[list[str]] = mapped_column(default=list)
    config_drive: Mapped[bool] = mapped_column(default=False)
    disk_config: Mapped[str] = mapped_column(String(10), default="MANUAL")
    access_ip_v4: Mapped[str | None] = mapped_column(String(15))
    access_ip_v6: Mapped[str | None] = mapped_column(String(45))
    addresses: Mapped[dict[str, Any]] = mapped_column(default=dict)
    security_groups: Mapped[list[str]] = mapped_column(default=list)
    locked_by: Mapped[str | None] = mapped_column(String(5))
    locked_reason: Mapped[str | None] = mapped_column(String(255))
    group_id: Mapped[str | None] = mapped_column(String(36), index=True)
    hints: Mapped[dict[str, Any]] = mapped_column(default=dict)
    trusted_certs: Mapped[list[str] | None]
    reservation_id: Mapped[str] = mapped_column(String(20))
    launch_index: Mapped[int] = mapped_column(default=0)
    root_device: Mapped[str | None] = mapped_column(String(20))
    progress: Mapped[int] = mapped_column(default=0)
    fault: Mapped[dict[str, Any] | None]
    password: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    launched_at: Mapped[datetime | None]
    terminated_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class Nic(Row):
    """One network card of a server; the port itself belongs to the network service."""

    __tablename__ = "compute_nics"
    port_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(36), index=True)
    network_id: Mapped[str] = mapped_column(String(36))
    mac: Mapped[str] = mapped_column(String(17))
    position: Mapped[int] = mapped_column(default=0)
    tag: Mapped[str | None] = mapped_column(String(60))
    owned: Mapped[bool] = mapped_column(default=False)
    """Made for this server, and deleted with it."""


class BlockDevice(Row):
    """One volume in a server; the root of a server booted from an image has no row."""

    __tablename__ = "compute_block_devices"
    __table_args__ = (UniqueConstraint("server_id", "device"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(36), index=True)
    volume_id: Mapped[str] = mapped_column(String(36), index=True)
    attachment_id: Mapped[str] = mapped_column(String(36))
    device: Mapped[str] = mapped_column(String(20))
    boot_index: Mapped[int | None]
    delete_on_termination: Mapped[bool] = mapped_column(default=False)
    tag: Mapped[str | None] = mapped_column(String(60))
    connection: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How the host reaches the volume, as the block storage service said when it was attached."""


class Flavor(Row):
    """A size of server; ``id`` is the API's ``flavorid``."""

    __tablename__ = "compute_flavors"
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    disk_gib: Mapped[int]
    ephemeral_gib: Mapped[int] = mapped_column(default=0)
    swap_mb: Mapped[int] = mapped_column(default=0)
    rxtx_factor: Mapped[float] = mapped_column(default=1.0)
    is_public: Mapped[bool] = mapped_column(default=True)
    disabled: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str | None] = mapped_column(Text)
    extra_specs: Mapped[dict[str, str]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class FlavorAccess(Row):
    """A project that may use a flavor that is not public."""

    __tablename__ = "compute_flavor_access"
    flavor_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class KeyPair(Row):
    """A user's public key; the private half is never kept."""

    __tablename__ = "compute_key_pairs"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(10), default="ssh")
    fingerprint: Mapped[str] = mapped_column(String(255))
    public_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class ServerGroup(Row):
    """Servers that shall stay together or apart; its members are the servers that name it."""

    __tablename__ = "compute_server_groups"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    policy: Mapped[str] = mapped_column(String(30))
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class Aggregate(Row):
    """Hosts an operator put together, perhaps as an availability zone."""

    __tablename__ = "compute_aggregates"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    uuid: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(255), unique=True)
    availability_zone: Mapped[str | None] = mapped_column(String(255))
    meta: Mapped[dict[str, str]] = mapped_column("metadata", default=dict)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]


class AggregateHost(Row):
    """A host in an aggregate; ``id`` grows in the order in which they came."""

    __tablename__ = "compute_aggregate_hosts"
    __table_args__ = (Index("ix_compute_aggregate_hosts_host", "host", "aggregate_id", unique=True),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    aggregate_id: Mapped[int] = mapped_column(index=True)
    host: Mapped[str] = mapped_column(String(255))


class Host(Row):
    """What an operator decided about a host that runs servers; what its agent says is in the kernel's ``hosts``.

    ``id`` is also the id of its resource provider; ``number`` is its id before microversion 2.53.
    """

    __tablename__ = "compute_hosts"
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    number: Mapped[int] = mapped_column(unique=True)
    boot_id: Mapped[str] = mapped_column(String(64), default="")
    """Of the machine (not of its agent) when its guests were last settled."""
    inventory: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was last told to Placement."""
    disabled: Mapped[bool] = mapped_column(default=False)
    disabled_reason: Mapped[str | None] = mapped_column(String(255))
    forced_down: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Migration(Row):
    """A server's way from one host or size to another: what confirm and revert need to know."""

    __tablename__ = "compute_migrations"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    server_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    source_host: Mapped[str] = mapped_column(String(255))
    target_host: Mapped[str | None] = mapped_column(String(255))
    old_flavor: Mapped[dict[str, Any]]
    new_flavor: Mapped[dict[str, Any]]
    was: Mapped[str] = mapped_column(String(20))
    """The server's state before, which a revert brings back."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ConsoleToken(Row):
    """A right to open one server's console for a few minutes; the token itself is not kept."""

    __tablename__ = "compute_console_tokens"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255))
    protocol: Mapped[str] = mapped_column(String(20))
    expires_at: Mapped[datetime]


class Stray(Row):
    """A guest on a host that no server stands for: reported to the operator, never destroyed by itself."""

    __tablename__ = "compute_strays"
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    guest_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    found_at: Mapped[datetime]
