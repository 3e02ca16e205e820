"""What servers leave behind goes by policy, little by little, and its space is given back."""

from pathlib import Path

import pytest
from sqlalchemy import text

from pileus.kernel import clock, history
from pileus.kernel.config import Configuration
from pileus.kernel.db import Tx
from pileus.kernel.db.base import Row
from pileus.kernel.reconcile import FEWEST, World
from tests.api.compute.cloud import Cloud
from tests.api.compute.test_nothing_grows import at_rest

SERVERS = 40
AT_ONCE = {
    "history": dict.fromkeys(history.HistorySettings.__struct_fields__, 0.0),
    "compute": {"keep_deleted_days": 1e-9},
}
HISTORIES = (
    "kernel.operation_history",
    "kernel.event_history",
    "kernel.request_history",
    "compute.history",
    "kernel.space",
)


def rows(tx: Tx) -> dict[str, int]:
    return {name: tx.scalar(text(f"select count(*) from {name}")) or 0 for name in Row.metadata.tables}


def used_pages(tx: Tx) -> tuple[int, int]:
    """Return the pages of the database file, and those of them that are free."""
    pragma = tx.connection().exec_driver_sql
    return pragma("pragma page_count").scalar_one(), pragma("pragma freelist_count").scalar_one()


async def expire(cloud: Cloud, tmp_path: Path) -> None:
    """Run what forgets as it runs in a cloud that remembers nothing."""
    config = Configuration(tmp_path, {**AT_ONCE}, fake=True)
    cloud.runtime.reconcilers._world = World(cloud.runtime.db, cloud.runtime.bus, config)
    cloud.runtime.config._cache.clear()
    cloud.runtime.config._tables = {**cloud.runtime.config._tables, **AT_ONCE}
    for name in HISTORIES:
        await cloud.runtime.reconcilers.run_once(name)


async def test_nothing_is_left_of_servers_that_came_and_went(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FREE_BYTES", 64 << 10)
    limits = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
    project = (await cloud.demo.get("/networking/v2.0/quotas/project")).json()["project"]["project_id"]
    await cloud.ask("PUT", f"/os-quota-sets/{project}", 200, limits, who=cloud.admin)
    await cloud.gone(await _deleted(cloud, await cloud.boot()))
    await at_rest(cloud)
    await expire(cloud, tmp_path)
    before, (pages, _) = await cloud.runtime.db.read(rows), await cloud.runtime.db.read(used_pages)
    body = {"name": "many", "imageRef": cloud.image_id, "flavorRef": "42", "networks": [{"uuid": cloud.network_id}]}
    await cloud.ask("POST", "/servers", 202, {"server": {**body, "min_count": SERVERS, "max_count": SERVERS}})
    await at_rest(cloud)
    servers = (await cloud.ask("GET", "/servers", 200))["servers"]
    assert len(servers) == SERVERS
    for server in servers:
        await _deleted(cloud, server["id"])
    await at_rest(cloud)
    made, _ = await cloud.runtime.db.read(used_pages)
    assert made > pages + 32, "they took room"
    await expire(cloud, tmp_path)
    after = await cloud.runtime.db.read(rows)
    grown = {name: (before[name], number) for name, number in after.items() if number > before[name] + 2}
    assert not grown, "rows before and after"
    left, free = await cloud.runtime.db.read(used_pages)
    spare = max(history.FREE_BYTES // 4096, left // history.FREE_SHARE)
    assert free <= spare + 1
    assert left <= pages + spare + 16, "the room was given back"


async def _deleted(cloud: Cloud, id: str) -> str:
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    return id


async def test_what_is_deleted_at_once_follows_from_how_long_it_takes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, limits, now = [3000], list[int](), [0.0]

    def slow(tx: Tx, limit: int) -> int:
        limits.append(limit)
        done = min(limit, left[0])
        left[0] -= done
        now[0] += done * (0.0001 if len(limits) < 6 else 0.0005)
        return done

    async def no_pause(seconds: float) -> None:
        return None

    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr("pileus.kernel.reconcile.clock.sleep", no_pause)
    await World(cloud.runtime.db, cloud.runtime.bus).forget(slow)
    assert limits[:4] == [FEWEST, 40, 80, 100]
    assert set(limits[7:]) == {FEWEST}
    assert left == [0]
