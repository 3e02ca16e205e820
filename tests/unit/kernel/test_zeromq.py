"""The bus with real agent processes: they come, obey, die in the middle of it, and are missed at once."""

import asyncio
import contextlib
import os
import signal
import sys
import time

import pytest

from pileus.kernel import errors
from pileus.kernel.agent import hosts
from pileus.kernel.agent.hosts import Hosts
from pileus.kernel.bus import keys
from pileus.kernel.bus.zeromq import ZmqBus
from pileus.kernel.db import open_database
from pileus.kernel.operations import OperationRow, Worker

from .toy import Block, EnsureBlock, EnsureBlockGone


class Agents:
    """Starts and ends agent processes."""

    def __init__(self, tmp_path) -> None:
        self.folder = tmp_path / "yard"
        self.folder.mkdir()
        self.sockets = tmp_path / "bus"
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, *rest: str, registers: bool = True) -> None:
        arguments = [name, str(self.folder), str(self.sockets), *rest]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.unit.kernel.agent_process", *arguments, stdout=asyncio.subprocess.PIPE
        )
        self.processes[name] = process
        assert process.stdout is not None
        if not registers:
            return
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"

    async def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        return await process.wait()


@pytest.fixture
async def agents(tmp_path):
    agents = Agents(tmp_path)
    yield agents
    for name in list(agents.processes):
        with contextlib.suppress(ProcessLookupError):
            await agents.kill(name)


@pytest.fixture
async def bus(tmp_path):
    bus = ZmqBus(tmp_path / "bus")
    await bus.start()
    yield bus
    await bus.stop()


async def connected(bus: ZmqBus, *names: str) -> None:
    for _ in range(500):
        if set(names) <= set(bus.hosts):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"connected are only {bus.hosts}")


async def test_commands_reach_a_process_and_come_back_typed(bus, agents):
    await agents.start("h1")
    await connected(bus, "h1")
    assert await bus.call("h1", EnsureBlock(id="b")) == Block("b", 3)
    assert (agents.folder / "b").exists()
    assert await bus.call("h1", EnsureBlockGone(id="b")) is None
    assert not (agents.folder / "b").exists()


async def test_an_absent_host_is_named_at_once(bus):
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="Host h9 is not reachable"):
        await bus.call("h9", EnsureBlock(id="b"))
    assert time.monotonic() - began < 0.1


async def test_an_agent_killed_in_the_middle_of_a_command_is_missed_at_once(bus, agents):
    await agents.start("h1")
    await connected(bus, "h1")
    call = asyncio.create_task(bus.call("h1", EnsureBlock(id="b", kind="slow")))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await agents.kill("h1")
    with pytest.raises(errors.Unavailable, match="Host h1"):
        await call
    assert time.monotonic() - began < 1
    await agents.start("h1")
    await connected(bus, "h1")
    assert await bus.call("h1", EnsureBlock(id="b")) == Block("b", 3)


async def test_a_frozen_agent_costs_no_more_than_the_patience(bus, agents):
    await agents.start("h1")
    await connected(bus, "h1")
    os.kill(agents.processes["h1"].pid, signal.SIGSTOP)
    with pytest.raises(errors.Unavailable, match="Host h1 did not answer EnsureBlock"):
        await bus.call("h1", EnsureBlock(id="b"), timeout_s=0.2)
    os.kill(agents.processes["h1"].pid, signal.SIGCONT)
    assert await bus.call("h1", EnsureBlock(id="c")) == Block("c", 3)


async def test_agents_find_a_control_plane_that_was_restarted(bus, agents, tmp_path):
    await agents.start("h1")
    await connected(bus, "h1")
    await bus.stop()
    again = ZmqBus(tmp_path / "bus")
    await again.start()
    await connected(again, "h1")
    assert await again.call("h1", EnsureBlock(id="b")) == Block("b", 3)
    await again.stop()


async def test_an_agent_ends_in_order_on_sigterm(bus, agents):
    await agents.start("h1")
    await connected(bus, "h1")
    assert await agents.kill("h1", signal.SIGTERM) == 0


async def test_several_agents_one_of_them_replaced(bus, agents):
    for name in ("h1", "h2", "h3"):
        await agents.start(name)
    await connected(bus, "h1", "h2", "h3")
    blocks = await asyncio.gather(*(bus.call(name, EnsureBlock(id=name)) for name in ("h1", "h2", "h3")))
    assert [block.id for block in blocks] == ["h1", "h2", "h3"]
    await agents.kill("h2")
    with pytest.raises(errors.Unavailable):
        await bus.call("h2", EnsureBlock(id="x"))
    assert await bus.call("h3", EnsureBlock(id="y")) == Block("y", 3)


