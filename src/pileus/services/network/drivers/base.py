"""The verbs that every network driver obeys.

One rule: each verb is idempotent. `ensure_*` makes the given state true whatever was there before, `ensure_*_gone`
succeeds when there is nothing left to remove; both may be cut short by `kill -9` and called again by a new process.
A driver keeps its truth on the host, not in memory, and never touches what another cloud made.
"""

from collections.abc import Sequence
from typing import Protocol

from pileus.services.network.wanted import (
    DhcpSpec,
    ExternalNetworkSpec,
    Facts,
    Inventory,
    Lost,
    NetworkSpec,
    PortSpec,
    PortWiring,
    RouterSpec,
    SecurityGroupSpec,
)


class HostNetworkError(Exception):
    """The host could not be brought into the wanted state; the sentence names the thing, the cause and the remedy."""


class StillInUse(HostNetworkError):
    """A network or a group cannot be removed while something on this host uses it; nothing is wrong with the host."""


class NetworkDriver(Protocol):
    """One host's networks. Verbs about different things may run at the same time."""

    async def start(self) -> None:
        """Find what an earlier process left and serve it again: metadata listeners, DHCP servers that died."""
        ...

    async def close(self) -> None:
        """Stop serving in this process; networks, ports, routers and DHCP servers stay."""
        ...

    async def stop_servers(self) -> None:
        """End the processes that serve (DHCP); networks, ports and routers stay, and `start` brings the rest back."""
        ...

    async def facts(self) -> Facts: ...

    async def inventory(self) -> Inventory:
        """List what is here, read from the host itself, for reconcilers to compare with what is wanted."""
        ...

    async def damage(self) -> list[Lost]:
        """Compare what this process made, thing by thing, with what is on the host now."""
        ...

    async def doubt(self) -> None:
        """Forget what this process remembers of the host: somebody else has changed it."""
        ...

    async def ensure_network(self, network: NetworkSpec) -> None:
        """Make the network's switch, with its tunnel or its physical uplink."""
        ...

    async def ensure_network_gone(self, network_id: str) -> None:
        """Remove the switch and its host leg. StillInUse while ports, DHCP or routers are plugged in."""
        ...

    async def ensure_external_network(self, external: ExternalNetworkSpec) -> None:
        """Make an external network's switch and the host's own leg in it. Raise if the host uses the cidr already."""
        ...

    async def ensure_security_group(self, group: SecurityGroupSpec) -> None:
        """Replace the group's rules and members; connections that no rule allows any longer are cut."""
        ...

    async def change_members(self, group_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
        """Let addresses (or cidrs) in as members of a group that is here, and others no longer.

        Connections that no rule allows any longer are cut.  Raises when the group is not here, or differs from what was
        ensured: `ensure_security_group` puts that right.
        """
        ...

    async def ensure_security_group_gone(self, group_id: str) -> None:
        """Remove the group. StillInUse while a port has it; rules of other groups that name it match nobody."""
        ...

    async def ensure_port(self, port: PortSpec) -> PortWiring:
        """Plug a guest's port: interface, anti-spoofing, filters. Its network and groups must be here."""
        ...

    async def ensure_port_rules(self, port: PortSpec) -> None:
        """Renew only the filters of a port: addresses, allowed pairs, groups, port security. Must be plugged."""
        ...

    async def ensure_port_gone(self, port_id: str) -> None: ...

    async def ensure_dhcp(self, dhcp: DhcpSpec) -> None:
        """Serve DHCP, DNS and metadata on a network; a change of hosts alone does not interrupt the service."""
        ...

    async def ensure_dhcp_gone(self, network_id: str) -> None: ...

    async def ensure_router(self, router: RouterSpec) -> None:
        """Make the router with exactly these legs, translations and routes; open connections survive."""
        ...

    async def ensure_router_gone(self, router_id: str) -> None: ...

    async def ensure_all_gone(self) -> None:
        """Remove all that this cloud made on this host and give back what was changed of the host's own settings."""
        ...
