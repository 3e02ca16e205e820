"""The host side of networking: takes the control plane's commands in any order and has the driver make them true.

One rule: of two specs of one thing the one with the higher stamp wins, whichever comes first; what comes by difference
is kept in ``told``.
"""

import asyncio
import logging
from asyncio import gather
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol
from weakref import WeakValueDictionary

from pileus.kernel.agent import AgentPart, Command, Handler, HostContext
from pileus.kernel.errors import Unavailable
from pileus.kernel.service import AgentSettings
from pileus.services.network import metadata_signature
from pileus.services.network.commands import (
    DescribeNetworkDriver,
    DescribeNetworks,
    EnsureNetworks,
    FindNetworkDrift,
    Lacks,
    Wired,
)
from pileus.services.network.drivers.base import HostNetworkError, NetworkDriver, StillInUse
from pileus.services.network.drivers.fake import FakeNetworkDriver
from pileus.services.network.model import NetworkSettings
from pileus.services.network.told import Answers, Groups
from pileus.services.network.wanted import DhcpSpec, Drift, Facts, Inventory, Lost, PortSpec, PortWiring

log = logging.getLogger(__name__)

REMEMBERED = 20_000
"""Things whose last stamp is remembered; the longest untouched are forgotten first."""
TURN_S = 60.0
"""How long one thing may take to be made or removed; what waits behind it is told sooner than it gives up."""
KINDS = ("networks", "security_groups", "ports", "dhcp", "routers")
"""What an inventory lists, in the order in which it can be made; removal goes the other way."""


class Obey(Protocol):
    """Called with what a thing is, its id, what to do about it, and whether it is gone afterwards.

    ``late``: what to do is also judged by what it is about: it is called although something later was obeyed.
    """

    def __call__(
        self, kind: str, id: str, act: Callable[[], Awaitable[None]], *, gone: bool = False, late: bool = False
    ) -> Awaitable[None]: ...


