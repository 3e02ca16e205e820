"""What a boot writes, and how many statements it takes, do not depend on who else is in its group and network."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

from pileus.services.network import public
from tests.api.compute.cloud import Cloud

MEMBERS = 400
SLACK_BYTES = 400
"""Numbers and times have a digit more or less, and whether two steps share a transaction is chance."""


class Written:
    """What went to the database by the connections that write."""

    def __init__(self) -> None:
        self.bytes = 0
        self.statements = 0
        self.largest: tuple[int, str] = (0, "")

    def note(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.statements += 1
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE")):
            size = len(repr(parameters))
            self.bytes += size
            self.largest = max(self.largest, (size, statement))


@contextmanager
def written(cloud: Cloud) -> Iterator[Written]:
    """Count what is written while the context lasts."""
    found = Written()
    engine = cloud.runtime.db._writer  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", found.note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", found.note)


async def one_boot(cloud: Cloud, network: str) -> Written:
    """Boot a server and wait until all hosts have been told of it."""
    await at_rest(cloud)
    with written(cloud) as found:
        await cloud.boot(networks=[{"uuid": network}])
        await at_rest(cloud)
    return found


async def at_rest(cloud: Cloud) -> None:
    """Wait until nothing is at work and hosts know all that they shall know."""
    left = text(
        "select (select count(*) from operations where live_resource is not null)"
        " + (select count(*) from network_host_work) + (select count(*) from network_member_changes)"
        " + (select count(*) from network_group_followers where number = 0)"
    )
    for _ in range(1000):
        if not await cloud.runtime.db.read(lambda tx: tx.scalar(left)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come to rest")


async def test_a_boot_writes_no_more_in_a_large_group_and_network(cloud: Cloud) -> None:
    answer = await cloud.demo.post("/networking/v2.0/networks", json={"network": {"name": "wide"}})
    network = answer.json()["network"]["id"]
    project = answer.json()["network"]["project_id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.80.0.0/16"}
    assert (await cloud.demo.post("/networking/v2.0/subnets", json={"subnet": subnet})).status_code == 201
    await one_boot(cloud, network)  # the first follows the group and begins to serve the network
    small = await one_boot(cloud, network)

    def fill(tx: Any) -> None:
        ctx = cloud.runtime.internal(project_id=project)
        ids = [
            public.create_port_for_server(tx, ctx, network_id=network, server_id=f"filler-{number}", project_id=project)
            for number in range(MEMBERS)
        ]
        tx.flush()
        public.bind_ports(tx, ids, "fake-1")

    body = {"quota": {"port": -1}}
    assert (await cloud.admin.put(f"/networking/v2.0/quotas/{project}", json=body)).status_code == 200
    await cloud.runtime.db.write(fill)
    large = await one_boot(cloud, network)
    assert large.bytes <= small.bytes + SLACK_BYTES, f"{small.bytes} bytes, then {large.bytes}: {large.largest}"
    assert large.statements <= small.statements + 20
    assert large.bytes < 20_000
    members = cloud.runtime.local_hosts.hosts["fake-1"].parts[0].driver.members  # type: ignore[union-attr]
    assert MEMBERS + 3 in {len(ips) for ips in members.values()}, "and all of them are there"
