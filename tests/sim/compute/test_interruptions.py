"""Every operation on servers, interrupted everywhere: by kill -9 of the worker, by failures, by repeats.

What a user relies on: after a crash the verb succeeds all the same; after a failure the server is as it was, or in
error with a reason; and when the server is deleted nothing of it is left, on no host and in no table.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from pileus.kernel.db import Tx
from pileus.kernel.operations.execution import no_observer
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing.interruptions import Case, walk
from pileus.services.compute.agent import ComputePart
from tests.api.compute.cloud import Cloud, cloud_at
from tests.sim.services.cloud import restart_agent

Act = Callable[[Cloud, str], Awaitable[object]]


async def _post(cloud: Cloud, id: str, **action: object) -> None:
    await cloud.ask("POST", f"/servers/{id}/action", 202, {k.replace("_", "-"): v for k, v in action.items()})


async def _boot(cloud: Cloud) -> str:
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": [{"uuid": cloud.network_id}]}
    return (await cloud.ask("POST", "/servers", 202, {"server": server}))["server"]["id"]


VERBS: dict[str, tuple[Act, tuple[str, ...], str, str]] = {
    "server.stop": (lambda c, id: _post(c, id, os_stop=None), (), "SHUTOFF", "ACTIVE SHUTOFF"),
    "server.start": (lambda c, id: _post(c, id, os_start=None), ("os_stop",), "ACTIVE", "SHUTOFF ACTIVE"),
    "server.reboot": (lambda c, id: _post(c, id, reboot={"type": "SOFT"}), (), "ACTIVE", "ACTIVE"),
    "server.reboot_hard": (lambda c, id: _post(c, id, reboot={"type": "HARD"}), (), "ACTIVE", "ERROR ACTIVE"),
    "server.pause": (lambda c, id: _post(c, id, pause=None), (), "PAUSED", "ACTIVE PAUSED"),
    "server.unpause": (lambda c, id: _post(c, id, unpause=None), ("pause",), "ACTIVE", "PAUSED ACTIVE"),
    "server.suspend": (lambda c, id: _post(c, id, suspend=None), (), "SUSPENDED", "ACTIVE SUSPENDED"),
    "server.resume": (lambda c, id: _post(c, id, resume=None), ("suspend",), "ACTIVE", "SUSPENDED ACTIVE"),
    "server.resize": (lambda c, id: _post(c, id, resize={"flavorRef": "1"}), (), "VERIFY_RESIZE", "ACTIVE"),
    "server.rebuild": (lambda c, id: _post(c, id, rebuild={"imageRef": c.image_id}), (), "ACTIVE", "ERROR"),
    "server.create_image": (lambda c, id: _post(c, id, createImage={"name": "i"}), (), "ACTIVE", "ACTIVE"),
}
"""Operation: how it is asked for, what leads there, the status after success, those after a failure.  A hard reboot
goes on when the plug cannot be pulled: the guest may be gone, and is made again.  After a power verb that failed the
guests are compared, so that a server may show what its guest has come to all the same."""


def _left(tx: Tx) -> list[str]:
    """Return what is left of servers in the tables."""
    questions = {
        "ports": "select count(*) from network_ports where device_owner like 'compute:%'",
        "cards": "select count(*) from compute_nics",
        "devices": "select count(*) from compute_block_devices",
        "allocations": "select count(*) from placement_allocations",
        "live operations": "select count(*) from operations where live_resource like 'server/%'",
        "attachments": "select count(*) from block_storage_attachments",
    }
    return [what for what, question in questions.items() if tx.scalar(text(question))]


async def nothing_left(cloud: Cloud) -> None:
    """Insist that no host has a guest and no table a trace."""
    assert await cloud.runtime.db.read(_left) == []
    assert cloud.runtime.local_hosts is not None
    for host in cloud.runtime.local_hosts.hosts.values():
        for part in host.parts:
            if isinstance(part, ComputePart):
                assert list(await part.driver.guests()) == [], host.name


async def _delete(cloud: Cloud, id: str) -> None:
    cloud.runtime.worker.observe = no_observer
    await cloud.rest(id)
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    await cloud.gone(id)
    await nothing_left(cloud)


def _world(cloud: Cloud) -> Callable[[], "AsyncIterator[Runtime]"]:
    """Return a maker of worlds that gives one cloud again and again: each check leaves it as it was."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Runtime]:
        cloud.runtime.worker.observe = no_observer
        yield cloud.runtime

    return make  # type: ignore[return-value]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", VERBS)