class NetworkPart(AgentPart):
    """Networks, ports and routers of one host."""

    service = "network"

    def __init__(self, driver: NetworkDriver) -> None:
        self.driver = driver
        self._stamps: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._wirings: dict[str, PortWiring] = {}
        self._groups, self._answers = Groups(), Answers()
        self._made: dict[str, set[str]] = {kind: set() for kind in KINDS}
        """What this process was told to make and has made."""
        self._cut: set[str] = set()
        """Ports whose tap was lost and made again while a guest may have held the old one."""
        self._touched: set[tuple[str, str]] = set()
        """What was changed since the last look for drift began."""
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        return {
            EnsureNetworks: self.ensure_networks,
            DescribeNetworks: self.describe_networks,
            DescribeNetworkDriver: self.describe_driver,
            FindNetworkDrift: self.find_drift,
        }

    async def start(self, host: HostContext) -> None:
        try:
            await self.driver.start()
        except HostNetworkError as error:
            raise Unavailable(str(error)) from error

    async def stop(self) -> None:
        await self.driver.close()

    async def facts(self) -> dict[str, Any]:
        facts = await self.describe_driver(DescribeNetworkDriver())
        return {
            "driver": facts.driver,
            "tunnel_ip": facts.tunnel_ip,
            "physical_networks": list(facts.physical_networks),
            "versions": facts.versions,
        }

    async def clear(self, *, purge: bool) -> None:
        try:
            await (self.driver.ensure_all_gone() if purge else self.driver.stop_servers())
        finally:
            await self.driver.close()

    async def describe_networks(self, command: DescribeNetworks) -> Inventory:
        try:
            return await self.driver.inventory()
        except HostNetworkError as error:
            raise Unavailable(str(error)) from error

    async def describe_driver(self, command: DescribeNetworkDriver) -> Facts:
        try:
            return await self.driver.facts()
        except HostNetworkError as error:
            raise Unavailable(str(error)) from error

    async def find_drift(self, command: FindNetworkDrift) -> Drift:
        """Compare what was made with what is here; say nothing of what is being changed meanwhile."""
        self._touched = set(self._turns)
        found = await self.describe_networks(DescribeNetworks())
        try:
            damaged = await self.driver.damage()
        except HostNetworkError as error:
            raise Unavailable(str(error)) from error
        lost = [Lost(kind=k, id=id) for k in KINDS for id in sorted(self._made[k] - set(getattr(found, k)))]
        named = {(one.kind, one.id) for one in lost}
        lost += [one for one in damaged if one.kind != "plugs" and (one.kind, one.id) not in named]
        if not self._touched:
            lost += [Lost(kind="rules", id=chain) for chain in found.bare]
        lost = [one for one in lost if (one.kind, one.id) not in self._touched]
        if lost:
            await self.driver.doubt()
        self._cut |= {one.id for one in lost if one.kind == "ports"}
        unheld = {one.id for one in damaged if one.kind == "plugs"} & self._cut
        healed = self._cut - unheld - {one.id for one in lost}
        self._cut -= healed
        return Drift(
            lost=(*lost, *(one for one in damaged if one.kind == "plugs" and one.id in unheld)),
            healed=tuple(sorted(healed & self._made["ports"])),
        )

    async def ensure_networks(self, command: EnsureNetworks) -> Wired:
        """Obey as far as possible; what the host refused is told together, after all else has been done."""
        refusals: list[str] = []
        driver = self.driver
        obey = self._obeyer(command.stamp, refusals)
        await gather(*(obey("networks", n.id, partial(driver.ensure_network, n)) for n in command.networks))
        outer = ((e.network.id, partial(driver.ensure_external_network, e)) for e in command.externals)
        await gather(*(obey("networks", id, act) for id, act in outer))
        groups = await self._ensure_groups(command, obey)
        await gather(*(obey("ports", p.id, partial(self._plug, p)) for p in command.ports))
        dhcp = await self._serve(command, obey)
        await gather(*(obey("routers", r.id, partial(driver.ensure_router, r)) for r in command.routers))
        await self._remove(command, obey)
        if refusals:
            raise Unavailable(" ".join(refusals))
        wirings = tuple(self._wirings[port.id] for port in command.ports if port.id in self._wirings)
        return Wired(ports=wirings, lacks=Lacks(groups=groups, dhcp=dhcp))

    async def _ensure_groups(self, command: EnsureNetworks, obey: Obey) -> tuple[str, ...]:
        """Make groups with their rules and members; return those whose members this process must be told."""
        rules = {one.id: one.rules for one in command.rules}
        members = {one.id: one for one in command.members}
        lacking = {rule.remote_group_id for held in rules.values() for rule in held if rule.remote_group_id}
        lacking -= members.keys()

        async def ensure(id: str) -> None:
            if await self._groups.ensure(self.driver, id, command.stamp, rules.get(id), members.get(id)):
                lacking.add(id)

        ids = sorted(rules.keys() | members.keys())
        await gather(*(obey("security_groups", id, partial(ensure, id), late=True) for id in ids))
        return tuple(sorted(lacking))

    async def _serve(self, command: EnsureNetworks, obey: Obey) -> tuple[str, ...]:
        """Make DHCP servers; return the networks of which this process must be told whom they answer."""
        lacking: list[str] = []

        async def serve(server: DhcpSpec, *, whole: bool) -> None:
            told = self._answers.serve(server, whole=whole)
            if told is None:
                lacking.append(server.network_id)
            else:
                await self.driver.ensure_dhcp(told)

        await gather(*(obey("dhcp", one.network_id, partial(serve, one, whole=True)) for one in command.dhcp))
        await gather(*(obey("dhcp", one.network_id, partial(serve, one, whole=False)) for one in command.served))
        self._answers.complete |= command.complete
        return tuple(lacking)

    async def _plug(self, port: PortSpec) -> None:
        self._wirings[port.id] = await self.driver.ensure_port(port)
        self._answers.plugged(port)

    async def _unplug(self, port_id: str) -> None:
        await self.driver.ensure_port_gone(port_id)
        self._wirings.pop(port_id, None)
        network_id = self._answers.unplugged(port_id)
        if network_id is not None:
            async with self._turns.setdefault(("dhcp", network_id), asyncio.Lock()):
                if network_id in self._answers.servers:
                    await self.driver.ensure_dhcp(self._answers.present(network_id))

    async def _serve_no_more(self, network_id: str) -> None:
        await self.driver.ensure_dhcp_gone(network_id)
        self._answers.gone(network_id)

    async def _drop_group(self, stamp: int, group_id: str) -> None:
        await self.driver.ensure_security_group_gone(group_id)
        self._groups.forget(group_id, stamp)

    async def _remove(self, command: EnsureNetworks, obey: Obey) -> None:
        removers: dict[str, Callable[[str], Awaitable[None]]] = {
            "routers": self.driver.ensure_router_gone,
            "dhcp": self._serve_no_more,
            "ports": self._unplug,
            "security_groups": partial(self._drop_group, command.stamp),
            "networks": self.driver.ensure_network_gone,
        }
        unwanted = await self._unwanted(command) if command.complete else {}
        for kind in reversed(KINDS):
            ids = {*getattr(command.gone, kind), *unwanted.get(kind, ())}
            await gather(*(obey(kind, id, partial(removers[kind], id), gone=True) for id in sorted(ids)))

    async def _unwanted(self, command: EnsureNetworks) -> dict[str, set[str]]:
        """Tell what is here that a complete command does not name."""
        found = await self.describe_networks(DescribeNetworks())
        wanted = {
            "networks": {n.id for n in command.networks} | {e.network.id for e in command.externals},
            "security_groups": {g.id for g in (*command.rules, *command.members)},
            "ports": {p.id for p in command.ports},
            "dhcp": {d.network_id for d in (*command.dhcp, *command.served)},
            "routers": {r.id for r in command.routers},
        }
        return {kind: set(getattr(found, kind)) - wanted[kind] for kind in KINDS}

    def _obeyer(self, stamp: int, refusals: list[str]) -> Obey:
        """Make the function that acts on one thing, unless a later word about it was obeyed already."""

        async def obey(
            kind: str, id: str, act: Callable[[], Awaitable[None]], *, gone: bool = False, late: bool = False
        ) -> None:
            self._touched.add((kind, id))
            async with self._turns.setdefault((kind, id), asyncio.Lock()):
                latest = self._stamps.get((kind, id), -1)
                if latest > stamp and not late:
                    return
                try:
                    async with asyncio.timeout(TURN_S):
                        await act()
                except TimeoutError:
                    refusals.append(f"{kind} {id} was not done within {TURN_S:.0f} s and was stopped.")
                    return
                except StillInUse as error:
                    log.info("%s", error)
                    return
                except HostNetworkError as error:
                    refusals.append(str(error))
                    return
                (self._made[kind].discard if gone else self._made[kind].add)(id)
                self._stamps[kind, id] = max(stamp, latest)
                self._stamps.move_to_end((kind, id))
                if len(self._stamps) > REMEMBERED:
                    self._stamps.popitem(last=False)

        return obey


def network_part(settings: AgentSettings) -> NetworkPart:
    """Make a host's part with the driver that its settings name."""
    if settings.fake:
        return NetworkPart(FakeNetworkDriver())
    # Imported where it is needed: a fake cloud runs on hosts that have none of what the Linux driver loads.
    from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
    from pileus.services.network.drivers.linux.host import Settings as LinuxSettings
    from pileus.services.network.drivers.linux.metadata import MetadataUpstream

    chosen = settings.config.get(NetworkSettings)
    state = settings.config.state
    here = f"unix://{state / 'run' / 'api.sock'}:{metadata_signature.PATH}"
    return NetworkPart(
        LinuxNetworkDriver(
            LinuxSettings(
                folder=settings.folder("network"),
                cloud_id=settings.cloud_id,
                tunnel_ip=chosen.tunnel_ip,
                tunnel_port=chosen.tunnel_port,
                physical_interfaces=chosen.physical_interfaces,
                guest_tcp_ports=tuple(chosen.guest_tcp_ports),
            ),
            MetadataUpstream(chosen.metadata_url or here, metadata_signature.shared_secret(state)),
        )
    )
