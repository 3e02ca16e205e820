"""The nouns of the network service: rows, limits and settings.

Rule: every fact is in one place.  Who shares a network is in its RBAC entries, which addresses are taken is in the
addresses, what a port is part of (a server, a router, ...) is in its ``role`` and ``holder_id``.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock, ids
from pileus.kernel.config import Settings
from pileus.kernel.db import Row
from pileus.kernel.rest.regular import StandardRow

SHARED = "access_as_shared"
EXTERNAL = "access_as_external"
EVERYBODY = "*"

SERVER = "compute"
ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
DHCP = "network:dhcp"
"""What a port is (``store/roles``)."""
ACTIVE, DOWN, BUILD, ERROR = "ACTIVE", "DOWN", "BUILD", "ERROR"
ZONE = "nova"
DNS_DOMAIN = "openstacklocal."
MAC_PREFIX = "fa:16:3e"
AUTOMATIC_MODES = ("slaac", "dhcpv6-stateless")
"""IPv6 address modes in which a port's address follows from its MAC."""


class NetworkSettings(Settings, frozen=True):
    """Table ``[network]``."""

    underlay_mtu: int = 1500
    """The largest packet the wires between the hosts carry; VXLAN takes 50 bytes of it (70 over IPv6)."""
    tenant_network_type: str = "vxlan"
    """The type of networks whose maker names none: ``vxlan`` or ``local``."""
    vni_first: int = 1
    """The first VXLAN segment that is given out by itself."""
    vni_last: int = 16777215
    """The last one."""
    public_network: str = "public"
    """What the external network of a new cloud is called."""
    public_cidr: str | None = None
    """By default 172.24.4.0/24, or a part of 172.24.0.0/14 that follows from the cloud's id when it has one, so that
    several clouds on one host do not claim the same addresses."""
    private_network: str = "private"
    """What the network of a new cloud's project ``demo`` is called."""
    private_cidr: str = "10.0.0.0/26"
    """Its subnet's addresses."""
    dns_nameservers: list[str] = []
    """What the private network's guests resolve names with; by default the network's own DNS."""
    shared_pool_v4: str = "10.0.0.0/22"
    """Addresses of the default subnet pool that a new cloud shares with all projects."""
    shared_pool_v6: str = "fd00:10::/56"
    """The same for IPv6."""
    tunnel_ip: str | None = None
    """A host's address on the wires between the hosts; without one its networks end at the host."""
    tunnel_port: int = 4789
    """The UDP port of VXLAN between the hosts."""
    physical_interfaces: dict[str, str] = {}
    """Which interface of a host leads into which physical network."""
    guest_tcp_ports: list[int] = []
    """TCP ports of a host that guests may reach through an external network (of the API, for programs in guests that
    use the cloud); all others are closed to them."""
    metadata_url: str | None = None
    """Where a host sends guests' requests for metadata; by default to the server on the same machine."""


class Network(StandardRow, Row):
    """A layer-2 network.  ``shared`` and ``router:external`` are RBAC entries, not columns."""

    __tablename__ = "network_networks"
    __table_args__ = (UniqueConstraint("network_type", "physical_network", "segmentation_id"),)

    name: Mapped[str] = mapped_column(String(255), default="", index=True)
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="ACTIVE")
    mtu: Mapped[int]
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    is_default: Mapped[bool] = mapped_column(default=False)
    network_type: Mapped[str] = mapped_column(String(32))
    physical_network: Mapped[str | None] = mapped_column(String(64))
    segmentation_id: Mapped[int | None]
    dns_domain: Mapped[str] = mapped_column(String(255), default="")
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)


class Subnet(StandardRow, Row):
    __tablename__ = "network_subnets"

    name: Mapped[str] = mapped_column(String(255), default="")
    network_id: Mapped[str] = mapped_column(String(36), index=True)
    ip_version: Mapped[int]
    cidr: Mapped[str] = mapped_column(String(64))
    gateway_ip: Mapped[str | None] = mapped_column(String(64))
    enable_dhcp: Mapped[bool] = mapped_column(default=True)
    allocation_pools: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    dns_nameservers: Mapped[list[str]] = mapped_column(default=list)
    host_routes: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    ipv6_ra_mode: Mapped[str | None] = mapped_column(String(16))
    ipv6_address_mode: Mapped[str | None] = mapped_column(String(16))
    subnetpool_id: Mapped[str | None] = mapped_column(String(36), index=True)
    service_types: Mapped[list[str]] = mapped_column(default=list)
    dns_publish_fixed_ip: Mapped[bool] = mapped_column(default=False)


class Port(StandardRow, Row):
    """A place on a network: ``binding_host`` is the host that carries it, empty while nobody does.

    ``role`` and ``holder_id`` say what the port is part of, and only ``store/roles`` writes them; ``device_owner`` and
    ``device_id`` are what the API shows and users may set.
    """

    __tablename__ = "network_ports"
    __table_args__ = (
        UniqueConstraint("network_id", "mac_address"),
        Index("ix_network_ports_device", "device_id", "device_owner"),
        Index("ix_network_ports_holder", "holder_id", "role"),
        Index("ix_network_ports_host", "binding_host", "network_id"),
    )

    name: Mapped[str] = mapped_column(String(255), default="")
    network_id: Mapped[str] = mapped_column(String(36))
    mac_address: Mapped[str] = mapped_column(String(32))
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    device_id: Mapped[str] = mapped_column(String(255), default="")
    device_owner: Mapped[str] = mapped_column(String(255), default="")
    role: Mapped[str] = mapped_column(String(32), default="")
    holder_id: Mapped[str] = mapped_column(String(255), default="")
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    allowed_address_pairs: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    extra_dhcp_opts: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    dns_name: Mapped[str] = mapped_column(String(255), default="")
    dns_domain: Mapped[str] = mapped_column(String(255), default="")
    binding_host: Mapped[str] = mapped_column(String(255), default="")
    binding_failed_host: Mapped[str] = mapped_column(String(255), default="")
    """The host that an operator asked for and that is none; the port is carried by nobody then."""
    vnic_type: Mapped[str] = mapped_column(String(64), default="normal")
    binding_profile: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Address(Row):
    """One address of one port; that (network, ip) is the key is what keeps two ports from getting one address.

    ``offset`` counts from the subnet's first address; it is what the next free address is found by.  Null for
    those so far into an IPv6 subnet that they are never given out by counting.
    """

    __tablename__ = "network_addresses"
    __table_args__ = (Index("ix_network_addresses_offset", "subnet_id", "offset"),)

    network_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    ip: Mapped[str] = mapped_column(String(64), primary_key=True)
    subnet_id: Mapped[str] = mapped_column(String(36))
    port_id: Mapped[str] = mapped_column(String(36), index=True)
    offset: Mapped[int | None] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(default=0)


