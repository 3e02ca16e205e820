"""What a host says of itself when one of its parts cannot."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pileus.kernel.agent import AgentPart, Command, Handler, HostContext
from pileus.kernel.agent.host import Host


class Mute(AgentPart):
    """A part whose driver never answers."""

    service = "mute"

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        return {}

    async def start(self, host: HostContext) -> None:
        return

    async def facts(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError


class Talking(Mute):
    """A part that tells its facts at once."""

    service = "talking"

    async def facts(self) -> dict[str, Any]:
        return {"size": 1}


async def test_a_host_comes_up_though_a_part_never_tells_its_facts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pileus.kernel.agent.host.FACTS_S", 0.02)

    async with asyncio.timeout(5):
        told = await Host("h1", [Mute(), Talking()]).registration()

    assert told.services == ["mute", "talking"]
    assert told.facts["talking"] == {"size": 1}
    assert "not told within" in told.facts["mute"]["error"]
