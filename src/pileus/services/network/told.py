"""What this process of a host has been told of what comes by difference: members of groups, and whom DHCP answers.

Rule: a difference is taken only where it completes what is known; otherwise the host lacks the whole, and says so.  A
process that has just started knows nothing, whatever is on its host.
"""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from pileus.services.network.drivers.base import HostNetworkError, NetworkDriver
from pileus.services.network.wanted import DhcpHost, DhcpSpec, GroupMembers, PortSpec, RuleSpec, SecurityGroupSpec

REMEMBERED = 20_000
"""Groups that went of which is remembered when, lest a late word brings them back."""


@dataclass
class Known:
    """One group's members by port, as of the change ``number``, and how many ports have each address."""

    number: int = -1
    ports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ips: Counter[str] = field(default_factory=Counter)

    def completed_by(self, told: GroupMembers, stamp: int) -> bool:
        """Tell whether a word of ``stamp`` completes what is known, or comes too late to matter."""
        return told.since is None or self.number >= min(told.since, stamp)

    def change(self, told: GroupMembers, stamp: int) -> "Change | None":
        """Return what a word changes; None where something later is known.

        What is told is how ports are at ``stamp``, not what has happened to them: told twice it changes nothing.
        """
        if self.number > stamp:
            return None
        before = self.ports if told.since is not None else {}
        fresh = {one.port_id: one.ips for one in told.members if one.ips != before.get(one.port_id, ())}
        more: Counter[str] = Counter()
        for port_id, ips in fresh.items():
            more.update(ips)
            more.subtract(before.get(port_id, ()))
        return Change(stamp, told.since is None, fresh, more)

    def take(self, change: "Change") -> None:
        """Know what was changed."""
        if change.whole:
            self.ports, self.ips = {}, Counter()
        self.number = change.number
        for port_id, ips in change.ports.items():
            if ips:
                self.ports[port_id] = ips
            else:
                self.ports.pop(port_id, None)
        for ip, more in change.more.items():
            self.ips[ip] += more
            if self.ips[ip] <= 0:
                del self.ips[ip]


@dataclass(frozen=True)
class Change:
    """What a word about a group's members changes: ports, and by how many ports more an address is had."""

    number: int
    whole: bool
    ports: dict[str, tuple[str, ...]]
    more: Counter[str]

    def added(self, known: Known) -> list[str]:
        return [ip for ip, more in self.more.items() if more > 0 and (self.whole or ip not in known.ips)]

    def removed(self, known: Known) -> list[str]:
        return [ip for ip, more in self.more.items() if ip in known.ips and known.ips[ip] + more <= 0]


@dataclass
class Groups:
    """The groups of one host."""

    _rules: dict[str, tuple[RuleSpec, ...]] = field(default_factory=dict)
    _members: dict[str, Known] = field(default_factory=dict)
    _rules_at: dict[str, int] = field(default_factory=dict)
    _gone_at: dict[str, int] = field(default_factory=dict)

    async def ensure(
        self,
        driver: NetworkDriver,
        id: str,
        stamp: int,
        rules: tuple[RuleSpec, ...] | None,
        told: GroupMembers | None,
    ) -> bool:
        """Have the driver make a group as told, as far as nothing later was told; return whether members lack."""
        if self._gone_at.get(id, -1) > stamp:
            return False
        known = self._members.get(id, Known())
        lacks = told is not None and not known.completed_by(told, stamp)
        change = None if told is None or lacks else known.change(told, stamp)
        fresh = rules is not None and self._rules_at.get(id, -1) <= stamp
        shown = rules if fresh and rules is not None else self._rules.get(id, ())
        if fresh or (change is not None and change.whole):
            await self._write(driver, id, shown, known, change)
        elif change is not None and change.ports:
            added, removed = change.added(known), change.removed(known)
            try:
                if added or removed:
                    await driver.change_members(id, added, removed)
            except HostNetworkError:  # somebody else has changed it
                await self._write(driver, id, shown, known, change)
        if fresh:
            self._rules[id], self._rules_at[id] = shown, stamp
        if change is not None:
            known.take(change)
            self._members[id] = known
        return lacks

    async def _write(
        self, driver: NetworkDriver, id: str, rules: tuple[RuleSpec, ...], known: Known, change: Change | None
    ) -> None:
        ips = set[str]() if change is not None and change.whole else {*known.ips}
        if change is not None:
            ips = ips.difference(change.removed(known)).union(change.added(known))
        await driver.ensure_security_group(SecurityGroupSpec(id=id, rules=rules, member_ips=tuple(sorted(ips))))

    def forget(self, id: str, stamp: int) -> None:
        """Take note that a group is gone."""
        for memory in (self._rules, self._members, self._rules_at):
            memory.pop(id, None)
        self._gone_at[id] = stamp
        if len(self._gone_at) > REMEMBERED:
            del self._gone_at[next(iter(self._gone_at))]


@dataclass
class Answers:
    """Whom the DHCP servers of one host answer, by network and port."""

    complete: bool = False
    """Whether this process has been told of all ports: from then on it hears of each as it comes."""
    servers: dict[str, DhcpSpec] = field(default_factory=dict)
    _hosts: dict[str, dict[str, DhcpHost]] = field(default_factory=dict)
    _network_of: dict[str, str] = field(default_factory=dict)

    def plugged(self, port: PortSpec) -> None:
        """Take note of what a port is answered."""
        held = self._hosts.setdefault(port.network_id, {}) if self.complete else self._hosts.get(port.network_id)
        if held is None:
            return
        if port.dhcp is None:
            held.pop(port.id, None)
        else:
            held[port.id] = port.dhcp
            self._network_of[port.id] = port.network_id

    def unplugged(self, port_id: str) -> str | None:
        """Take note that a port is gone; return the network whose server answers it no longer."""
        network_id = self._network_of.pop(port_id, None)
        if network_id is None or self._hosts.get(network_id, {}).pop(port_id, None) is None:
            return None
        return network_id if network_id in self.servers else None

    def serve(self, server: DhcpSpec, *, whole: bool) -> DhcpSpec | None:
        """Return a server as it shall be; None where the other ports that it answers are not known."""
        if whole:
            self._hosts[server.network_id] = {host.port_id: host for host in server.hosts}
            self._network_of.update(dict.fromkeys(self._hosts[server.network_id], server.network_id))
        elif self.complete:
            self._hosts.setdefault(server.network_id, {})
        if server.network_id not in self._hosts:
            return None
        self.servers[server.network_id] = msgspec.structs.replace(server, hosts=())
        return self.present(server.network_id)

    def present(self, network_id: str) -> DhcpSpec:
        """Return a server with all ports that it answers."""
        held = self._hosts[network_id]
        return msgspec.structs.replace(self.servers[network_id], hosts=tuple(held[id] for id in sorted(held)))

    def gone(self, network_id: str) -> None:
        """Take note that a network is served no longer."""
        self.servers.pop(network_id, None)
        for port_id in self._hosts.pop(network_id, {}):
            self._network_of.pop(port_id, None)
