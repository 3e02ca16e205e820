"""What a host's networks shall look like, told by the control plane in frozen structs.

One rule: this module imports nothing of Pileus and decides nothing. The control plane builds these structs from its
rows, commands carry them to a host, drivers make them true. Every struct is complete in itself: a driver needs no
earlier message to obey it, except that a port or a router leg needs its network on the host first.
Addresses are text: `ip` is a bare address, `address` an interface address with its prefix length (`10.0.0.1/24`),
`cidr` a network.
"""

from enum import StrEnum

import msgspec

METADATA_IP = "169.254.169.254"


class Plug(StrEnum):
    """How a guest meets the bridge: a tap for a virtual machine, a veth pair for a container or a test."""

    TAP = "tap"
    VETH = "veth"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    destination: str
    nexthop: str


class RemoteMac(msgspec.Struct, frozen=True, kw_only=True):
    """A port of this network that lives on another host, reached through that host's tunnel address."""

    mac: str
    tunnel_ip: str


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A network as far as this host carries it.

    `vni` joins it to other hosts by VXLAN: `tunnel_peers` are the other hosts' tunnel addresses (they receive
    broadcasts), `remote_macs` the ports known to live there. `physical_network` joins it to the interface that the
    driver's configuration names for it. With neither, the network lives on this host alone.
    """

    id: str
    mtu: int = 1500
    vni: int | None = None
    tunnel_peers: tuple[str, ...] = ()
    remote_macs: tuple[RemoteMac, ...] = ()
    physical_network: str | None = None


class ExternalNetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The provider side of an external network.

    `host_addresses` give the host itself a leg in the network (usually the subnets' gateway addresses), so that
    floating IPs can be reached from it. `masquerade` hides the network behind the host's own address on the way out.
    """

    network: NetworkSpec
    host_addresses: tuple[str, ...] = ()
    masquerade: bool = False


class SubnetSpec(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    cidr: str
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[Route, ...] = ()
    ipv6_address_mode: str | None = None
    ipv6_ra_mode: str | None = None


class DhcpOption(msgspec.Struct, frozen=True, kw_only=True):
    """An extra DHCP option of one port: its name or number, its value, and 4 or 6."""

    name: str
    value: str
    ip_version: int = 4


class DhcpHost(msgspec.Struct, frozen=True, kw_only=True):
    """One port that DHCP shall answer: `ips` holds at most one address of each subnet."""

    port_id: str
    mac: str
    ips: tuple[str, ...] = ()
    hostname: str | None = None
    options: tuple[DhcpOption, ...] = ()


class DhcpSpec(msgspec.Struct, frozen=True, kw_only=True):
    """DHCP, DNS and metadata for one network, served from a namespace that owns the DHCP port.

    `addresses` are the DHCP port's own, one for each subnet with DHCP. `metadata` answers at 169.254.169.254 there and
    tells guests the way by option 121.
    """

    network_id: str
    port_id: str
    mac: str
    addresses: tuple[str, ...]
    subnets: tuple[SubnetSpec, ...]
    hosts: tuple[DhcpHost, ...] = ()
    mtu: int = 1500
    domain: str = "openstacklocal"
    lease_s: int = 86400
    metadata: bool = True


class AddressPair(msgspec.Struct, frozen=True, kw_only=True):
    """A further address (or a whole cidr) that a guest may use as its own."""

    ip: str
    mac: str


class PortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's port.

    `owner_uid` is the user that may open the tap (QEMU's), None for root alone. A port whose `port_security` is off
    is not filtered at all. One that is on and has no groups gets DHCP and nothing else. `admin_up` False cuts it off.
    """

    id: str
    network_id: str
    mac: str
    ips: tuple[str, ...] = ()
    plug: Plug = Plug.TAP
    owner_uid: int | None = None
    port_security: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    admin_up: bool = True
    dhcp: DhcpHost | None = None
    """What the network's DHCP server answers it, where this host runs one."""


class PortWiring(msgspec.Struct, frozen=True, kw_only=True):
    """What `ensure_port` made: the interface to hand to the guest, and what the guest should be told of it.

    For a tap, `interface` is the tap. For a veth pair it is the bridge's end and `guest_interface` the free end, to be
    moved into the guest's namespace.
    """

    port_id: str
    interface: str
    guest_interface: str
    mac: str
    mtu: int


class RuleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One security group rule. `protocol` is a name or a number; for ICMP the range holds type and code."""

    id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None


class SecurityGroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A group's rules, and the addresses of all its members in the cloud (other groups' rules may name it).

    The group is the unit of change: a new member or rule costs each host one command, however many ports use it.
    """

    id: str
    rules: tuple[RuleSpec, ...] = ()
    member_ips: tuple[str, ...] = ()


class GroupRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a group that ports of this host are in."""

    id: str
    rules: tuple[RuleSpec, ...] = ()


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One port's addresses in a group, those of its allowed pairs included; none once it is no member any more."""

    port_id: str
    ips: tuple[str, ...] = ()


class GroupMembers(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a group that a rule here names: all of them, or those that changed.

    ``since`` None: all, and whoever else was one is none.  Otherwise the number up to which the host must know the
    group for these changes to complete what it knows.
    """

    id: str
    members: tuple[Member, ...] = ()
    since: int | None = None


class RouterLeg(msgspec.Struct, frozen=True, kw_only=True):
    """A router's port on one network. `ipv6_ra_mode` other than None makes it advertise its IPv6 prefixes."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]
    mtu: int = 1500
    ipv6_ra_mode: str | None = None


class FloatingIpSpec(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    floating_ip: str
    fixed_ip: str


class RouterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A router: its inner legs, its way out, and the addresses it translates.

    `nexthops` are the default gateways (at most one of each IP version) beyond the external leg.
    """

    id: str
    interfaces: tuple[RouterLeg, ...] = ()
    gateway: RouterLeg | None = None
    nexthops: tuple[str, ...] = ()
    enable_snat: bool = True
    floating_ips: tuple[FloatingIpSpec, ...] = ()
    routes: tuple[Route, ...] = ()
    metadata: bool = True
    admin_up: bool = True


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What is on this host and belongs to this cloud: ids of the things the verbs made."""

    networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    dhcp: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    """Filters that are not there or have no rules, though every filter of ours has some: somebody has flushed them."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a host made and that is no longer as it was made: a kind of the inventory, an id, what is amiss.

    The kind ``plugs`` is a port whose tap is there, but which no guest holds since it had to be made again.
    """

    kind: str
    id: str
    what: str = "it is not there"

    def __str__(self) -> str:
        return f"{self.kind} {self.id}: {self.what}"


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What a host has lost, and the ports that had been cut off and are held by their guests again."""

    lost: tuple[Lost, ...] = ()
    healed: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator and the placement of networks need to know of the host's driver."""

    driver: str
    tunnel_ip: str | None = None
    physical_networks: tuple[str, ...] = ()
    versions: dict[str, str] = {}
