"""Boots with the fake driver, from POST to ACTIVE as a polling client sees it."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from bench.cloud import FakeCloud
from bench.http import Connection
from bench.requests import Progress, ingredients, lift_quotas

POLL_S = 0.05


@dataclass(frozen=True)
class Boots:
    """``one_ms``: median of single boots; ``per_second``: of 100 boots at concurrency 10."""

    one_ms: float
    one_cpu_ms: float
    per_second: float
    cpu_ms: float


async def boot(connection: Connection, body: dict[str, object]) -> float:
    """Boot one server and return the seconds until it was ACTIVE."""
    started = time.perf_counter()
    answer = (await connection.request("POST", "/compute/v2.1/servers", {"server": body})).expect(202)
    server = answer.json()["server"]["id"]
    while True:
        shown = (await connection.request("GET", f"/compute/v2.1/servers/{server}")).expect(200).json()["server"]
        if shown["status"] == "ACTIVE":
            return time.perf_counter() - started
        if shown["status"] == "ERROR":
            raise RuntimeError(shown["fault"]["message"])
        await asyncio.sleep(POLL_S)


async def run(cloud: FakeCloud, say: Progress) -> Boots:
    """Measure single boots, then 100 at concurrency 10."""
    token = await cloud.login("admin")
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.96"}
    connections = [Connection(cloud.url, headers) for _ in range(10)]
    await lift_quotas(cloud, connections[0])
    image, flavor, network = await ingredients(connections[0])
    body: dict[str, object] = {
        "name": "boot",
        "imageRef": image,
        "flavorRef": flavor,
        "networks": [{"uuid": network}],
    }
    say("single boots")
    await boot(connections[0], body)
    cpu = cloud.cpu_s()
    single = [await boot(connections[0], body) for _ in range(15)]
    single_cpu = (cloud.cpu_s() - cpu) / len(single) * 1000
    say("100 boots at concurrency 10")
    cpu, started = cloud.cpu_s(), time.perf_counter()
    todo = iter(range(100))

    async def work(connection: Connection) -> None:
        for _ in todo:
            await boot(connection, body)

    await asyncio.gather(*(work(connection) for connection in connections))
    seconds = time.perf_counter() - started
    many_cpu = (cloud.cpu_s() - cpu) / 100 * 1000
    for connection in connections:
        connection.close()
    return Boots(statistics.median(single) * 1000, single_cpu, 100 / seconds, many_cpu)
