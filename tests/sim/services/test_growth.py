"""A cloud that serves all day is no larger in the evening: neither its memory nor, in time, its tables.

What is remembered on purpose has a bound; the bounds are drawn in here, so that whatever has none stands out.
"""

import asyncio
import gc
import logging
import subprocess
import sys
import urllib.parse
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

import pileus
from pileus.kernel import clock, reconcile
from pileus.kernel.agent import fence
from pileus.kernel.db import Row, Tx
from pileus.kernel.requests import Recent
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import running
from pileus.services.identity.app import memory
from pileus.services.network import agent as network_agent
from tests.sim.services.day import live

pytestmark = pytest.mark.timeout(400)
TIMES, LIVES = 5, 2
"""How often is counted, and after how many rounds of everything."""
FEW = 20
"""What is remembered at most of anything, in the test of memory."""
CONTAINERS = (dict, set, deque, OrderedDict)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "REMEMBERED", FEW)
    monkeypatch.setattr(memory, "REMEMBERED", FEW)
    monkeypatch.setattr(network_agent, "REMEMBERED", FEW)


@pytest.fixture
def silent() -> Iterator[None]:
    """Log nothing: the tests' own capture keeps every record, with all that it tells of."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


async def test_memory_stays_as_it_is(tmp_path: Path, forgetful: None, silent: None) -> None:
    async with running(tmp_path, fake_hosts=2) as cloud:
        cloud.app.recent = Recent(FEW)
        for _ in range(4):  # whatever is made once is made now
            await live(cloud)
        counts = [await held()]
        for _ in range(TIMES):
            for _ in range(LIVES):
                await live(cloud)
            counts.append(await held())
    assert not (grown := growing(counts, LIVES)), f"counted every {LIVES} rounds: {grown}"


def growing(counts: list[Counter[str]], least: int) -> dict[str, list[int]]:
    """Return what grows from count to count, by ``least`` or more and always by about as much.

    What is only moved about, and what is made once and kept, goes up and down, or up now and then.
    """
    grown: dict[str, list[int]] = {}
    for what in counts[-1]:
        told = [one[what] for one in counts]
        steps = [after - before for before, after in pairwise(told)]
        if min(steps) >= least and max(steps) <= 2 * min(steps):
            grown[what] = told
    return grown


async def held() -> Counter[str]:
    """Count all objects by kind, and what is in all containers together."""
    await asyncio.sleep(0.5)
    urllib.parse.clear_cache()  # type: ignore[attr-defined]
    gc.collect()
    objects = gc.get_objects()
    found = Counter(type(one).__qualname__ for one in objects)
    found["(entries)"] = sum(len(one) for one in objects if type(one) in CONTAINERS)
    return found


class Later(clock.SystemClock):
    """The machine's clock, ahead by as much as is wanted."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def later() -> Iterator[Later]:
    ahead = Later()
    before = clock.use(ahead)
    yield ahead
    clock.use(before)


async def test_tables_are_as_before_once_the_time_of_what_they_remember_is_over(tmp_path: Path, later: Later) -> None:
    async with running(tmp_path, fake_hosts=2) as cloud:
        await live(cloud)
        await forget(cloud, later)
        before = await cloud.db.read(rows)
        for _ in range(2):
            await live(cloud)
        during = await cloud.db.read(rows)
        for _ in range(2):  # log-ins are told with the next write: those of the last life come late
            await forget(cloud, later)
        after = await cloud.db.read(rows)
    assert during["operations"] > before["operations"], "nothing was remembered"
    grown = {table: (before[table], after[table]) for table in after if after[table] > before[table]}
    assert not grown, f"rows for ever: {grown}"


async def forget(cloud: Runtime, later: Later) -> None:
    """Let more time pass than anything is remembered, and every reconciler have its turn."""
    later.ahead += timedelta(days=100)
    world = reconcile.World(cloud.db, cloud.bus)
    for one in reconcile.declared().values():
        if one.body.__module__.startswith("pileus."):
            await one.body(world)
    await asyncio.sleep(4)  # hosts are heard of again


def rows(tx: Tx) -> dict[str, int]:
    """Count the rows of every table."""
    return {table.name: tx.scalar(select(func.count()).select_from(table)) or 0 for table in Row.metadata.sorted_tables}


def test_every_reconciler_that_is_written_is_run() -> None:
    """One in a module that nobody imports looks as if it ran: this asks a program that has imported nothing else."""
    names = "from pileus.kernel import reconcile; from pileus.kernel.runtime import find_services"
    words = [sys.executable, "-c", f"{names}; find_services(); print(*reconcile.declared())"]
    declared = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    source = Path(pileus.__file__).parent
    written = sum(path.read_text().count("\n@reconciler(") for path in source.rglob("*.py"))
    assert len(declared) == written
