"""Files against rows: strays are put aside, losses are told, work under way is left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.kernel.agent.hosts import HostRow
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.operations import find_live
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing import running
from pileus.services.block_storage.app import snapshots, volumes
from pileus.services.block_storage.commands import Blank, EnsureSnapshot, EnsureVolume, ListInventory
from pileus.services.block_storage.model import Message, Snapshot, Volume

STRAY = "99999999-2222-4333-8444-555555555501"
STRAY_SNAPSHOT = "99999999-2222-4333-8444-555555555502"


class Pool:
    """A cloud with one fake host, and the folder its driver keeps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ctx: Context = runtime.internal(project_id="p1", user_id="u1")
        self.folder = runtime.config.state / "block_storage" / "hosts" / "fake-1"

    async def settle(self) -> None:
        await self.runtime.reconcilers.run_once("block_storage.files")

    async def volume(self) -> str:
        wanted = volumes.NewVolume(size_gib=1)
        id = await self.runtime.db.write(lambda tx: volumes.create_volume(tx, self.ctx, wanted).id)
        await self._idle(f"volume/{id}")
        return id

    async def snapshot(self, volume_id: str) -> str:
        def take(tx: Tx) -> str:
            volume = tx.get_one(Volume, volume_id)
            return snapshots.create_snapshot(
                tx, self.ctx, volume, name=None, description=None, metadata={}, force=False
            ).id

        id = await self.runtime.db.write(take)
        await self._idle(f"snapshot/{id}")
        return id

    async def _idle(self, resource: str) -> None:
        for _ in range(500):
            if await self.runtime.db.read(find_live, resource) is None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{resource} is still busy")

    async def files(self) -> tuple[list[str], list[str]]:
        found = await self.runtime.bus.call("fake-1", ListInventory())
        return [facts.id for facts in found.volumes], [facts.id for facts in found.snapshots]

    async def statuses(self) -> dict[str, str]:
        def read(tx: Tx) -> dict[str, str]:
            return {row.id: row.status for kind in (Volume, Snapshot) for row in tx.query(kind)}

        return await self.runtime.db.read(read)

    async def messages(self) -> list[str]:
        return await self.runtime.db.read(lambda tx: [row.text for row in tx.query(Message)])


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    async with running(tmp_path, find_services(["object_store", "image", "block_storage"])) as runtime:
        yield Pool(runtime)


async def test_what_agrees_is_left_alone(pool: Pool) -> None:
    volume = await pool.volume()
    snapshot = await pool.snapshot(volume)
    await pool.settle()
    assert await pool.files() == ([volume], [snapshot])
    assert await pool.statuses() == {volume: "available", snapshot: "available"}
    assert await pool.messages() == []


async def test_files_nobody_claims_are_put_aside_and_kept(pool: Pool) -> None:
    volume = await pool.volume()
    bus = pool.runtime.bus
    await bus.call("fake-1", EnsureVolume(volume_id=STRAY, size_gib=1, source=Blank()))
    await bus.call("fake-1", EnsureSnapshot(snapshot_id=STRAY_SNAPSHOT, volume_id=STRAY))
    await pool.settle()
    assert await pool.files() == ([volume], [])
    aside = sorted(path.name for path in (pool.folder / "quarantine").iterdir())
    assert aside == [f"snapshot-{STRAY_SNAPSHOT}.json", f"volume-{STRAY}.json"]


async def test_a_lost_file_is_told_its_owner(pool: Pool) -> None:
    volume = await pool.volume()
    snapshot = await pool.snapshot(volume)
    (pool.folder / "volume" / f"{volume}.json").unlink()
    (pool.folder / "snapshot" / f"{snapshot}.json").unlink()
    await pool.settle()
    assert await pool.statuses() == {volume: "error", snapshot: "error"}
    texts = await pool.messages()
    assert len(texts) == 2
    assert all("has disappeared from fake-1@fake#fake" in text for text in texts)
    await pool.settle()
    assert len(await pool.messages()) == 2, "it is told once"


async def test_a_host_that_is_away_is_asked_again_later(pool: Pool) -> None:
    volume = await pool.volume()
    hosts = pool.runtime.local_hosts
    assert hosts is not None
    await hosts.lose("fake-1")
    await pool.settle()
    assert await pool.statuses() == {volume: "available"}


async def test_a_host_that_does_not_know_its_pool_loses_nothing(pool: Pool) -> None:
    volume = await pool.volume()
    await pool.runtime.db.write(forget_facts, "fake-1")
    await pool.settle()
    assert (await pool.files())[0] == [volume]
    assert await pool.runtime.db.read(lambda tx: tx.get_one(Volume, volume).status) == "available"


async def test_a_file_of_another_pool_of_the_host_is_not_stray(pool: Pool) -> None:
    volume = await pool.volume()

    def move(tx: Tx) -> None:
        tx.get_one(Volume, volume).host = "fake-1@elsewhere#elsewhere"

    await pool.runtime.db.write(move)
    await pool.settle()
    assert (await pool.files())[0] == [volume]


def forget_facts(tx: Tx, host: str) -> None:
    """Leave a host as it is while its volume driver cannot tell its facts."""
    row = tx.get_one(HostRow, host)
    row.facts = {**row.facts, "block_storage": {}}
