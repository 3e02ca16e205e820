"""What the control plane tells a host about its networks, and what the host answers.

Rule: a command carries the stamp of the snapshot that it was read from, and complete specs, of which the host ignores
those older than what it obeyed last; only what grows with the cloud (a group's members, the ports that DHCP answers)
travels by difference, numbered by the same stamps, and a host that lacks what a difference builds on says so.  So
commands may arrive late, twice, out of order or never.
"""

import msgspec

from pileus.kernel.agent.command import Command
from pileus.services.network.wanted import (
    DhcpSpec,
    Drift,
    ExternalNetworkSpec,
    Facts,
    GroupMembers,
    GroupRules,
    Inventory,
    NetworkSpec,
    PortSpec,
    PortWiring,
    RouterSpec,
)


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of things that shall no longer be on the host."""

    routers: tuple[str, ...] = ()
    dhcp: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


class Lacks(msgspec.Struct, frozen=True, kw_only=True):
    """What a host must be told as a whole, since it lacks what it was told a difference of.

    ``groups``: those whose members it does not know; ``dhcp``: networks whose other ports it does not know.
    """

    groups: tuple[str, ...] = ()
    dhcp: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.groups or self.dhcp)


class Wired(msgspec.Struct, frozen=True, kw_only=True):
    """What a host made of the ports it was given, and what it has to be told besides."""

    ports: tuple[PortWiring, ...] = ()
    lacks: Lacks = Lacks()


class EnsureNetworks(Command[Wired], frozen=True, kw_only=True):
    """Make these things true on the host, in this order: networks, externals, groups, ports, DHCP, routers; then
    remove what is gone, in the reverse order.

    ``rules`` are those of groups that ports here are in, ``members`` those of groups that such rules name.  ``dhcp``
    are servers with all ports that they answer; those in ``served`` answer, beside the ports of this command, whom
    they answered before.

    ``stamp`` grows with every change of the control plane's rows.  The host remembers, for each id, the stamp of the
    last spec (or removal) it obeyed and skips whatever is older; a process that has just started remembers nothing
    and is soon sent everything.  With ``complete`` the command holds all that the host shall have: whatever else its
    inventory shows is removed too, except what a later stamp brought.  A network or a group that is still used is
    left for a later command instead of failing this one.  Ports that are plugged already get their rules renewed.
    """

    stamp: int
    networks: tuple[NetworkSpec, ...] = ()
    externals: tuple[ExternalNetworkSpec, ...] = ()
    rules: tuple[GroupRules, ...] = ()
    members: tuple[GroupMembers, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    dhcp: tuple[DhcpSpec, ...] = ()
    served: tuple[DhcpSpec, ...] = ()
    routers: tuple[RouterSpec, ...] = ()
    gone: Gone = Gone()
    complete: bool = False


class DescribeNetworks(Command[Inventory], frozen=True, kw_only=True):
    """List what of this cloud is on the host."""


class FindNetworkDrift(Command[Drift], frozen=True, kw_only=True):
    """Tell what this host has been told to make, has made, and has lost since; it expects to be told all anew."""


class DescribeNetworkDriver(Command[Facts], frozen=True, kw_only=True):
    """Tell what the host's driver is and can do."""
