"""Reconcilers: periodic, nudged, one at a time, undeterred by failure."""

import asyncio
from typing import Any

import pytest

from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.db import open_database
from pileus.kernel.reconcile import ReconcilerRow, Reconcilers, nudge, reconciler

runs: list[str] = []
trouble: list[Exception] = []
at_once = {"now": 0, "most": 0}


@reconciler("toy.sweep", every_s=60, on=("toy.dirt",))
async def sweep(world) -> None:
    runs.append("sweep")
    if trouble:
        raise trouble.pop()


@reconciler("toy.slow", every_s=60)
async def slow(world) -> None:
    at_once["now"] += 1
    at_once["most"] = max(at_once.values())
    runs.append("slow")
    await asyncio.sleep(0.05)
    at_once["now"] -= 1


@pytest.fixture
async def place(tmp_path):
    runs.clear()
    trouble.clear()
    at_once.update(now=0, most=0)
    db, bus = open_database(f"sqlite:///{tmp_path}/x.db"), MemoryBus()
    await db.create_schema()
    yield db, bus
    await db.close()


async def ran(name: str, times: int) -> None:
    for _ in range(1000):
        if runs.count(name) >= times:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{name} ran {runs.count(name)} times, not {times}")


async def test_runs_at_start_on_nudge_and_on_topic(place):
    db, bus = place
    one = Reconcilers(db, bus, names=["toy.sweep"])
    await one.start()
    await ran("sweep", 1)
    await db.write(nudge, "toy.sweep")
    await ran("sweep", 2)
    bus.publish("toy.dirt", "corner")
    await ran("sweep", 3)
    await one.stop()
    assert runs == ["sweep"] * 3


async def test_never_overlaps_itself_and_loses_no_nudge(place):
    db, bus = place
    one = Reconcilers(db, bus, names=["toy.slow"])
    await one.start()
    for _ in range(20):
        await db.write(nudge, "toy.slow")
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.2)
    await one.stop()
    assert at_once["most"] == 1
    assert 2 <= runs.count("slow") <= 6


async def test_failure_is_noted_and_tried_again(place):
    db, bus = place
    trouble.append(RuntimeError("broom broken"))
    one = Reconcilers(db, bus, names=["toy.sweep"])
    await one.start()
    await ran("sweep", 1)
    row = None
    for _ in range(100):
        row = await db.read(lambda tx: tx.get(ReconcilerRow, "toy.sweep"))
        if row.last_error:
            break
        await asyncio.sleep(0.01)
    assert row is not None
    assert (row.last_error, row.failures) == ("RuntimeError: broom broken", 1)
    await ran("sweep", 2)
    await one.stop()


async def test_one_holder_and_a_successor_when_it_stops(place):
    db, bus = place
    alive: dict[str, Any] = {"is_dead": lambda owner: False}
    first = Reconcilers(db, bus, names=["toy.sweep"], lease_s=0.2, **alive)
    await first.start()
    await ran("sweep", 1)
    second = Reconcilers(db, bus, names=["toy.sweep"], lease_s=0.2, **alive)
    await second.start()
    await asyncio.sleep(0.3)
    assert runs == ["sweep"], "the second waits"
    await first.stop()
    await ran("sweep", 2)
    await second.stop()


async def test_a_dead_holder_is_not_waited_for(place):
    db, bus = place
    first = Reconcilers(db, bus, names=["toy.sweep"], lease_s=3600)
    await first.start()
    await ran("sweep", 1)
    for task in first._tasks:
        task.cancel()
    second = Reconcilers(db, bus, names=["toy.sweep"], is_dead=lambda owner: owner == first.owner)
    await second.start()
    await ran("sweep", 2)
    await second.stop()


async def test_a_nudge_to_whoever_does_not_hold_the_lease_is_looked_at_once(place, monkeypatch):
    db, bus = place
    holder = Reconcilers(db, bus, names=["toy.sweep"], owner="a", is_dead=lambda owner: False)
    await holder.start()
    await ran("sweep", 1)
    other = Reconcilers(db, MemoryBus(), names=["toy.sweep"], owner="b", is_dead=lambda owner: False)
    asked: list[str] = []
    hold = other._hold
    monkeypatch.setattr(other, "_hold", lambda one: asked.append(one.name) or hold(one))
    await other.start()
    await asyncio.sleep(0.05)
    other._world.bus.publish("toy.dirt", "corner")
    await asyncio.sleep(0.1)
    await other.stop()
    await holder.stop()

    assert len(asked) == 2, "at the start and at the nudge"
