"""A database, a host and workers, for the tests of operations."""

import asyncio
from pathlib import Path

from pileus.kernel.agent.host import Host
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.db import open_database
from pileus.kernel.operations import OperationRow, Worker, begin
from pileus.kernel.testing.interruptions import Crash

from .toy import Choose, Delegate, Follow, Typed, Yard, world


class Site:
    """One database, one host, and as many workers as the test starts."""

    def __init__(self, tmp_path: Path, url: str) -> None:
        self.db = open_database(url)
        self.bus = MemoryBus()
        self.yard = Yard(tmp_path / "yard")
        self.bus.attach(Host("fake-1", [self.yard]))
        self.events: list[str] = []
        self.at: dict[str, BaseException] = {}
        self.worker: Worker
        self.workers: list[Worker] = []

    def observe(self, event, op) -> None:
        self.events.append(event)
        error = self.at.get(event)
        if error is not None:
            if isinstance(error, Crash):
                del self.at[event]
            raise error

    async def start_worker(self, **options) -> Worker:
        options = {"observe": self.observe, "poll_s": 0.05, "is_dead": lambda owner: True, **options}
        worker = Worker(self.db, self.bus, **options)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def begin(self, input, **options) -> str:
        """Begin the operation that takes this input."""
        kinds = {Choose: "toy.choose", Follow: "toy.follow", Delegate: "toy.delegate", Typed: "toy.typed"}
        kind = kinds.get(type(input), "toy.errand")
        if getattr(input, "deadline", False):
            kind = "toy.short"
        resource = f"tower/{getattr(input, 'id', 'follower')}"
        return await self.db.write(lambda tx: begin(tx, None, kind, resource, input, **options))

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
