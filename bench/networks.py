"""What a host pays for networks: the Linux driver's verbs on this machine. Needs root; made and removed here."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from bench.requests import Progress
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.wanted import (
    DhcpHost,
    DhcpSpec,
    FloatingIpSpec,
    NetworkSpec,
    PortSpec,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)

PORTS, AT_ONCE = 500, 20


@dataclass(frozen=True)
class Cost:
    """One verb, `time_ms` and `cpu_ms` (the agent's own) for each call."""

    name: str
    time_ms: float
    cpu_ms: float


def _id(number: int) -> str:
    return str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128))


def _mac(number: int) -> str:
    return f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def _ip(number: int) -> str:
    return f"10.0.{number // 250}.{number % 250 + 4}"


async def measure(name: str, acts: Sequence[Callable[[], Awaitable[object]]], *, together: bool = False) -> Cost:
    """Run calls one after the other, or all at once."""
    began, cpu = time.perf_counter(), time.process_time()
    if together:
        await asyncio.gather(*(act() for act in acts))
    else:
        for act in acts:
            await act()
    time_ms, cpu_ms = (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000
    return Cost(name, time_ms / len(acts), cpu_ms / len(acts))


async def run(say: Progress) -> list[Cost]:
    """Measure networks, ports in number, DHCP and routers."""
    with tempfile.TemporaryDirectory() as folder:
        driver = LinuxNetworkDriver(Settings(folder=Path(folder), cloud_id="be0c", resolvers=()))
        try:
            return [*await _ports(driver, say), *await _routers(driver, say)]
        finally:
            await driver.ensure_all_gone()
            await driver.close()


async def _ports(driver: LinuxNetworkDriver, say: Progress) -> list[Cost]:
    network = NetworkSpec(id=_id(1), mtu=1450)
    rules = [RuleSpec(id=_id(2), direction="egress")]
    rules += [
        RuleSpec(id=_id(p), direction="ingress", protocol="tcp", port_range_min=p, port_range_max=p)
        for p in (22, 80, 443, 8080)
    ]
    group = SecurityGroupSpec(id=_id(3), rules=tuple(rules), member_ips=tuple(_ip(n) for n in range(PORTS)))
    await driver.ensure_network(network)
    await driver.ensure_security_group(group)
    ports = [
        PortSpec(id=_id(100 + n), network_id=network.id, mac=_mac(n), ips=(_ip(n),), security_group_ids=(group.id,))
        for n in range(PORTS)
    ]

    def ensure(some: Sequence[PortSpec]) -> list[Callable[[], Awaitable[object]]]:
        return [lambda port=port: driver.ensure_port(port) for port in some]

    def remove(some: Sequence[PortSpec]) -> list[Callable[[], Awaitable[object]]]:
        return [lambda port=port: driver.ensure_port_gone(port.id) for port in some]

    say(f"{PORTS} ports")
    first, last = ports[:AT_ONCE], ports[-AT_ONCE:]
    costs = [await measure("a port, on an empty host", ensure(first))]
    for port in ports[AT_ONCE:-AT_ONCE]:
        await driver.ensure_port(port)
    costs += [
        await measure(f"a port, beside {PORTS - AT_ONCE} others", ensure(last)),
        await measure("the same again", ensure(last)),
        await measure(
            f"a member of a group of {PORTS}",
            [
                lambda n=n: driver.ensure_security_group(
                    msgspec.structs.replace(group, member_ips=(*group.member_ips, f"10.1.0.{n}"))
                )
                for n in range(1, 11)
            ],
        ),
        await measure("a port gone, one after the other", remove(last)),
        await measure(f"a port gone, {AT_ONCE} at once", remove(first), together=True),
    ]
    say("removing ports")
    await asyncio.gather(*(act() for act in remove(ports)))
    return costs


async def _routers(driver: LinuxNetworkDriver, say: Progress) -> list[Cost]:
    say("DHCP and routers")
    networks = [NetworkSpec(id=_id(1000 + n), mtu=1450) for n in range(10)]
    costs = [await measure("a network", [lambda n=network: driver.ensure_network(n) for network in networks])]
    servers = [
        DhcpSpec(
            network_id=network.id,
            port_id=_id(1100 + n),
            mac=_mac(1100 + n),
            addresses=("10.0.0.2/16",),
            subnets=(SubnetSpec(id=_id(1200 + n), cidr="10.0.0.0/16", gateway_ip="10.0.0.1"),),
        )
        for n, network in enumerate(networks)
    ]
    hosts = tuple(DhcpHost(port_id=_id(n), mac=_mac(n), ips=(_ip(n),)) for n in range(100))
    legs = [
        RouterLeg(port_id=_id(1300 + n), network_id=network.id, mac=_mac(1300 + n), addresses=("10.0.0.1/16",))
        for n, network in enumerate(networks)
    ]
    outside = RouterLeg(port_id=_id(1400), network_id=networks[9].id, mac=_mac(1400), addresses=("198.51.100.7/24",))
    routers = [RouterSpec(id=_id(1500 + n), interfaces=(leg,)) for n, leg in enumerate(legs[:9])]
    first = msgspec.structs.replace(routers[0], gateway=outside, nexthops=("198.51.100.1",))
    fips = [
        msgspec.structs.replace(
            first,
            floating_ips=tuple(
                FloatingIpSpec(id=_id(n), floating_ip=f"198.51.100.{n}", fixed_ip=_ip(n)) for n in range(20, last)
            ),
        )
        for last in range(21, 31)
    ]
    costs += [
        await measure("a DHCP server", [lambda d=server: driver.ensure_dhcp(d) for server in servers]),
        await measure(
            "a host more in DHCP, beside 90",
            [
                lambda n=n: driver.ensure_dhcp(msgspec.structs.replace(servers[0], hosts=hosts[: 91 + n]))
                for n in range(9)
            ],
        ),
        await measure("a router", [lambda r=router: driver.ensure_router(r) for router in routers]),
        await measure("a floating IP", [lambda r=router: driver.ensure_router(r) for router in fips]),
        await measure(
            "a router gone", [lambda r=router: driver.ensure_router_gone(r.id) for router in routers], together=True
        ),
    ]
    return costs