class SecurityGroup(StandardRow, Row):
    __tablename__ = "network_security_groups"

    name: Mapped[str] = mapped_column(String(255), default="")
    stateful: Mapped[bool] = mapped_column(default=True)


class DefaultGroup(Row):
    """Which group is a project's default: at most one."""

    __tablename__ = "network_default_groups"
    project_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(36), unique=True)


class SecurityGroupRule(StandardRow, Row):
    __tablename__ = "network_security_group_rules"

    security_group_id: Mapped[str] = mapped_column(String(36), index=True)
    direction: Mapped[str] = mapped_column(String(8))
    ethertype: Mapped[str] = mapped_column(String(8))
    protocol: Mapped[str | None] = mapped_column(String(32))
    port_range_min: Mapped[int | None]
    port_range_max: Mapped[int | None]
    remote_ip_prefix: Mapped[str | None] = mapped_column(String(64))
    remote_group_id: Mapped[str | None] = mapped_column(String(36), index=True)


class PortGroup(Row):
    """A port's membership in a security group."""

    __tablename__ = "network_port_security_groups"
    port_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(36), primary_key=True, index=True)


class Router(StandardRow, Row):
    """A router; its interfaces and its gateway are ports whose ``holder_id`` is its id."""

    __tablename__ = "network_routers"

    name: Mapped[str] = mapped_column(String(255), default="")
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="ACTIVE")
    gateway_port_id: Mapped[str | None] = mapped_column(String(36))
    gateway_network_id: Mapped[str | None] = mapped_column(String(36), index=True)
    enable_snat: Mapped[bool] = mapped_column(default=True)
    routes: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)
    host: Mapped[str] = mapped_column(String(255), default="", index=True)


class FloatingIp(StandardRow, Row):
    __tablename__ = "network_floating_ips"

    floating_network_id: Mapped[str] = mapped_column(String(36), index=True)
    floating_ip_address: Mapped[str] = mapped_column(String(64), index=True)
    floating_port_id: Mapped[str] = mapped_column(String(36))
    port_id: Mapped[str | None] = mapped_column(String(36), index=True)
    fixed_ip_address: Mapped[str | None] = mapped_column(String(64))
    router_id: Mapped[str | None] = mapped_column(String(36), index=True)
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    dns_name: Mapped[str] = mapped_column(String(255), default="")
    dns_domain: Mapped[str] = mapped_column(String(255), default="")


class Share(StandardRow, Row):
    """An RBAC entry: ``target_project`` may use the object in the way ``action`` says."""

    __tablename__ = "network_shares"
    __table_args__ = (UniqueConstraint("object_type", "object_id", "target_project", "action"),)

    object_type: Mapped[str] = mapped_column(String(32))
    object_id: Mapped[str] = mapped_column(String(36))
    target_project: Mapped[str] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(64))


class AddressScope(StandardRow, Row):
    __tablename__ = "network_address_scopes"

    name: Mapped[str] = mapped_column(String(255), default="")
    ip_version: Mapped[int]


class SubnetPool(StandardRow, Row):
    """A stock of prefixes from which subnets are cut."""

    __tablename__ = "network_subnet_pools"

    name: Mapped[str] = mapped_column(String(255), default="")
    ip_version: Mapped[int]
    prefixes: Mapped[list[str]] = mapped_column(default=list)
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    default_prefixlen: Mapped[int]
    default_quota: Mapped[int | None]
    address_scope_id: Mapped[str | None] = mapped_column(String(36), index=True)
    is_default: Mapped[bool] = mapped_column(default=False)


class HostWork(Row):
    """Something a host still has to be told: the thing changed after the host was last told of it.

    Rows are added in the transaction of the change and removed once the host has obeyed what was read after it.
    """

    __tablename__ = "network_host_work"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    host: Mapped[str] = mapped_column(String(255), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    resource_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class MemberChange(Row):
    """That a port came into a group, left it or has other addresses there, and which hosts have not been told yet.

    ``number`` is the stamp of the transaction; the row goes when every follower of the group has been told.
    """

    __tablename__ = "network_member_changes"
    group_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    port_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)


class GroupFollower(Row):
    """That a host is told of a group's members, and up to which change it has been; 0 until it has been told all."""

    __tablename__ = "network_group_followers"
    group_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
    number: Mapped[int] = mapped_column(BigInteger, index=True)


class HostState(Row):
    """What a host has been told as a whole: everything, by an agent process that has not restarted since."""

    __tablename__ = "network_host_states"
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    boot_id: Mapped[str] = mapped_column(String(64))
    told_at: Mapped[datetime]


class Stamp(Row):
    """One row that grows with every change that hosts are told of, so that they know the newer of two commands."""

    __tablename__ = "network_stamp"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