async def test_a_long_state_path_works(tmp_path, agents):
    agents.sockets = tmp_path / ("d" * 60) / ("e" * 60)
    bus = ZmqBus(agents.sockets)
    await bus.start()
    await agents.start("h1")
    await connected(bus, "h1")
    assert await bus.call("h1", EnsureBlock(id="b")) == Block("b", 3)
    await bus.stop()


async def test_hosts_are_registered_and_missed(bus, agents, tmp_path):
    db = open_database(f"sqlite:///{tmp_path}/x.db")
    await db.create_schema()
    registry = Hosts(db, bus, beat_s=0.1, down_after_s=0.5)
    bus.attend(registry)
    await registry.start()
    await agents.start("h1")
    await connected(bus, "h1")
    await asyncio.sleep(0.05)
    assert [(row.name, row.services) for row in await db.read(hosts.alive)] == [("h1", ["toy"])]
    await agents.kill("h1")
    for _ in range(200):
        if not await db.read(hosts.alive):
            break
        await asyncio.sleep(0.01)
    assert (await db.read(hosts.get, "h1")).state == "down"
    await registry.stop()
    await db.close()


async def test_an_operation_outlives_the_agent_it_killed(bus, agents, tmp_path):
    """The agent dies in the middle of a step; the operation waits for its return and goes on."""
    from pileus.kernel.operations import begin

    from .toy import BuildTower, insert_tower

    db = open_database(f"sqlite:///{tmp_path}/x.db")
    await db.create_schema()
    await agents.start("h1")
    await connected(bus, "h1")
    worker = Worker(db, bus)
    await worker.start()

    def request(tx):
        insert_tower(tx, "t")
        return begin(tx, None, "tower.build", "tower/t", BuildTower("t", host="h1", kind="deadly"))

    id = await db.write(request)
    await agents.processes.pop("h1").wait()
    await asyncio.sleep(0.2)
    assert (await db.read(lambda tx: tx.get_one(OperationRow, id))).state == "running"
    await agents.start("h1")
    row = await db.read(lambda tx: tx.get_one(OperationRow, id))
    for _ in range(3000):
        row = await db.read(lambda tx: tx.get_one(OperationRow, id))
        if row.state != "running":
            break
        if agents.processes["h1"].returncode is not None:
            await agents.start("h1")
        await asyncio.sleep(0.01)
    assert (row.state, row.error) == ("succeeded", None)
    await worker.stop()
    await db.close()


async def test_tcp_takes_only_agents_whose_key_is_known(tmp_path, agents):
    control, mine, stranger = tmp_path / "control", tmp_path / "h1", tmp_path / "stranger"
    bus = ZmqBus(tmp_path / "bus", tcp="tcp://127.0.0.1:*", key_folder=control)
    await bus.start()
    address = bus.addresses[-1]
    for folder in (mine, stranger):
        pair = keys.ensure_pair(folder, "h1")
        (folder / "control.public").write_bytes((control / "control.public").read_bytes())
        if folder is mine:
            keys.admit_host(control, "h1", pair.public)
    await agents.start("h1", address, str(stranger), registers=False)
    await asyncio.sleep(2)
    assert bus.hosts == []
    await agents.kill("h1")
    await agents.start("h1", address, str(mine))
    await connected(bus, "h1")
    assert await bus.call("h1", EnsureBlock(id="b")) == Block("b", 3)
    await agents.kill("h1")
    for suffix in ("secret", "public"):
        (mine / f"h2.{suffix}").write_bytes((mine / f"h1.{suffix}").read_bytes())
    await agents.start("h2", address, str(mine), registers=False)
    await asyncio.sleep(2)
    assert "h2" not in bus.hosts, "the key of h1 does not make it h2"
    await bus.stop()


async def test_an_agent_hears_nobody_who_is_not_its_control_plane(tmp_path, agents):
    """An impostor at the right address, who even knows the agent, has not the key the agent was told to trust."""
    mine, impostor = tmp_path / "h1", tmp_path / "impostor"
    trusted = keys.ensure_pair(tmp_path / "control", "control")
    bus = ZmqBus(tmp_path / "bus", tcp="tcp://127.0.0.1:*", key_folder=impostor)
    await bus.start()
    keys.admit_host(impostor, "h1", keys.ensure_pair(mine, "h1").public)
    (mine / "control.public").write_bytes(trusted.public)
    await agents.start("h1", bus.addresses[-1], str(mine), registers=False)
    await asyncio.sleep(2)
    assert bus.hosts == []
    with pytest.raises(errors.Unavailable):
        await bus.call("h1", EnsureBlock(id="b"), timeout_s=1)
    await agents.kill("h1")
    (mine / "control.public").write_bytes((impostor / "control.public").read_bytes())
    await agents.start("h1", bus.addresses[-1], str(mine))
    await connected(bus, "h1")  # it was the key, and nothing else, that kept them apart
    await bus.stop()
