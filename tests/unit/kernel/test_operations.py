"""What an operation promises: exactly once, undone on failure, one at a time, never forgotten."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from pileus.kernel import errors
from pileus.kernel.agent.host import Host
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.db import open_database
from pileus.kernel.operations import OperationRow, StepRow, Worker, begin

from .toy import STEPS, UNDOS, BuildTower, Yard, build_row, world


class Crash(BaseException):
    """Stands for kill -9: the run ends without another word."""


class Site:
    """One database, one host, and as many workers as the test starts."""

    def __init__(self, tmp_path: Path) -> None:
        self.db = open_database(f"sqlite:///{tmp_path}/toy.db")
        self.bus = MemoryBus()
        self.yard = Yard(tmp_path / "yard")
        self.bus.attach(Host("fake-1", [self.yard]))
        self.events: list[str] = []
        self.at: dict[str, BaseException] = {}
        self.workers: list[Worker] = []

    def observe(self, event, op) -> None:
        self.events.append(event)
        error = self.at.get(event)
        if error is not None:
            if isinstance(error, Crash):
                del self.at[event]
            raise error

    async def worker(self, **options) -> Worker:
        options = {"observe": self.observe, "poll_s": 0.05, "is_dead": lambda owner: True, **options}
        worker = Worker(self.db, self.bus, **options)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def crash(self, worker: Worker) -> None:
        """Take a worker away as a dead process goes: nothing is released."""
        worker._accepting = False
        tasks = [*worker._loops, *(task for _, task in worker._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def row(self, id: str) -> OperationRow:
        return await self.db.read(lambda tx: tx.get_one(OperationRow, id))

    async def ended(self, id: str, *states: str) -> OperationRow:
        for _ in range(2000):
            if (row := await self.row(id)).state in (states or ("succeeded", "failed")):
                return row
            await asyncio.sleep(0.01)
        raise AssertionError(f"operation is still {row.state} after {self.events}")

    async def until(self, event: str) -> None:
        for _ in range(2000):
            if event in self.events:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {event} in {self.events}")

    @property
    def blocks(self) -> list[str]:
        return sorted(path.name for path in self.yard.folder.iterdir())

    async def world(self):
        return await self.db.read(world)


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    await site.db.create_schema()
    yield site
    for worker in site.workers:
        await worker.stop()
    await site.db.close()


ALL = ["t-base", "t-side0", "t-side1", "t-spire"]


async def test_runs_to_its_end(site):
    await site.worker()
    row = await site.ended(await build_row(site.db, "t"))
    assert (row.state, row.error, row.live_resource, row.lease_owner) == ("succeeded", None, None, None)
    assert site.blocks == ALL
    assert await site.world() == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}
    steps = await site.db.read(lambda tx: list(tx.scalars(select(StepRow).order_by(StepRow.position))))
    assert [step.name for step in steps] == STEPS[:-1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_resumes_after_a_crash(site, step, when):
    site.at = {f"{when} {step}": Crash()}
    first = await site.worker()
    id = await build_row(site.db, "t")
    await site.until(f"{when} {step}")
    await site.crash(first)
    await site.worker()
    assert (await site.ended(id)).state == "succeeded"
    assert site.blocks == ALL
    assert await site.world() == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_failure_leaves_nothing(site, step, when):
    site.at = {f"{when} {step}": errors.Conflict("no ground left")}
    await site.worker()
    row = await site.ended(await build_row(site.db, "t"))
    if (when, step) == ("after", "finish"):
        assert row.state == "succeeded", "what is concluded stays so"
        return
    assert (row.state, row.error) == ("failed", "no ground left")
    assert site.blocks == []
    assert await site.world() == {"towers": {"t": ("ERROR", None)}, "claims": 0}


@pytest.mark.parametrize("undo", UNDOS)
async def test_crash_while_unwinding(site, undo):
    site.at = {"before finish": errors.Conflict("no ground left"), f"undo {undo}": Crash()}
    first = await site.worker()
    id = await build_row(site.db, "t")
    await site.until(f"undo {undo}")
    await site.crash(first)
    built = [call for call in site.yard.calls if call.startswith("EnsureBlock ")]
    await site.worker()
    row = await site.ended(id)
    assert (row.state, row.error) == ("failed", "no ground left")
    assert site.blocks == []
    assert [call for call in site.yard.calls if call.startswith("EnsureBlock ")] == built, "nothing is built again"
    assert await site.world() == {"towers": {"t": ("ERROR", None)}, "claims": 0}


async def test_undoes_in_the_order_of_the_text(site):
    site.at = {"before finish": errors.Conflict("no")}
    await site.worker()
    await site.ended(await build_row(site.db, "t"))
    assert [event[5:] for event in site.events if event.startswith("undo ")] == UNDOS


async def test_one_live_operation_per_resource(site):
    site.yard.before = lambda command: asyncio.sleep(0.2)
    await site.worker()
    id = await build_row(site.db, "t")
    with pytest.raises(errors.Conflict, match=rf"Tower t is busy: operation tower.build \({id}\)"):
        await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))
    await site.ended(id)
    await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))


async def test_a_rolled_back_request_begins_nothing(site):
    await site.worker()

    def transaction(tx):
        begin(tx, None, "tower.build", "tower/t", BuildTower("t"))
        raise errors.Invalid("changed my mind")

    with pytest.raises(errors.Invalid):
        await site.db.write(transaction)
    await asyncio.sleep(0.1)
    assert await site.db.read(lambda tx: list(tx.scalars(select(OperationRow)))) == []
    assert site.events == []
