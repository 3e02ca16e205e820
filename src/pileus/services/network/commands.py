"""What the control plane tells a host about its networks, and what the host answers.

Rule: a command carries complete specs, never differences, and the stamp of the snapshot they were read from; the
host ignores a spec older than the one it obeyed last, so that commands may arrive late, twice or out of order.
"""

import msgspec

from pileus.kernel.agent.command import Command
from pileus.services.network.wanted import (
    DhcpSpec,
    Drift,
    ExternalNetworkSpec,
    Facts,
    Inventory,
    NetworkSpec,
    PortSpec,
    PortWiring,
    RouterSpec,
    SecurityGroupSpec,
)


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of things that shall no longer be on the host."""

    routers: tuple[str, ...] = ()
    dhcp: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


class Wired(msgspec.Struct, frozen=True, kw_only=True):
    """What a host made of the ports it was given."""

    ports: tuple[PortWiring, ...] = ()


class EnsureNetworks(Command[Wired], frozen=True, kw_only=True):
    """Make these things true on the host, in this order: networks, externals, groups, ports, DHCP, routers; then
    remove what is gone, in the reverse order.

    ``stamp`` grows with every change of the control plane's rows.  The host remembers, for each id, the stamp of the
    last spec (or removal) it obeyed and skips whatever is older; a process that has just started remembers nothing
    and is soon sent everything.  With ``complete`` the command holds all that the host shall have: whatever else its
    inventory shows is removed too, except what a later stamp brought.  A network or a group that is still used is
    left for a later command instead of failing this one.  Ports that are plugged already get their rules renewed.
    """

    stamp: int
    networks: tuple[NetworkSpec, ...] = ()
    externals: tuple[ExternalNetworkSpec, ...] = ()
    security_groups: tuple[SecurityGroupSpec, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    dhcp: tuple[DhcpSpec, ...] = ()
    routers: tuple[RouterSpec, ...] = ()
    gone: Gone = Gone()
    complete: bool = False


class DescribeNetworks(Command[Inventory], frozen=True, kw_only=True):
    """List what of this cloud is on the host."""


class FindNetworkDrift(Command[Drift], frozen=True, kw_only=True):
    """Tell what this host has been told to make, has made, and has lost since; it expects to be told all anew."""


class DescribeNetworkDriver(Command[Facts], frozen=True, kw_only=True):
    """Tell what the host's driver is and can do."""
