"""Whether anything grows: what a boot and a port cost, and what the database holds, at several sizes of one cloud.

All servers are one project's, in one network and one security group, on ten fake hosts.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from bench.boots import boot
from bench.cloud import FakeCloud
from bench.http import Connection
from bench.requests import Progress, ingredients, lift_quotas, measure

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
    token_cpu_ms: float
    """Of a token's check in the same minute: what the machine's own mood is judged by."""
    stored_kb: float
    """What the database has grown by, for each server since the size before."""


@dataclass(frozen=True)
class Ended:
    """What is left of servers that were made, deleted and forgotten: of the database for each, and of memory."""

    servers: int
    made_kb: float
    left_kb: float
    memory_made_kb: float
    memory_left_kb: float


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
        port_cpu = await ports(cloud, connection, network)
        token = (
            await measure(cloud, connection, "token", "/identity/v3/auth/tokens", headers=headers_of(headers))
        ).cpu_ms
        found.append(Size(size, boot_cpu, boot_s * 1000, port_cpu, token, grown))
    connection.close()
    return found


def headers_of(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers by which a token asks about itself."""
    return {"X-Subject-Token": headers["X-Auth-Token"]}


async def end(cloud: FakeCloud, say: Progress, servers: int) -> Ended:
    """Make servers, delete them, have everything about them forgotten, and see what is left.

    What forgets runs when the server starts: once to delete, once more to give the space back.
    """
    headers = {"X-Auth-Token": await cloud.login("admin"), "OpenStack-API-Version": "compute 2.96"}
    connection = Connection(cloud.url, headers)
    await lift_quotas(cloud, connection)
    image, flavor, network = await ingredients(connection)
    body: dict[str, object] = {"name": "ends", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}
    await fill(connection, body, 2 * TOGETHER, say)  # caches are filled by the first
    before, memory = stored(cloud), cloud.pss_mb()
    await fill(connection, body, servers, say)
    made, memory_made = stored(cloud), cloud.pss_mb()
    await delete_all(connection, say)
    memory_left = cloud.pss_mb()
    connection.close()
    settings = cloud.state / "pileus.toml"
    named = ("operations_days", "failed_operations_days", "events_days", "requests_days")
    nothing = "".join(f"{name} = 0.0\n" for name in named)
    text = settings.read_text() if settings.exists() else ""
    settings.write_text(f"{text}\n[history]\n{nothing}\n[compute]\nkeep_deleted_days = 1e-9\n")
    for what in ("forgetting", "giving back"):
        say(what)
        await asyncio.to_thread(cloud.down)
        await asyncio.to_thread(cloud.up)
        await steady(cloud)
    each = 1000 * servers
    return Ended(
        servers,
        (made - before) / each,
        (stored(cloud) - before) / each,
        (memory_made - memory) * 1e6 / each,
        (memory_left - memory) * 1e6 / each,
    )


async def delete_all(connection: Connection, say: Progress) -> None:
    """Delete every server and wait until all are gone."""
    while True:
        answer = await connection.request("GET", "/compute/v2.1/servers?limit=500")
        servers = answer.expect(200).json()["servers"]
        if not servers:
            return
        say(f"deleting {len(servers)} servers and more")
        for server in servers:
            (await connection.request("DELETE", f"/compute/v2.1/servers/{server['id']}")).expect(204, 404)
        await asyncio.sleep(1)


@contextmanager
def database(cloud: FakeCloud) -> Iterator[sqlite3.Connection]:
    """Open the database of a cloud to look at it."""
    with closing(sqlite3.connect(f"file:{cloud.state / 'pileus.db'}?mode=ro", uri=True)) as connection:
        yield connection


def stored(cloud: FakeCloud) -> int:
    """Return the bytes of the database, its log not counted."""
    with database(cloud) as connection:
        pages, size = (connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return pages * size


async def steady(cloud: FakeCloud) -> None:
    """Wait until a quarter of a minute has deleted nothing and given nothing back."""
    last, since = (0, 0), time.monotonic()
    while time.monotonic() - since < 15:
        with database(cloud) as connection:
            free = connection.execute("pragma freelist_count").fetchone()[0]
        now = (stored(cloud), free)
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(1)


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
