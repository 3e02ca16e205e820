"""Every durable verb, killed and failed before and after each of its steps: it ends, and leaves nothing behind."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import Operation, OperationRow, Worker, find_live
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing import running
from pileus.services.block_storage.app import backups, snapshots, uploads, volumes
from pileus.services.block_storage.commands import Inventory, ListInventory
from pileus.services.block_storage.model import Backup, Message, Snapshot, Volume, VolumeType
from pileus.services.image import public as images
from pileus.services.object_store.model import ObjectRow


class Crash(BaseException):
    """Stands for kill -9."""


class Site:
    """A cloud of storage alone, whose worker dies or fails where the test says."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ctx: Context = runtime.internal(project_id="p1", user_id="u1")
        self.ctx.version = (3, 71)
        self.events: list[str] = []
        self.at: dict[str, BaseException] = {}
        self.workers: list[Worker] = []

    def observe(self, event: str, op: Operation) -> None:
        self.events.append(event)
        error = self.at.get(event)
        if error is not None:
            if isinstance(error, Crash):
                del self.at[event]
            raise error

    async def worker(self) -> Worker:
        worker = Worker(
            self.runtime.db, self.runtime.bus, observe=self.observe, poll_s=0.05, is_dead=lambda owner: True
        )
        await worker.start()
        self.workers.append(worker)
        return worker

    async def crash(self, worker: Worker) -> None:
        """Take a worker away as a dead process goes."""
        worker._accepting = False
        tasks = [*worker._loops, *(task for _, task in worker._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def write(self, fn: Callable[[Tx], Any]) -> Any:
        return await self.runtime.db.write(fn)

    async def idle(self, resource: str) -> None:
        """Wait until no operation holds the resource."""
        for _ in range(1000):
            if await self.runtime.db.read(find_live, resource) is None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{resource} is still busy after {self.events}")

    async def until(self, event: str) -> None:
        for _ in range(1000):
            if event in self.events:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {event} in {self.events}")

    async def files(self) -> tuple[list[str], list[str]]:
        found: Inventory = await self.runtime.bus.call("fake-1", ListInventory())
        return [facts.id for facts in found.volumes], [facts.id for facts in found.snapshots]

    async def ended(self, resource: str) -> list[str]:
        """Return how the last operation of a resource has ended."""
        of = (
            select(OperationRow.state).where(OperationRow.resource == resource).order_by(OperationRow.created_at.desc())
        )
        return await self.write(lambda tx: list(tx.scalars(of.limit(1))))

    async def rows(self, kind: type[Volume] | type[Snapshot]) -> dict[str, str]:
        """Return the status of every volume or snapshot."""
        return await self.write(lambda tx: {row.id: row.status for row in tx.query(kind)})

    @property
    def copies(self) -> list[Path]:
        """Image files that operations made for themselves."""
        folder = self.runtime.config.state / "block_storage" / "images"
        return list(folder.iterdir()) if folder.exists() else []

    async def volume(self, **more: Any) -> str:
        """Make a volume without trouble."""
        wanted = volumes.NewVolume(**{"size_gib": 1, **more})
        id = await self.write(lambda tx: volumes.create_volume(tx, self.ctx, wanted).id)
        await self.idle(f"volume/{id}")
        return id

    async def snapshot(self, volume_id: str) -> str:
        """Take a snapshot without trouble."""
        id = await self.write(lambda tx: self._snapshot(tx, volume_id))
        await self.idle(f"snapshot/{id}")
        return id

    def _snapshot(self, tx: Tx, volume_id: str) -> str:
        volume = tx.get_one(Volume, volume_id)
        return snapshots.create_snapshot(tx, self.ctx, volume, name=None, description=None, metadata={}, force=True).id

    def _backup(self, tx: Tx, volume_id: str) -> str:
        volume = tx.get_one(Volume, volume_id)
        return backups.create_backup(
            tx, self.ctx, volume, None, name=None, description=None, container=None, metadata={}, force=False
        ).id

    async def objects(self) -> list[str]:
        """Return the names of the project's objects."""
        return await self.write(lambda tx: [row.name for row in tx.query(ObjectRow) if row.name.startswith("volume_")])

    async def image(self) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"boot me" + bytes(1 << 16)

        made = await images.create_image_from_stream(self.runtime, self.ctx, chunks(), name="base", disk_format="raw")
        return made.id


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path, find_services(["object_store", "image", "block_storage"])) as runtime:
        await runtime.worker.stop()
        site = Site(runtime)
        yield site
        for worker in site.workers:
            await worker.stop()


class Case(ABC):
    """A verb: what it needs first, how it begins, what is true when it has succeeded and when it was undone."""

    steps: tuple[str, ...]

    async def prepare(self, site: Site) -> None:  # noqa: B027 (most verbs need nothing)
        """Make what the verb needs."""

    @abstractmethod
    async def begin(self, site: Site) -> str:
        """Begin the verb and return its operation's resource."""

    @abstractmethod
    async def done(self, site: Site) -> None:
        """Insist on what is true when it has succeeded."""

    @abstractmethod
    async def undone(self, site: Site) -> None:
        """Insist on what is true when it was undone."""


class Create(Case):
    steps = ("plan", "fetch image", "make", "drop image copy", "finish")

    async def prepare(self, site: Site) -> None:
        self.image = await site.image()

    async def begin(self, site: Site) -> str:
        wanted = volumes.NewVolume(size_gib=1, image_id=self.image)
        self.id = await site.write(lambda tx: volumes.create_volume(tx, site.ctx, wanted).id)
        return f"volume/{self.id}"

    async def done(self, site: Site) -> None:
        assert await site.rows(Volume) == {self.id: "available"}
        assert await site.files() == ([self.id], [])
        assert site.copies == []

    async def undone(self, site: Site) -> None:
        assert await site.rows(Volume) == {self.id: "error"}
        assert await site.files() == ([], [])
        assert site.copies == []


class OnVolume(Case):
    """A verb of a volume that is there, with one snapshot."""

    def __init__(self) -> None:
        self.id = self.snapshot = ""

    async def prepare(self, site: Site) -> None:
        self.id = await site.volume()
        self.snapshot = await site.snapshot(self.id)


class Change(OnVolume):
    """A verb that changes the volume itself."""

    async def begin(self, site: Site) -> str:
        await site.write(lambda tx: self.change(tx, site, tx.get_one(Volume, self.id)))
        return f"volume/{self.id}"

    @abstractmethod
    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        """Begin the verb on the volume."""


class Delete(Change):
    steps = ("find host", "remove", "finish")

    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        volumes.delete_volume(tx, site.ctx, volume, cascade=True)

    async def done(self, site: Site) -> None:
        assert (await site.rows(Volume), await site.rows(Snapshot)) == ({}, {})
        assert await site.files() == ([], [])

    async def undone(self, site: Site) -> None:
        assert await site.rows(Volume) == {self.id: "error_deleting"}
        assert await site.rows(Snapshot) == {self.snapshot: "error_deleting"}


class Extend(Change):
    steps = ("find place", "grow", "finish")

    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        volumes.extend_volume(tx, site.ctx, volume, 2)

    async def done(self, site: Site) -> None:
        assert await site.write(lambda tx: tx.get_one(Volume, self.id).size) == 2
        assert await site.rows(Volume) == {self.id: "available"}

    async def undone(self, site: Site) -> None:
        assert await site.write(lambda tx: tx.get_one(Volume, self.id).size) == 1
        assert await site.rows(Volume) == {self.id: "error_extending"}


class Revert(Change):
    steps = ("find place", "revert", "finish")

    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        volumes.revert_volume(tx, site.ctx, volume, tx.get_one(Snapshot, self.snapshot))

    async def done(self, site: Site) -> None:
        assert await site.rows(Volume) == {self.id: "available"}
        assert await site.rows(Snapshot) == {self.snapshot: "available"}

    async def undone(self, site: Site) -> None:
        assert await site.rows(Volume) == {self.id: "error"}
        assert await site.rows(Snapshot) == {self.snapshot: "available"}


class Upload(Change):
    steps = ("find place", "make room", "write", "send", "clean up", "finish")

    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        wanted = uploads.NewImage(
            name="made", disk_format="raw", container_format="bare", visibility="private", protected=False, force=False
        )
        self.image = uploads.upload_volume(tx, site.ctx, site.runtime, volume, wanted)

    async def done(self, site: Site) -> None:
        found = await site.runtime.db.read(images.find_images, [self.image])
        assert found[self.image].status == "active"
        assert await site.rows(Volume) == {self.id: "available"}
        assert site.copies == []

    async def undone(self, site: Site) -> None:
        assert await site.runtime.db.read(images.find_images, [self.image]) == {}
        assert await site.rows(Volume) == {self.id: "available"}
        assert site.copies == []


class TakeSnapshot(OnVolume):
    steps = ("find place", "take", "finish")

    async def begin(self, site: Site) -> str:
        self.second = await site.write(lambda tx: site._snapshot(tx, self.id))
        return f"snapshot/{self.second}"

    async def done(self, site: Site) -> None:
        assert (await site.rows(Snapshot))[self.second] == "available"
        assert set((await site.files())[1]) == {self.snapshot, self.second}

    async def undone(self, site: Site) -> None:
        assert (await site.rows(Snapshot))[self.second] == "error"
        assert (await site.files())[1] == [self.snapshot]


class DeleteSnapshot(OnVolume):
    steps = ("find host", "remove", "finish")

    async def begin(self, site: Site) -> str:
        await site.write(lambda tx: snapshots.delete_snapshot(tx, site.ctx, tx.get_one(Snapshot, self.snapshot)))
        return f"snapshot/{self.snapshot}"

    async def done(self, site: Site) -> None:
        assert (await site.rows(Snapshot), (await site.files())[1]) == ({}, [])

    async def undone(self, site: Site) -> None:
        assert await site.rows(Snapshot) == {self.snapshot: "error_deleting"}


class OnBackup(OnVolume):
    """A verb of a backup that is there."""

    async def prepare(self, site: Site) -> None:
        await super().prepare(site)
        self.backup = await site.write(lambda tx: site._backup(tx, self.id))
        await site.idle(f"backup/{self.backup}")

    async def backups(self, site: Site) -> dict[str, str]:
        return await site.write(lambda tx: {row.id: row.status for row in tx.query(Backup)})


class CreateBackup(OnBackup):
    steps = ("find place", "make room", "write", "store", "clean up", "finish")

    async def begin(self, site: Site) -> str:
        self.second = await site.write(lambda tx: site._backup(tx, self.id))
        return f"backup/{self.second}"

    async def done(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available", self.second: "available"}
        assert await site.rows(Volume) == {self.id: "available"}
        assert len(await site.objects()) == 2
        assert site.copies == []

    async def undone(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available", self.second: "error"}
        assert await site.rows(Volume) == {self.id: "available"}
        assert len(await site.objects()) == 1
        assert site.copies == []


class DeleteBackup(OnBackup):
    steps = ("finish",)

    async def begin(self, site: Site) -> str:
        await site.write(lambda tx: backups.delete_backup(tx, site.ctx, tx.get_one(Backup, self.backup)))
        return f"backup/{self.backup}"

    async def done(self, site: Site) -> None:
        assert (await self.backups(site), await site.objects()) == ({}, [])

    async def undone(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "error_deleting"}


class RestoreBackup(OnBackup, Change):
    steps = ("find place", "fetch", "clear", "fill", "clean up", "finish")

    def change(self, tx: Tx, site: Site, volume: Volume) -> None:
        backups.restore_backup(tx, site.ctx, tx.get_one(Backup, self.backup), volume, None)

    async def done(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available"}
        assert await site.rows(Volume) == {self.id: "available"}
        assert (await site.files())[0] == [self.id]
        assert site.copies == []

    async def undone(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available"}
        assert await site.rows(Volume) == {self.id: "error_restoring"}
        assert site.copies == []


class CreateFromBackup(OnBackup):
    steps = ("plan", "fetch backup", "make", "drop image copy", "finish")

    async def begin(self, site: Site) -> str:
        wanted = volumes.NewVolume(backup_id=self.backup)
        self.second = await site.write(lambda tx: volumes.create_volume(tx, site.ctx, wanted).id)
        return f"volume/{self.second}"

    async def done(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available"}
        assert await site.rows(Volume) == {self.id: "available", self.second: "available"}
        assert site.copies == []

    async def undone(self, site: Site) -> None:
        assert await self.backups(site) == {self.backup: "available"}
        assert await site.rows(Volume) == {self.id: "available", self.second: "error"}
        assert (await site.files())[0] == [self.id]
        assert site.copies == []


CASES: list[type[Case]] = [
    Create,
    Delete,
    Extend,
    Revert,
    Upload,
    TakeSnapshot,
    DeleteSnapshot,
    CreateBackup,
    DeleteBackup,
    RestoreBackup,
    CreateFromBackup,
]
POINTS = [(case, f"{when} {step}") for case in CASES for step in case.steps for when in ("before", "after")]


async def prepared(site: Site, make: Callable[[], Case]) -> Case:
    worker = await site.worker()
    case = make()
    await case.prepare(site)
    await worker.stop()
    site.events.clear()
    return case


@pytest.mark.parametrize(("make", "point"), POINTS)
async def test_a_killed_verb_is_finished_by_the_next_worker(site: Site, make: type[Case], point: str) -> None:
    case = await prepared(site, make)
    site.at = {point: Crash()}
    first = await site.worker()
    resource = await case.begin(site)
    await site.until(point)
    await site.crash(first)
    await site.worker()
    await site.idle(resource)
    await case.done(site)
    assert await site.ended(resource) == ["succeeded"]


@pytest.mark.parametrize(("make", "point"), POINTS)
async def test_a_failed_verb_leaves_nothing_and_says_why(site: Site, make: type[Case], point: str) -> None:
    case = await prepared(site, make)
    site.at = {point: Conflict("the disk caught fire")}
    await site.worker()
    resource = await case.begin(site)
    await site.idle(resource)
    if point == "after finish":
        await case.done(site)
        return
    await case.undone(site)
    (text,) = await site.write(lambda tx: [row.text for row in tx.query(Message)])
    assert "the disk caught fire" in text


@pytest.mark.parametrize("make", CASES)
async def test_the_steps_are_those_that_are_tried(site: Site, make: type[Case]) -> None:
    case = await prepared(site, make)
    await site.worker()
    await site.idle(await case.begin(site))
    await site.until("after finish")
    seen = [event.removeprefix("before ") for event in site.events if event.startswith("before ")]
    assert [step for step in seen if not step.startswith("remove snapshot")] == list(make.steps)


async def test_a_host_that_is_away_is_waited_for(site: Site) -> None:
    id = await _made(site)
    hosts = site.runtime.local_hosts
    assert hosts is not None
    host = hosts.hosts["fake-1"]
    await hosts.lose("fake-1")
    await site.write(lambda tx: volumes.delete_volume(tx, site.ctx, tx.get_one(Volume, id)))
    await site.until("before remove")
    assert await site.rows(Volume) == {id: "deleting"}
    await hosts.start_host(host)
    await site.idle(f"volume/{id}")
    assert await site.rows(Volume) == {}


async def _made(site: Site) -> str:
    await site.worker()
    id = await site.volume()
    site.events.clear()
    return id


async def test_no_host_that_fits_is_told_host_by_host(site: Site) -> None:
    await site.worker()
    await site.write(lambda tx: setattr(tx.query(VolumeType).one(), "extra_specs", {"vendor_name": "Acme"}))
    id = await site.volume()
    assert await site.rows(Volume) == {id: "error"}
    (text,) = await site.write(lambda tx: [row.text for row in tx.query(Message)])
    assert "fake-1 does not offer vendor_name=Acme, which the type __DEFAULT__ asks for" in text


async def test_a_volume_that_its_server_let_go_of_while_it_grew_is_available(site: Site) -> None:
    id = await _made(site)

    def grow(tx: Tx) -> None:
        volume = tx.get_one(Volume, id)
        volume.status = "in-use"  # by a server that is deleted before the file has grown
        volumes.extend_volume(tx, site.ctx, volume, 2)

    await site.write(grow)
    await site.idle(f"volume/{id}")
    assert await site.rows(Volume) == {id: "available"}
