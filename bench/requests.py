"""CPU and time of single requests and of lists: one client, keep-alive, the server's own CPU seconds."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.cloud import FakeCloud
from bench.http import Connection

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Cost:
    """What one kind of request costs: CPU of the server and median time, in ms."""

    name: str
    cpu_ms: float
    p50_ms: float
    target_ms: float | None = None


async def measure(
    cloud: FakeCloud, connection: Connection, name: str, path: str, *, seconds: float = 3, target: float | None = None,
    headers: dict[str, str] | None = None,
) -> Cost:  # fmt: skip
    """Send one GET after another for some seconds and return its cost."""
    for _ in range(20):
        (await connection.request("GET", path, headers=headers)).expect(200)
    times = []
    cpu, until = cloud.cpu_s(), time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        await connection.request("GET", path, headers=headers)
        times.append(time.perf_counter() - started)
    used = cloud.cpu_s() - cpu
    return Cost(name, used / len(times) * 1000, statistics.median(times) * 1000, target)


async def run(cloud: FakeCloud, say: Progress) -> list[Cost]:
    """Measure reads on a cloud that holds 1,000 servers and 1,000 ports."""
    token = await cloud.login("admin")
    connection = Connection(cloud.url, {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.96"})
    server, port = await fill(cloud, connection, say)
    costs = []
    for name, path, target, headers in (
        ("validate token", "/identity/v3/auth/tokens", 0.3, {"X-Subject-Token": token}),
        ("show server", f"/compute/v2.1/servers/{server}", 1, None),
        ("show port", f"/networking/v2.0/ports/{port}", 1, None),
        ("list 1,000 servers with details", "/compute/v2.1/servers/detail?limit=1000", 60, None),
        ("list 1,000 ports", "/networking/v2.0/ports?limit=1000", 60, None),
    ):
        say(name)
        costs.append(await measure(cloud, connection, name, path, target=target, headers=headers))
    connection.close()
    return costs


async def fill(cloud: FakeCloud, connection: Connection, say: Progress) -> tuple[str, str]:
    """Boot 1,000 fake servers, each with a port; return one server's and one port's id."""
    project = await lift_quotas(cloud, connection)
    image, flavor, network = await ingredients(connection)
    made = 0
    while made < 1000:
        body = {
            "name": "bench",
            "imageRef": image,
            "flavorRef": flavor,
            "networks": [{"uuid": network}],
            "min_count": 50,
            "max_count": 50,
        }
        (await connection.request("POST", "/compute/v2.1/servers", {"server": body})).expect(202)
        made += 50
        say(f"booting {made} of 1,000 servers")
    while True:
        answer = await connection.request("GET", "/compute/v2.1/servers?status=BUILD&limit=1")
        if not answer.expect(200).json()["servers"]:
            break
        await asyncio.sleep(0.2)
    server = (await connection.request("GET", "/compute/v2.1/servers?limit=1")).json()["servers"][0]["id"]
    ports = (await connection.request("GET", f"/networking/v2.0/ports?device_id={server}&project_id={project}")).json()
    return server, ports["ports"][0]["id"]


async def lift_quotas(cloud: FakeCloud, connection: Connection) -> str:
    """Give the admin project no limits; return its id."""
    token = (await connection.request("GET", "/identity/v3/auth/projects")).expect(200).json()
    project = next(entry["id"] for entry in token["projects"] if entry["name"] == "admin")
    limits = {"instances": -1, "cores": -1, "ram": -1}
    path = f"/compute/v2.1/os-quota-sets/{project}"
    (await connection.request("PUT", path, {"quota_set": limits})).expect(200)
    (await connection.request("PUT", f"/networking/v2.0/quotas/{project}", {"quota": {"port": -1}})).expect(200)
    return project


async def ingredients(connection: Connection) -> tuple[str, str, str]:
    """Return ids of an image, the smallest flavor and a large enough network, made here."""
    image = (await connection.request("GET", "/image/v2/images")).expect(200).json()["images"][0]["id"]
    flavors = (await connection.request("GET", "/compute/v2.1/flavors/detail")).expect(200).json()["flavors"]
    flavor = min(flavors, key=lambda entry: (entry["ram"], entry["disk"]))["id"]
    made = await connection.request("POST", "/networking/v2.0/networks", {"network": {"name": "bench"}})
    network = made.expect(201).json()["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.200.0.0/16"}
    (await connection.request("POST", "/networking/v2.0/subnets", {"subnet": subnet})).expect(201)
    return image, flavor, network
