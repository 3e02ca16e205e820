"""The fake cloud: a control plane that can be put back to what it was, in the process that goes on listening.

Rule: putting back is a restart.  Requests wait outside, those under way are cut off, the runtime ends with all its
tasks and caches, files are exchanged, a new runtime starts on them; nothing of the old one can reach the new.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pileus.fake import faults as kinds
from pileus.fake.app import FaultyApp
from pileus.fake.database import OneLife
from pileus.fake.faults import AnyFault, Faults, InForce, matches
from pileus.fake.hosts import Altered, Way, altered
from pileus.fake.moving_clock import MovingClock
from pileus.fake.snapshots import START, Snapshots
from pileus.kernel import clock, quota
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.config import Configuration
from pileus.kernel.db import Tx, open_database
from pileus.kernel.db.sqlite import SQLite
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.operations import Worker
from pileus.kernel.reconcile import Reconcilers
from pileus.kernel.rest.http import Receive, Send
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.services.identity import public as identity

log = logging.getLogger("pileus.fake")
GRACE_S = 0.05
"""How long requests that are under way may take to end by themselves before the cloud is put back."""
KEY_FILE = "run/fake.key"
"""What lets this machine's own commands in: its holder may order faults while Identity itself is broken."""


class FakeCloud:
    """What ``pileus server`` serves where the cloud is fake: it stands where a runtime would."""

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.faults = Faults()
        self.clock = MovingClock()
        self.key = secrets.token_urlsafe(24)
        self._services = [altered(service, self.faults) for service in find_services()]
        database = open_database(config.database_url, synced=config.synced)
        self._sqlite = database if isinstance(database, SQLite) else None
        self._other = None if self._sqlite is not None else database
        self._open = asyncio.Event()
        self._changing = asyncio.Lock()
        self._under_way: dict[asyncio.Task[Any], _Answer] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.runtime = self._make()

    def _make(self) -> Runtime:
        database = self._other if self._sqlite is None else OneLife(self._sqlite)
        bus = MemoryBus()
        runtime = Runtime(
            self.config,
            self._services,
            database=database,
            bus=bus,
            app=lambda runtime: FaultyApp(runtime, self.faults),
        )
        bus.deliver = Way(self.faults, runtime.db).deliver
        # One process serves a fake cloud: whoever else holds a lease has ended, or was this process's earlier life.
        runtime.worker = Worker(runtime.db, bus, is_dead=lambda owner: True)
        runtime.reconcilers = Reconcilers(runtime.db, bus, is_dead=lambda owner: True)
        return runtime

    async def start(self) -> None:
        """Start; when this returns every API answers."""
        self._clock_before = clock.use(self.clock)
        key = self.config.state / KEY_FILE
        key.parent.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_text(self.key)
        await self.runtime.start()
        self._open.set()

    async def stop(self) -> None:
        """Stop in order."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.runtime.stop()
        clock.use(self._clock_before)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run a background task of the process, which outlives the cloud's restarts."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def app(self) -> "FakeCloud":
        """The ASGI application: this."""
        return self

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.runtime.app(scope, receive, send)
        if scope["type"] == "http" and (scope["path"] == "/fake" or scope["path"].startswith("/fake/")):
            from pileus.fake.control import serve

            return await serve(self, scope, receive, send)
        await self._open.wait()
        task, answer = asyncio.current_task(), _Answer(send)
        assert task is not None, "a server runs each request in a task"
        self._under_way[task] = answer
        try:
            await self.runtime.app(scope, receive, answer)
        except asyncio.CancelledError:
            if not answer.cut:
                raise
            task.uncancel()
            await answer.refuse(scope["type"])
        finally:
            self._under_way.pop(task, None)
        return None

    # Snapshots.

    @property
    def snapshots(self) -> Snapshots:
        """The cloud's snapshots; raise Conflict where its database is none that can be copied."""
        if self._sqlite is None:
            raise Conflict(
                "Snapshots are for clouds on SQLite; this one's database is another ([cloud] database in pileus.toml)."
            )
        return Snapshots(self.config, self._services, Path(self._sqlite.path))

    async def save(self, name: str) -> None:
        """Keep the cloud as it is now under a name; what was kept under it is replaced.  Nothing is interrupted."""
        async with self._changing:
            snapshots = self.snapshots
            await self.runtime.db.write(lambda tx: snapshots.save(name, self.clock.ahead_s))

    async def load(self, name: str) -> None:
        """Put the cloud back to a snapshot; every fault is cleared, and the clock is what it was then."""
        async with self._changing:
            snapshots = self.snapshots
            staged, about = await asyncio.to_thread(snapshots.stage, name)
            async with self._outside():
                await self.runtime.stop()
                await asyncio.to_thread(snapshots.put_back, staged)
                self._forget_faults()
                self.clock.ahead_s = about.ahead_s
                assert self._sqlite is not None
                self._sqlite.reopen()
                self.runtime = self._make()
                await self.runtime.start()

    async def reset(self) -> None:
        """Put the cloud back to just after its first start."""
        try:
            await self.load(START)
        except NotFound as error:
            raise Conflict(
                f"There is no snapshot {START} to go back to: `pileus up` makes it; or save one of that name."
            ) from error

    async def delete(self, name: str) -> None:
        """Remove a snapshot."""
        async with self._changing:
            await asyncio.to_thread(self.snapshots.delete, name)

    @asynccontextmanager
    async def _outside(self) -> AsyncIterator[None]:
        """Let new requests wait and end those under way."""
        self._open.clear()
        try:
            if self._under_way:
                await asyncio.wait(list(self._under_way), timeout=GRACE_S)
            left = dict(self._under_way)
            for task, answer in left.items():
                answer.cut = True
                task.cancel()
            if left:
                await asyncio.wait(list(left))
            yield
        finally:
            self._open.set()

    # Faults.

    async def break_(self, fault: AnyFault) -> InForce:
        """Put a fault in force; when this returns it has its effect."""
        async with self._changing:
            if isinstance(fault, kinds.ApiFault):
                self._check_service(fault.service)
            one = self.faults.add(fault)
            try:
                await self._begin(one)
            except BaseException:
                self.faults.remove(one.id)
                raise
            return one

    async def mend(self, id: int | None = None) -> list[int]:
        """Take one fault out of force, or all; return which."""
        async with self._changing:
            ids = list(self.faults.all) if id is None else [id]
            for each in ids:
                await self._end(self.faults.remove(each))
            return ids

    def _forget_faults(self) -> None:
        for id in list(self.faults.all):
            self.faults.remove(id)

    async def _begin(self, one: InForce) -> None:
        match one.fault:
            case kinds.HostFault(host=name, power_off=power_off):
                await self._lose(name, power_off=power_off)
            case kinds.CapacityFault(host=pattern):
                await self._report(pattern)
            case kinds.QuotaFault() as fault:
                one.before = await self.runtime.db.write(_fill, fault)

    async def _end(self, one: InForce) -> None:
        match one.fault:
            case kinds.HostFault(host=name):
                if name not in self._hosts.hosts:
                    await self._hosts.start_host(self.runtime.fake_host(name))
            case kinds.CapacityFault(host=pattern):
                await self._report(pattern)
            case kinds.QuotaFault():
                await self.runtime.db.write(_put_back, *one.before)

    @property
    def _hosts(self) -> Any:
        assert self.runtime.local_hosts is not None, "a fake cloud has hosts of its own"
        return self.runtime.local_hosts

    async def _lose(self, name: str, *, power_off: bool) -> None:
        host = self._hosts.hosts.get(name)
        if host is None:
            there = ", ".join(sorted(self._hosts.hosts)) or "none"
            raise NotFound(f"No host {name} is up; those that are: {there}.")
        await self._hosts.lose(name)
        await host.die()
        for part in host.parts if power_off else ():
            driver: Any = getattr(part.part if isinstance(part, Altered) else part, "driver", None)
            if hasattr(driver, "lose_power"):
                driver.lose_power()

    async def _report(self, pattern: str) -> None:
        """Have hosts tell anew what they have, and the scheduler's stock follow."""
        hosts = [host for name, host in self._hosts.hosts.items() if matches(pattern, name)]
        if not hosts:
            raise NotFound(f"No host that is up is called {pattern}.")
        for host in hosts:
            await self.runtime.hosts.registered(await host.registration())
        await self.runtime.reconcilers.run_once("compute.hosts")

    def _check_service(self, pattern: str) -> None:
        app = self.runtime.app
        known = {name for first, of in app.names.items() for name in (first, of, of.replace("_", "-"))}
        if not any(matches(pattern, name) for name in known):
            raise Invalid(f"No service is called {pattern}; there are: {', '.join(sorted(known))}.")

    def move_time(self, seconds: float) -> float:
        """Let time pass at once; return how far the cloud's clock is ahead."""
        self.clock.forward(seconds)
        return self.clock.ahead_s


