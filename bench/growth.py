"""Whether anything grows: what a boot and a port cost, and what the database holds, at several sizes of one cloud.

All servers are one project's, in one network and one security group, on ten fake hosts.
"""

import asyncio
import os
import time
from dataclasses import dataclass

from bench.boots import boot
from bench.cloud import FakeCloud
from bench.http import Connection
from bench.requests import Progress, ingredients, lift_quotas

SIZES = (0, 3000, 10000)
SINGLE = 20
"""Boots, one after the other, that a size is measured with."""
PORTS = 60
TOGETHER = 100
"""Servers that one request makes while the cloud is filled."""


@dataclass(frozen=True)
class Size:
    """What one boot and one port cost in a cloud of this many servers, and what the database has taken for each."""

    servers: int
    boot_cpu_ms: float
    boot_ms: float
    port_cpu_ms: float
    stored_kb: float
    """What the database file and its log have grown by, for each server since the size before."""


async def run(cloud: FakeCloud, say: Progress, sizes: tuple[int, ...] = SIZES) -> list[Size]:
    """Measure at each size, smallest first."""
    headers = {"X-Auth-Token": await cloud.login("admin"), "OpenStack-API-Version": "compute 2.96"}
    connection = Connection(cloud.url, headers)
    await lift_quotas(cloud, connection)
    image, flavor, network = await ingredients(connection)
    body: dict[str, object] = {"name": "grow", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}
    await boot(connection, body)
    there, found = 1, list[Size]()
    for size in sizes:
        before, had = stored(cloud), there
        there += await fill(connection, body, size - there, say)
        grown = (stored(cloud) - before) / max(there - had, 1) / 1000
        say(f"measuring with {size} servers")
        await asyncio.sleep(2)
        boot_cpu, boot_s = await boots(cloud, connection, body)
        there += SINGLE
        found.append(Size(size, boot_cpu, boot_s * 1000, await ports(cloud, connection, network), grown))
    connection.close()
    return found


def stored(cloud: FakeCloud) -> int:
    """Return the bytes of the database with its log."""
    return sum(os.path.getsize(file) for file in cloud.state.glob("*.db*") if file.is_file())


async def fill(connection: Connection, body: dict[str, object], amount: int, say: Progress) -> int:
    """Boot servers, many by each request, until there are ``amount`` more; return how many those were."""
    made = 0
    while made < amount:
        many = min(TOGETHER, amount - made)
        asked = {**body, "min_count": many, "max_count": many}
        (await connection.request("POST", "/compute/v2.1/servers", {"server": asked})).expect(202)
        made += many
        say(f"booting {made} of {amount} more servers")
        await settled(connection)
    return made


async def settled(connection: Connection) -> None:
    """Wait until no server is being built."""
    while True:
        answer = await connection.request("GET", "/compute/v2.1/servers?status=BUILD&limit=1")
        if not answer.expect(200).json()["servers"]:
            return
        await asyncio.sleep(0.5)


async def boots(cloud: FakeCloud, connection: Connection, body: dict[str, object]) -> tuple[float, float]:
    """Return the server's CPU in ms and the seconds of one boot, telling all hosts included."""
    cpu, started = cloud.cpu_s(), time.perf_counter()
    for _ in range(SINGLE):
        await boot(connection, body)
    seconds = (time.perf_counter() - started) / SINGLE
    return (cloud.cpu_s() - cpu) / SINGLE * 1000, seconds


async def ports(cloud: FakeCloud, connection: Connection, network: str) -> float:
    """Return the server's CPU in ms of making a port that nobody has plugged yet."""
    await asyncio.sleep(1)
    made = []
    cpu = cloud.cpu_s()
    for _ in range(PORTS):
        answer = await connection.request("POST", "/networking/v2.0/ports", {"port": {"network_id": network}})
        made.append(answer.expect(201).json()["port"]["id"])
    used = (cloud.cpu_s() - cpu) / PORTS * 1000
    for port in made:
        (await connection.request("DELETE", f"/networking/v2.0/ports/{port}")).expect(204)
    return used
