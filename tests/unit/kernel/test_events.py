"""Events reach their durable consumers once, in order, whatever happens in between."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from pileus.kernel import clock, events
from pileus.kernel.db import open_database


@pytest.fixture
async def cloud(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "CONSUMERS", {})
    db = open_database(f"sqlite:///{tmp_path}/x.db")
    await db.create_schema()
    yield SimpleNamespace(db=db)
    await db.close()


def emit(kind: str, resource_id: str):
    return lambda tx: events.emit(tx, kind, resource_id)


async def test_each_event_of_the_kinds_once_and_in_order(cloud):
    heard = []
    events.on("toy.fell", "toy.rose", name="toy")(lambda tx, event: heard.append((event.kind, event.resource_id)))
    positions: dict[str, int] = {}
    await cloud.db.write(emit("toy.fell", "before anybody listened"))
    await events.consume_once(cloud, positions)
    for number in range(events.CHUNK + 5):
        await cloud.db.write(emit(("toy.fell", "toy.rose", "toy.leaned")[number % 3], str(number)))
    await events.consume_once(cloud, positions)
    await events.consume_once(cloud, positions)
    assert [id for _, id in heard] == [str(n) for n in range(events.CHUNK + 5) if n % 3 != 2]
    await events.consume_once(cloud)  # as after a restart, when nothing is remembered
    assert len(heard) == len(set(heard))


async def test_a_consumer_that_fails_is_tried_again_and_keeps_nothing(cloud):
    heard, trouble = [], [RuntimeError("not now")]

    def handle(tx, event):
        tx.add(events.EventCursor(consumer=f"mark {event.resource_id}", sequence=0))
        if trouble:
            raise trouble.pop()
        heard.append(event.resource_id)

    events.on("toy.fell", name="toy")(handle)
    positions: dict[str, int] = {}
    await events.consume_once(cloud, positions)
    await cloud.db.write(emit("toy.fell", "a"))
    await events.consume_once(cloud, positions)
    assert heard == []
    assert await cloud.db.read(lambda tx: tx.get(events.EventCursor, "mark a")) is None
    await events.consume_once(cloud, positions)
    assert heard == ["a"]


async def test_events_of_no_interest_cost_no_write(cloud, monkeypatch):
    events.on("toy.fell", name="toy")(lambda tx, event: None)
    positions: dict[str, int] = {}
    await events.consume_once(cloud, positions)
    await cloud.db.write(emit("toy.leaned", "a"))
    monkeypatch.setattr(cloud.db, "write", None)
    await events.consume_once(cloud, positions)
    assert positions == {"toy": 1}


async def test_an_event_that_commits_late_is_not_passed_over(server_url, monkeypatch):
    """Elsewhere than on SQLite a lower number may be committed after a higher one."""
    monkeypatch.setattr(events, "CONSUMERS", {})
    db, slow = open_database(server_url), open_database(server_url)
    await db.create_schema()
    heard: list[str] = []
    cloud: Any = SimpleNamespace(db=db)
    events.on("toy.fell", name="toy")(lambda tx, event: heard.append(event.resource_id))
    await db.write(emit("toy.fell", "before anybody listened"))
    await events.consume_once(cloud)
    async with slow.engine.connect() as connection:  # type: ignore[attr-defined]
        row = {"kind": "toy.fell", "resource_id": "late", "payload": {}, "at": clock.now()}
        await connection.execute(insert(events.Event).values(**row))
        await db.write(emit("toy.fell", "early"))
        await events.consume_once(cloud)
        assert heard == []
        await connection.commit()
    await events.consume_once(cloud)
    assert heard == ["late", "early"]
    await db.close()
    await slow.close()
