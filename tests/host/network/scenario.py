"""One small cloud's worth of verbs; run as a program it dies (SIGKILL) before its n-th touch of the kernel.

`python -m tests.host.network.scenario FOLDER CLOUD N up|down`
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from pileus.services.network.drivers.base import NetworkDriver
from pileus.services.network.drivers.linux import namespaces
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.drivers.linux.netlink import Netlink
from pileus.services.network.drivers.linux.nftables import Nft
from pileus.services.network.wanted import (
    DhcpHost,
    DhcpSpec,
    ExternalNetworkSpec,
    FloatingIpSpec,
    NetworkSpec,
    Plug,
    PortSpec,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)


def _id(number: int) -> str:
    return str(UUID(int=0xABCD << 112 | number << 96 | number))


NETWORK, OUTSIDE = NetworkSpec(id=_id(1), mtu=1450), NetworkSpec(id=_id(2))
GROUP = SecurityGroupSpec(
    id=_id(3), rules=(RuleSpec(id=_id(4), direction="egress"), RuleSpec(id=_id(5), direction="ingress"))
)
PORT = PortSpec(
    id=_id(6),
    network_id=NETWORK.id,
    mac="fa:16:3e:00:00:06",
    ips=("10.7.0.6",),
    plug=Plug.VETH,
    security_group_ids=(GROUP.id,),
)
TAP = PortSpec(id=_id(7), network_id=NETWORK.id, mac="fa:16:3e:00:00:07", ips=("10.7.0.7",), owner_uid=65534)
SUBNET = SubnetSpec(id=_id(8), cidr="10.7.0.0/24", gateway_ip="10.7.0.1")
DHCP = DhcpSpec(
    network_id=NETWORK.id,
    port_id=_id(9),
    mac="fa:16:3e:00:00:09",
    addresses=("10.7.0.2/24",),
    subnets=(SUBNET,),
    hosts=(DhcpHost(port_id=PORT.id, mac=PORT.mac, ips=PORT.ips),),
)
ROUTER = RouterSpec(
    id=_id(10),
    interfaces=(
        RouterLeg(port_id=_id(11), network_id=NETWORK.id, mac="fa:16:3e:00:00:11", addresses=("10.7.0.1/24",)),
    ),
    gateway=RouterLeg(port_id=_id(12), network_id=OUTSIDE.id, mac="fa:16:3e:00:00:12", addresses=("198.51.100.7/24",)),
    nexthops=("198.51.100.1",),
    floating_ips=(FloatingIpSpec(id=_id(13), floating_ip="198.51.100.8", fixed_ip="10.7.0.6"),),
)


async def up(driver: NetworkDriver) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_external_network(
        ExternalNetworkSpec(network=OUTSIDE, host_addresses=("198.51.100.1/24",), masquerade=True)
    )
    await driver.ensure_security_group(GROUP)
    await driver.ensure_port(PORT)
    await driver.ensure_port(TAP)
    await driver.ensure_dhcp(DHCP)
    await driver.ensure_router(ROUTER)


async def down(driver: NetworkDriver) -> None:
    await driver.ensure_router_gone(ROUTER.id)
    await driver.ensure_dhcp_gone(NETWORK.id)
    await driver.ensure_port_gone(TAP.id)
    await driver.ensure_port_gone(PORT.id)
    await driver.ensure_security_group_gone(GROUP.id)
    await driver.ensure_network_gone(NETWORK.id)
    await driver.ensure_network_gone(OUTSIDE.id)


class Countdown:
    """Kills this process before the n-th touch of the kernel; prints how many there were when it lives."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.seen = 0

    def counted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **kwargs: Any) -> Any:
            self.seen += 1
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args, **kwargs)

        return instead


async def main(folder: str, cloud_id: str, limit: int, which: str) -> None:
    driver = LinuxNetworkDriver(Settings(folder=Path(folder), cloud_id=cloud_id))
    if which == "down":
        await up(driver)
    countdown = Countdown(limit)
    for owner, name in ((Netlink, "exchange"), (Nft, "apply"), (namespaces, "run"), (namespaces, "set_sysctl")):
        setattr(owner, name, countdown.counted(getattr(owner, name)))
    await (up if which == "up" else down)(driver)
    await driver.close()
    print(countdown.seen)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
