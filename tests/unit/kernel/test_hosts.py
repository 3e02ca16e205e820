"""Hosts come, are heard, fall silent, come back; commands find them or say that they are away."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pileus.kernel import errors
from pileus.kernel.agent import AgentPart, Command, Handler, hosts
from pileus.kernel.agent import host as host_module
from pileus.kernel.agent.host import Host
from pileus.kernel.agent.hosts import Hosts
from pileus.kernel.agent.local import LocalHosts
from pileus.kernel.bus import Caller, CommandFailed
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.clock import now
from pileus.kernel.db import open_database

from .toy import Block, EnsureBlock, EnsureBlockGone, Yard


class Ring(Command[str], frozen=True):
    times: int


class Bell(AgentPart):
    service = "bell"

    def __init__(self) -> None:
        self.rung: list[int] = []
        self.gate = asyncio.Event()
        self.stopped: list[int] = []

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        return {Ring: self.ring}

    async def ring(self, command: Ring) -> str:
        self.rung.append(command.times)
        if command.times == 0:
            raise errors.Conflict("The bell has no clapper.")
        if command.times < 0:
            raise ValueError("times must not be negative")
        if command.times > 10:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.stopped.append(command.times)
                raise
        return "ding" * command.times

    async def facts(self):
        return {"rung": len(self.rung)}


def caller(step: str = "ring", epoch: int = 1, operation: str = "op", seconds: float = 20) -> Caller:
    return Caller(operation, "tower/t", step, epoch, now().timestamp() + seconds)


@pytest.fixture
async def place(tmp_path):
    db, bus = open_database(f"sqlite:///{tmp_path}/x.db"), MemoryBus()
    await db.create_schema()
    registry = Hosts(db, bus, beat_s=0.05, down_after_s=0.3)
    bell = Bell()
    local = LocalHosts(
        bus, registry, [Host("fake-1", [Yard(tmp_path / "yard"), bell]), Host("fake-2", [])], beat_s=0.05
    )
    await registry.start()
    await local.start()
    yield db, bus, local, registry, bell
    await local.stop()
    await registry.stop()
    await db.close()


async def test_hosts_are_listed_with_services_and_facts(place):
    db, *_ = place
    assert [row.name for row in await db.read(hosts.alive)] == ["fake-1", "fake-2"]
    (row,) = await db.read(hosts.alive, "toy")
    assert (row.services, row.facts) == (["toy", "bell"], {"toy": {"blocks": 0}, "bell": {"rung": 0}})
    with pytest.raises(errors.NotFound, match="Host x could not be found"):
        await db.read(hosts.get, "x")


async def test_facts_are_reported_anew(place):
    db, bus, local, _, _ = place
    await bus.call("fake-1", Ring(times=1))
    local.hosts["fake-1"].report()
    await asyncio.sleep(0.05)
    assert (await db.read(hosts.get, "fake-1")).facts["bell"] == {"rung": 1}


async def test_answers_are_typed_and_failures_keep_their_meaning(place):
    _, bus, *_ = place
    assert await bus.call("fake-1", EnsureBlock(id="b")) == Block("b", 3)
    assert await bus.call("fake-1", EnsureBlockGone(id="b")) is None
    with pytest.raises(errors.Conflict, match="The bell has no clapper"):
        await bus.call("fake-1", Ring(times=0))
    with pytest.raises(CommandFailed, match="ValueError: times must not be negative"):
        await bus.call("fake-1", Ring(times=-1))
    with pytest.raises(errors.ApiError, match="Host fake-2 does not know the command Ring"):
        await bus.call("fake-2", Ring(times=1))


async def test_a_lost_host_is_named_at_once_and_comes_back(place, tmp_path):
    db, bus, local, _, _ = place
    heard = []
    bus.subscribe("host.down", lambda name: heard.append(f"{name} down"))
    bus.subscribe("host.up", lambda name: heard.append(f"{name} up"))
    await local.lose("fake-2")
    with pytest.raises(errors.Unavailable, match="Host fake-2 is not reachable"):
        await bus.call("fake-2", Ring(times=1))
    assert [row.name for row in await db.read(hosts.alive)] == ["fake-1"]
    await local.start_host(Host("fake-2", []))
    assert len(await db.read(hosts.alive)) == 2
    assert heard == ["fake-2 down", "fake-2 up"]


async def test_silence_means_down(place):
    db, _, local, _, _ = place
    local.hosts.pop("fake-2")
    for _ in range(100):
        await asyncio.sleep(0.02)
        if (await db.read(hosts.get, "fake-2")).state == "down":
            break
    assert [row.name for row in await db.read(hosts.alive)] == ["fake-1"]


async def test_no_answer_in_time(place):
    _, bus, *_ = place
    with pytest.raises(errors.Unavailable, match=r"Host fake-1 did not answer Ring within 0\.05 s"):
        await bus.call("fake-1", Ring(times=11), timeout_s=0.05)


async def test_a_repeat_joins_the_first_and_gets_its_answer_afterwards(place):
    _, bus, _, _, bell = place
    calls = [asyncio.create_task(bus.call("fake-1", Ring(times=11), caller())) for _ in range(3)]
    await asyncio.sleep(0.02)
    bell.gate.set()
    assert await asyncio.gather(*calls) == ["ding" * 11] * 3
    assert await bus.call("fake-1", Ring(times=11), caller()) == "ding" * 11
    assert bell.rung == [11]


async def test_a_repeat_after_a_time_out_joins_too(place):
    _, bus, _, _, bell = place
    with pytest.raises(errors.Unavailable):
        await bus.call("fake-1", Ring(times=11), caller(), timeout_s=0.02)
    again = asyncio.create_task(bus.call("fake-1", Ring(times=11), caller()))
    await asyncio.sleep(0.02)
    bell.gate.set()
    assert await again == "ding" * 11
    assert bell.rung == [11]


async def test_a_lower_epoch_is_refused(place):
    _, bus, _, _, bell = place
    await bus.call("fake-1", Ring(times=1), caller("one", epoch=2))
    with pytest.raises(errors.Unavailable, match="has gone on in epoch 2, not 1"):
        await bus.call("fake-1", Ring(times=2), caller("two", epoch=1))
    assert bell.rung == [1]


async def test_a_higher_epoch_stops_what_a_lower_one_left_running(place):
    _, bus, _, _, bell = place
    first = asyncio.create_task(bus.call("fake-1", Ring(times=11), caller("one", epoch=1)))
    await asyncio.sleep(0.02)
    await bus.call("fake-1", Ring(times=1), caller("undo one", epoch=2))
    assert bell.stopped == [11]
    with pytest.raises(errors.Unavailable, match="stopped the command Ring"):
        await first


async def test_a_command_that_hangs_gives_up_its_place(place, monkeypatch):
    _, bus, _, _, bell = place
    monkeypatch.setattr(host_module, "LONGEST_CALL_S", 0.05)
    with pytest.raises(errors.Unavailable, match="Ring did not end within 0 s and was stopped"):
        await bus.call("fake-1", Ring(times=11), timeout_s=5)
    assert bell.stopped == [11]
    assert await bus.call("fake-1", Ring(times=1)) == "ding"


async def test_an_expired_command_is_not_started(place):
    _, bus, _, _, bell = place
    with pytest.raises(errors.Unavailable, match="arrived after it had expired"):
        await bus.call("fake-1", Ring(times=1), caller(seconds=-1))
    assert bell.rung == []


def test_two_commands_cannot_share_a_name():
    with pytest.raises(TypeError, match="two commands are called Ring"):
        type("Ring", (Command,), {"__module__": "elsewhere", "__annotations__": {}})


def test_a_command_is_a_value():
    assert Ring(times=1) == Ring(times=1)
    assert msgspec.structs.replace(Ring(times=1), times=2).times == 2
    assert EnsureBlock.returns is Block


class Waiting(Bell):
    """A part that starts only when another host's is starting too."""

    def __init__(self, mine: asyncio.Event, other: asyncio.Event) -> None:
        super().__init__()
        self._mine, self._other = mine, other

    async def start(self, host):
        self._mine.set()
        await self._other.wait()


async def test_hosts_come_up_side_by_side(tmp_path):
    db, bus = open_database(f"sqlite:///{tmp_path}/x.db"), MemoryBus()
    await db.create_schema()
    first, second = asyncio.Event(), asyncio.Event()
    parts = {"fake-1": Waiting(first, second), "fake-2": Waiting(second, first)}
    local = LocalHosts(bus, Hosts(db, bus), [Host(name, [part]) for name, part in parts.items()])
    async with asyncio.timeout(5):
        await local.start()
    assert [row.name for row in await db.read(hosts.alive)] == ["fake-1", "fake-2"]
    await local.stop()
    await db.close()