async def test_a_verb_survives_every_interruption(tmp_path: Path, kind: str) -> None:
    ask, before, good, bad = VERBS[kind]
    async with cloud_at(tmp_path) as cloud:
        servers: list[str] = []

        async def act(runtime: Runtime) -> None:
            observe, runtime.worker.observe = runtime.worker.observe, no_observer
            servers.append(await _boot(cloud))
            await cloud.rest(servers[-1])
            for action in before:
                await cloud.act(servers[-1], 202, **{action: None})
            runtime.worker.observe = observe
            await ask(cloud, servers[-1])

        async def check(runtime: Runtime, case: Case) -> None:
            server = await cloud.rest(servers[-1])
            assert server["status"] in (bad.split() if case.undone else [good]), server
            await _delete(cloud, servers[-1])

        assert len(await walk(_world(cloud), act, check, [kind], restart_agent)) >= 6  # type: ignore[arg-type]


@pytest.mark.timeout(600)
async def test_a_build_survives_every_interruption(tmp_path: Path) -> None:
    async with cloud_at(tmp_path) as cloud:
        servers: list[str] = []

        async def act(runtime: Runtime) -> None:
            servers.append(await _boot(cloud))

        async def check(runtime: Runtime, case: Case) -> None:
            server = await cloud.rest(servers[-1])
            elsewhere = case.how == "fail" and case.event.partition(" ")[2] in ("image", "ports", "guest")
            if case.undone and not elsewhere:  # what one host could not do, the next one has done
                assert server["status"] == "ERROR"
                assert "injected" in server["fault"]["message"]
                await nothing_left(cloud)
            else:
                assert server["status"] == "ACTIVE", server
                assert len(server["addresses"]["net"]) == 1
            await _delete(cloud, servers[-1])

        assert len(await walk(_world(cloud), act, check, ["server.create"], restart_agent)) >= 15  # type: ignore[arg-type]


@pytest.mark.timeout(600)
async def test_a_deletion_survives_every_interruption(tmp_path: Path) -> None:
    async with cloud_at(tmp_path) as cloud:
        servers: list[str] = []

        async def act(runtime: Runtime) -> None:
            observe, runtime.worker.observe = runtime.worker.observe, no_observer
            servers.append(await _boot(cloud))
            await cloud.rest(servers[-1])
            runtime.worker.observe = observe
            await cloud.ask("DELETE", f"/servers/{servers[-1]}", 204)

        async def check(runtime: Runtime, case: Case) -> None:
            if case.undone:
                assert (await cloud.rest(servers[-1]))["status"] == "ERROR"
                await _delete(cloud, servers[-1])
            else:
                await cloud.gone(servers[-1])
                await nothing_left(cloud)

        assert len(await walk(_world(cloud), act, check, ["server.delete"], restart_agent)) >= 8  # type: ignore[arg-type]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["server.attach_volume", "server.detach_volume"])
async def test_volumes_are_free_or_in_use_whatever_happens(tmp_path: Path, kind: str) -> None:
    async with cloud_at(tmp_path) as cloud:
        made = (await cloud.demo.post("/volume/v3/volumes", json={"volume": {"size": 1}})).json()["volume"]["id"]
        url = f"/volume/v3/volumes/{made}"
        await cloud.until(url, lambda answer: answer["volume"]["status"] == "available")
        servers: list[str] = []
        path = "/servers/{}/os-volume_attachments"

        async def act(runtime: Runtime) -> None:
            observe, runtime.worker.observe = runtime.worker.observe, no_observer
            servers.append(await _boot(cloud))
            await cloud.rest(servers[-1])
            body = {"volumeAttachment": {"volumeId": made}}
            if kind == "server.detach_volume":
                await cloud.ask("POST", path.format(servers[-1]), 200, body)
                await cloud.until(url, lambda answer: answer["volume"]["status"] == "in-use")
                await cloud.until(f"/compute/v2.1/servers/{servers[-1]}/os-instance-actions", _ended)
                runtime.worker.observe = observe
                await cloud.ask("DELETE", f"{path.format(servers[-1])}/{made}", 202)
            else:
                runtime.worker.observe = observe
                await cloud.ask("POST", path.format(servers[-1]), 200, body)

        async def check(runtime: Runtime, case: Case) -> None:
            failed = case.undone
            attached = failed == (kind == "server.detach_volume")
            wanted = "in-use" if attached else "available"
            await cloud.until(url, lambda answer: answer["volume"]["status"] == wanted)
            listed = (await cloud.ask("GET", path.format(servers[-1]), 200))["volumeAttachments"]
            assert [one["volumeId"] for one in listed] == ([made] if attached else [])
            await _delete(cloud, servers[-1])
            await cloud.until(url, lambda answer: answer["volume"]["status"] == "available")

        assert len(await walk(_world(cloud), act, check, [kind], restart_agent)) >= 6  # type: ignore[arg-type]


def _ended(answer: dict) -> bool:
    return answer["instanceActions"][0]["action"] == "attach_volume"
