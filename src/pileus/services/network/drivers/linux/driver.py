"""The Linux driver itself: each verb is a function of its own room, run on one worker thread.

One rule: the kernel's state is the truth. What the driver remembers is only what it read there.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from pileus.services.network.drivers.linux import (
    advertise,
    damage,
    filters,
    metadata,
    namespaces,
    nftables,
    ports,
    routers,
    switches,
)
from pileus.services.network.drivers.linux import dhcp as dhcp_server
from pileus.services.network.drivers.linux.advertise import Advertiser
from pileus.services.network.drivers.linux.damage import Spec
from pileus.services.network.drivers.linux.host import Host, Removal, Settings, alias_id
from pileus.services.network.drivers.linux.metadata import MetadataProxy, MetadataUpstream
from pileus.services.network.drivers.linux.netlink import Link
from pileus.services.network.drivers.linux.watch import Watch
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

P = ParamSpec("P")
T = TypeVar("T")


class LinuxNetworkDriver:
    """One host's networks on the Linux kernel. Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN)."""

    def __init__(self, settings: Settings, upstream: MetadataUpstream | None = None) -> None:
        self._settings = settings
        self._proxy = MetadataProxy(upstream) if upstream else None
        self._advertiser = Advertiser()
        self._watch = Watch(lambda network_id: self._do(dhcp_server.revive, network_id))
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._removers = ThreadPoolExecutor(8, "network removal", initializer=self._stand_on_host)
        self._host: Host | None = None
        self._specs: dict[tuple[str, str], Spec] = {}
        """What this process was last told to make of each thing, and has made."""
        self._standing: dict[str, int | None] = {}
        """Which namespace of a name our sockets stand in."""

    async def start(self) -> None:
        for namespace, kind, id in await self._do(_namespaces):
            if kind == "dhcp":
                self._watch.watch(id, await self._do(dhcp_server.revive, id))
            await self._answer_metadata(namespace, kind, id)

    async def close(self) -> None:
        self._advertiser.hush_all()
        self._watch.forget_all()
        if self._proxy is not None:
            await self._proxy.close()
        await self._do(Host.close)
        self._host = None
        self._worker.shutdown()
        self._removers.shutdown()

    async def stop_servers(self) -> None:
        self._watch.forget_all()
        await self._do(dhcp_server.stop_all)

    async def facts(self) -> Facts:
        return await self._do(_facts)

    async def inventory(self) -> Inventory:
        return await self._do(_inventory)

    async def damage(self) -> list[Lost]:
        seen = await self._do(damage.look)
        found: list[Lost] = []
        for (kind, id), spec in list(self._specs.items()):
            # One by one: nothing else waits for more than one look into a namespace.
            found += await self._do(damage.found, spec, seen)
            if not isinstance(spec, DhcpSpec | RouterSpec):
                continue
            if not self._answers(await self._do(_namespace_of, kind, id), spec):
                found.append(Lost(kind=kind, id=id, what="metadata is not answered there"))
        return found

    def _answers(self, namespace: str, spec: DhcpSpec | RouterSpec) -> bool:
        asked = spec.metadata if isinstance(spec, DhcpSpec) else _asked(spec)
        if self._proxy is None or not asked:
            return True
        here = self._standing.get(namespace) == namespaces.identity(namespace)
        return namespace in self._proxy.served and here

    async def doubt(self) -> None:
        await self._do(Host.doubt)

    async def ensure_network(self, network: NetworkSpec) -> None:
        await self._do(switches.ensure, network)
        self._specs["networks", network.id] = network

    async def ensure_network_gone(self, network_id: str) -> None:
        self._specs.pop(("networks", network_id), None)
        await self._remove(switches.ensure_gone, network_id)

    async def ensure_external_network(self, external: ExternalNetworkSpec) -> None:
        await self._do(switches.ensure_external, external)
        self._specs["networks", external.network.id] = external

    async def ensure_security_group(self, group: SecurityGroupSpec) -> None:
        await self._do(ports.ensure_group, group)

    async def change_members(self, group_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
        await self._do(ports.change_members, group_id, added, removed)

    async def ensure_security_group_gone(self, group_id: str) -> None:
        await self._do(ports.ensure_group_gone, group_id)

    async def ensure_port(self, port: PortSpec) -> PortWiring:
        wiring = await self._do(ports.ensure, port)
        self._specs["ports", port.id] = port
        return wiring

    async def ensure_port_rules(self, port: PortSpec) -> None:
        await self._do(ports.ensure_rules, port)
        self._specs["ports", port.id] = port

    async def ensure_port_gone(self, port_id: str) -> None:
        self._specs.pop(("ports", port_id), None)
        await self._remove(ports.ensure_gone, port_id)

    async def ensure_dhcp(self, dhcp: DhcpSpec) -> None:
        self._watch.forget(dhcp.network_id)
        namespace = await self._do(dhcp_server.ensure, dhcp)
        await self._leave_the_old(namespace)
        self._watch.watch(dhcp.network_id, await self._do(dhcp_server.pid, dhcp.network_id))
        if dhcp.metadata:
            await self._answer_metadata(namespace, "dhcp", dhcp.network_id)
        else:
            await self._stop_metadata(namespace)
        self._specs["dhcp", dhcp.network_id] = dhcp

    async def ensure_dhcp_gone(self, network_id: str) -> None:
        self._specs.pop(("dhcp", network_id), None)
        self._watch.forget(network_id)
        await self._stop_metadata(await self._do(lambda host: host.names.dhcp_namespace(network_id)))
        await self._remove(dhcp_server.ensure_gone, network_id)

    async def ensure_router(self, router: RouterSpec) -> None:
        namespace = await self._do(routers.ensure, router)
        await self._leave_the_old(namespace)
        await self._advertise(namespace, router)
        if _asked(router):
            await self._answer_metadata(namespace, "router", router.id)
        else:
            await self._stop_metadata(namespace)
        self._specs["routers", router.id] = router

    async def ensure_router_gone(self, router_id: str) -> None:
        self._specs.pop(("routers", router_id), None)
        namespace = await self._do(lambda host: host.names.router_namespace(router_id))
        await self._advertise(namespace, RouterSpec(id=router_id))
        await self._stop_metadata(namespace)
        await self._remove(routers.ensure_gone, router_id)

    async def ensure_all_gone(self) -> None:
        self._specs.clear()
        self._advertiser.hush_all()
        self._watch.forget_all()
        if self._proxy is not None:
            await self._proxy.close()
        await self._do(_ensure_all_gone)

    async def _advertise(self, namespace: str, router: RouterSpec) -> None:
        wanted, present = set(advertise.voices(namespace, router)), self._advertiser.said_in(namespace)
        for voice in present - wanted:
            self._advertiser.hush(voice)
        for voice in wanted - present:
            self._advertiser.speak(voice, await self._do(lambda _, v=voice: advertise.speaker(v)))

    async def _leave_the_old(self, namespace: str) -> None:
        """Let go of a namespace that had this name before: sockets in it would answer nobody and keep it alive."""
        now = namespaces.identity(namespace)
        if namespace in self._standing and self._standing[namespace] != now:
            await self._stop_metadata(namespace)
            for voice in self._advertiser.said_in(namespace):
                self._advertiser.hush(voice)
        self._standing[namespace] = now

    async def _answer_metadata(self, namespace: str, kind: str, id: str) -> None:
        if self._proxy is None or namespace in self._proxy.served:
            return
        self._standing[namespace] = namespaces.identity(namespace)
        listener = await self._do(lambda _: metadata.listen(namespace))
        await self._proxy.serve(namespace, kind, id, listener)

    async def _stop_metadata(self, namespace: str) -> None:
        if self._proxy is not None:
            await self._proxy.stop(namespace)

    def _stand_on_host(self) -> None:
        if self._settings.host_netns is not None:
            namespaces.enter(self._settings.host_netns)

    async def _remove(self, gone: Callable[[Host, str], list[Removal]], id: str) -> None:
        loop = asyncio.get_running_loop()
        slow = await self._do(gone, id)
        await asyncio.gather(*(loop.run_in_executor(self._removers, removal) for removal in slow))

    async def _do(self, act: Callable[Concatenate[Host, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def body() -> T:
            if self._host is None:
                self._host = Host(self._settings)
            return act(self._host, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._worker, body)


def _facts(host: Host) -> Facts:
    versions = {"nftables": nftables.engine()}
    versions["dnsmasq"] = namespaces.run("dnsmasq", "--version").split("\n")[0].split(" ")[2]
    settings = host.settings
    return Facts(
        driver="linux",
        tunnel_ip=settings.tunnel_ip,
        physical_networks=tuple(sorted(settings.physical_interfaces)),
        versions=versions,
    )


def _asked(router: RouterSpec) -> bool:
    """Tell whether guests ask for metadata through a router."""
    return router.metadata and bool(router.interfaces)


def _namespace_of(host: Host, kind: str, id: str) -> str:
    return host.names.dhcp_namespace(id) if kind == "dhcp" else host.names.router_namespace(id)


def _namespaces(host: Host) -> list[tuple[str, str, str]]:
    """List (namespace, dhcp or router, id) of ours."""
    owned = ((name, host.names.namespace_owner(name)) for name in namespaces.names())
    return [(name, *owner) for name, owner in owned if owner is not None]


def _inventory(host: Host) -> Inventory:
    links, spaces = host.links(), _namespaces(host)

    def ids(kind: str) -> tuple[str, ...]:
        return tuple(sorted({id for link in links if (id := alias_id(link, kind)) is not None}))

    return Inventory(
        networks=ids("network"),
        ports=ids("port"),
        security_groups=tuple(sorted(ports.groups(host))),
        dhcp=tuple(sorted({id for _, kind, id in spaces if kind == "dhcp"} | {*ids("dhcp")})),
        routers=tuple(sorted({id for _, kind, id in spaces if kind == "router"} | {*ids("router")})),
        bare=tuple(_bare(host, links)) if host.prepared else (),
    )


def _bare(host: Host, links: Sequence[Link]) -> list[str]:
    """List the chains that should have rules and have none."""
    present = {link.name for link in links}
    ports = [name for name in host.numbers if name in present]
    bridges = [link.name for link in links if alias_id(link, "network") is not None]
    wanted = {"inet": filters.inet_chains(ports, bridges), "bridge": filters.bridge_chains(ports)}
    found: list[str] = []
    for family, chains in wanted.items():
        listing = host.nft.list(f"table {family} {host.table}")
        ruled = {entry["rule"]["chain"] for entry in listing if "rule" in entry}
        found += [f"{family} {chain}" for chain in chains if chain not in ruled]
    return found


def _ensure_all_gone(host: Host) -> None:
    gone = {"dhcp": dhcp_server.ensure_gone, "router": routers.ensure_gone}
    for _, kind, id in _namespaces(host):
        for removal in gone[kind](host, id):
            removal()
    for link in host.links():
        host.netlink.delete_link(link.name)
    for family in ("bridge", "inet"):
        host.nft.apply(f"add table {family} {host.table}\ndelete table {family} {host.table}")
    dhcp_server.stop_all(host)
    host.forget()
    host.restore_sysctls()
