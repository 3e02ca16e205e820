"""A resize that fails leaves the server as it was: on its host, in its size, wired and running."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from pileus.kernel.agent import AgentPart
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.services.compute.commands import GuestFacts, Power
from pileus.services.compute.model import Server
from pileus.services.network.model import Port
from tests.api.compute.cloud import Cloud, cloud_at


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with cloud_at(tmp_path, hosts=2) as found:
        yield found


def parts(cloud: Cloud, service: str) -> dict[str, AgentPart]:
    """Return the parts of one service, by host."""
    assert cloud.runtime.local_hosts is not None
    return {
        name: part
        for name, host in cloud.runtime.local_hosts.hosts.items()
        for part in host.parts
        if part.service == service
    }


async def guests(cloud: Cloud) -> dict[str, GuestFacts]:
    """Return the one guest of each host that has one."""
    found = {name: await part.driver.guests() for name, part in parts(cloud, "compute").items()}  # type: ignore[attr-defined]
    return {name: guests[0] for name, guests in found.items() if guests}


def memory_of(cloud: Cloud, host: str, id: str) -> int:
    """Return the MiB of memory of a guest."""
    return parts(cloud, "compute")[host].driver._kept[id].spec.memory_mib  # type: ignore[attr-defined]


def taps(cloud: Cloud) -> dict[str, set[str]]:
    """Return the guests' ports that each host has plugged."""
    found = {name: set(part.driver.ports) for name, part in parts(cloud, "network").items()}  # type: ignore[attr-defined]
    return {name: ids for name, ids in found.items() if ids}


def where(tx: Tx, id: str) -> tuple[str | None, str, str]:
    """Return the host of a server, and its port with the port's host."""
    host = tx.scalars(select(Server.host).where(Server.id == id)).one()
    port = tx.scalars(select(Port).where(Port.device_id == id)).one()
    return host, port.binding_host, port.id


def break_everywhere(cloud: Cloud, service: str, breaks: Callable[[str, str], bool]) -> None:
    """Let drivers of a service fail where ``breaks(host, verb)``."""

    def fault_of(name: str) -> Callable[[str, str], None]:
        def fault(verb: str, id: str) -> None:
            if breaks(name, verb):
                raise Conflict(f"{verb} does not work on {name}")

        return fault

    for name, part in parts(cloud, service).items():
        part.driver.fault = fault_of(name)  # type: ignore[attr-defined]


async def boot_from_volume(cloud: Cloud) -> str:
    """Boot a server that can be moved."""
    device = {"boot_index": 0, "source_type": "image", "destination_type": "volume", "uuid": cloud.image_id}
    return await cloud.boot(imageRef="", block_device_mapping_v2=[{**device, "volume_size": 1}])


@pytest.mark.parametrize(("service", "verb"), [("network", "ensure_port"), ("compute", "ensure_guest")])
async def test_a_server_that_cannot_be_moved_stays_where_it_was(cloud: Cloud, service: str, verb: str) -> None:
    id = await boot_from_volume(cloud)
    (home,) = await guests(cloud)
    port = (await cloud.runtime.db.read(where, id))[2]
    break_everywhere(cloud, service, lambda host, called: host != home and called == verb)

    await cloud.ask("POST", f"/servers/{id}/action", 202, {"migrate": None}, who=cloud.admin)
    server = await cloud.rest(id)

    assert server["status"] == "ACTIVE"
    assert await cloud.runtime.db.read(where, id) == (home, home, port)
    assert {host: guest.power for host, guest in (await guests(cloud)).items()} == {home: Power.RUNNING}
    await cloud.until(f"/networking/v2.0/ports/{port}", lambda answer: answer["port"]["status"] == "ACTIVE")
    assert taps(cloud) == {home: {port}}
    break_everywhere(cloud, service, lambda host, called: False)
    await cloud.ask("POST", f"/servers/{id}/action", 202, {"migrate": None}, who=cloud.admin)
    assert (await cloud.rest(id))["status"] == "VERIFY_RESIZE"
    assert list(await guests(cloud)) != [home]


async def test_a_guest_that_runs_in_its_new_size_gets_its_old_one_back(cloud: Cloud) -> None:
    id = await cloud.boot()
    (home,) = await guests(cloud)
    old = memory_of(cloud, home, id)
    part = parts(cloud, "compute")[home]
    make = part.driver.ensure_guest  # type: ignore[attr-defined]

    async def make_and_fail(*args: object, **options: object) -> None:
        part.driver.ensure_guest = make  # type: ignore[attr-defined]
        await make(*args, **options)
        raise Conflict("the guest was made, and the host forgot to say so")

    part.driver.ensure_guest = make_and_fail  # type: ignore[attr-defined]
    server = await cloud.act(id, resize={"flavorRef": "84"})

    assert server["status"] == "ACTIVE"
    assert (await guests(cloud))[home].power is Power.RUNNING
    assert memory_of(cloud, home, id) == old
    assert server["flavor"]["id"] == "42"
