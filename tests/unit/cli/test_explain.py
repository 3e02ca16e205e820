"""``pileus explain``: an operator asks what a request did, whether or not the cloud runs."""

import argparse
import asyncio

import pytest

from pileus.cli import explain
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login


@pytest.fixture
def stopped(tmp_path) -> tuple[State, str]:
    """A cloud that has made a volume and was stopped, and the request that asked for it."""
    state = State(tmp_path)
    state.save(Cloud(fake=True))

    async def make_volume() -> str:
        async with running(tmp_path) as cloud, client(cloud, await login(cloud)) as demo:
            made = await demo.post("/volume/v3/volumes", json={"volume": {"size": 1}})
            id = made.headers["x-openstack-request-id"]
            async with asyncio.timeout(20):
                while True:
                    told = (await demo.get(f"/v1/requests/{id}")).json()["request"]
                    if told["state"] != "running":
                        return id
                    await asyncio.sleep(0.02)

    return state, asyncio.run(make_volume())


def test_a_request_is_explained(stopped, capsys):
    state, id = stopped
    state.log("server").write_text(f'{{"time": "2026-01-31T09:30:00", "level": "info", "message": "m {id}"}}\n')
    explain.run(argparse.Namespace(state=state.path, id=id))
    told = capsys.readouterr().out
    assert f"{id}  POST /volume/v3/volumes: succeeded, status 202" in told
    assert "volume.create on volume/" in told
    assert " on fake-1" in told
    assert "block_storage.volume.created" in told
    assert f"m {id}" in told


def test_an_unknown_request_is_a_problem(stopped):
    with pytest.raises(Problem, match="Nothing is known of request req-none"):
        explain.run(argparse.Namespace(state=stopped[0].path, id="req-none"))