class _Answer:
    """What a request has been answered so far."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = self.cut = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.begun = True
        await self._send(message)

    async def refuse(self, kind: str) -> None:
        """Tell a client whose request was cut off, as far as it can still be told."""
        if self.begun or kind != "http":
            return
        words = b"The cloud was put back to another state while this request was under way; ask again."
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"1")]
        await self._send({"type": "http.response.start", "status": 503, "headers": headers})
        await self._send({"type": "http.response.body", "body": words})


_SERVICES: dict[str, str] = {"volume": "block_storage", "networking": "network"}
"""Other names by which people know services that have quotas."""


def _fill(tx: Tx, fault: kinds.QuotaFault) -> tuple[str, str, str, int | None]:
    """Give a project a limit of nothing; return whose, which, and the limit of its own that it had."""
    service = _SERVICES.get(fault.service, fault.service).replace("-", "_")
    known = quota.declared(service)
    if fault.name not in known:
        told = f"those of {service}: {', '.join(sorted(known))}" if known else "compute, network, block_storage have"
        raise Invalid(f"{service} has no limit {fault.name}; {told}.")
    there = identity.project_exists(tx, fault.project)
    project = fault.project if there else identity.find_project_id(tx, fault.project)
    if project is None:
        raise NotFound(f"There is no project {fault.project}.")
    row = tx.get(quota.QuotaLimit, (project, service, fault.name))
    before = None if row is None else row.hard_limit
    quota.set_limits(tx, project, service, {fault.name: 0})
    return project, service, fault.name, before


def _put_back(tx: Tx, project: str, service: str, name: str, before: int | None) -> None:
    row = tx.get(quota.QuotaLimit, (project, service, name))
    if row is not None and before is None:
        tx.delete(row)
    elif before is not None:
        quota.set_limits(tx, project, service, {name: before})
