"""One running control plane: its settings, database, policy, services, bus and workers, started and stopped as one.

Rule: nothing here is global, so that several clouds can live in one process (tests, simulation).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Engine

from pileus import __version__
from pileus.kernel import clock, event_history, telemetry
from pileus.kernel.agent.host import Host
from pileus.kernel.agent.hosts import Hosts
from pileus.kernel.agent.local import LocalHosts
from pileus.kernel.bus import Bus
from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.bus.zeromq import ZmqBus
from pileus.kernel.config import Configuration
from pileus.kernel.context import ANONYMOUS, Caller, Context, internal
from pileus.kernel.db import Database, Tx, open_database
from pileus.kernel.db.schema import bring_up
from pileus.kernel.errors import NotFound
from pileus.kernel.events import consume_forever, ensure_cursors
from pileus.kernel.operations import Worker, history
from pileus.kernel.operations.listeners import engine_of
from pileus.kernel.policy import Policy
from pileus.kernel.reconcile import Reconcilers
from pileus.kernel.rest.app import App
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.openapi import document
from pileus.kernel.service import AgentSettings, Service, agent_parts, declare_all, find_services

log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""How long a background task that failed rests before it begins again."""
HISTORIES = (history, event_history)
"""Imported so that their reconcilers are declared: what has ended is forgotten in time."""
T = TypeVar("T")
_runtimes: "WeakKeyDictionary[Database | Engine, ref[Runtime]]" = WeakKeyDictionary()


def runtime_of(where: Database | Tx) -> "Runtime":
    """Return the runtime that works on a database or in a transaction of it.

    It is how a step of an operation (``op.db``), or its ``on_failure(tx, ...)``, reaches its service's parts.
    """
    runtime = _runtimes[engine_of(where) if isinstance(where, Tx) else where]()
    assert runtime is not None, "a runtime outlives its transactions"
    return runtime


class Runtime:
    """Everything a handler, an operation or a background task may need."""

    def __init__(
        self,
        config: Configuration,
        services: Sequence[Service] | None = None,
        *,
        database: Database | None = None,
        bus: Bus | None = None,
        app: "Callable[[Runtime], App]" = App,
    ) -> None:
        """Make what ``start`` starts; a simulation and a fake cloud bring the database, the bus, the application."""
        self.config = config
        self.services = list(services if services is not None else find_services())
        declare_all(self.services)
        self.policy = Policy.from_file(config.state / "policy.yaml")
        self.db = database or open_database(config.database_url, synced=config.synced)
        _runtimes[self.db] = ref(self)
        self.authenticate = next((s.authenticate for s in self.services if s.authenticate), _nobody)
        self.app = app(self)
        self.bus: Bus = bus or (MemoryBus() if config.cloud.fake else ZmqBus(config.state / "run" / "bus"))
        self.hosts = Hosts(self.db, self.bus)
        if isinstance(self.bus, ZmqBus):
            self.bus.attend(self.hosts)
        self.worker = Worker(self.db, self.bus)
        self.reconcilers = Reconcilers(self.db, self.bus, config=self.config)
        self.local_hosts: LocalHosts | None = None
        self.ready = False
        self._parts: dict[Any, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._openapi: asyncio.Future[bytes] | None = None

    async def attach(self) -> None:
        """Let transactions find this runtime (``runtime_of``): part of ``start``, and enough for the command line."""
        for run in (self.db.write, self.db.read):  # SQLite reads through an engine of its own
            _runtimes[await run(engine_of)] = ref(self)

    async def start(self) -> None:
        """Bring the schema and the services up; when this returns every API answers."""
        await bring_up(self.db)
        await self.attach()
        await self.db.write(self._bootstrap)
        for service in self.services:
            if service.start is not None:
                await service.start(self)
        await self.bus.start()
        await self.hosts.start()
        if isinstance(self.bus, MemoryBus):
            self.local_hosts = LocalHosts(self.bus, self.hosts, self._fake_hosts())
            await self.local_hosts.start()
        await self.worker.start()
        await self.reconcilers.start()
        self.keep(partial(consume_forever, self), "event consumers")
        self.ready = True

    def _bootstrap(self, tx: Tx) -> None:
        ensure_cursors(tx)
        for service in self.services:
            if service.bootstrap is not None:
                service.bootstrap(tx, self)
                tx.flush()

    async def stop(self) -> None:
        """Stop what ``start`` started; whatever is unfinished is resumed by the next start."""
        self.ready = False
        await self.reconcilers.stop()
        await self.worker.stop()
        if self.local_hosts is not None:
            await self.local_hosts.stop()
        await self.hosts.stop()
        for service in reversed(self.services):
            if service.stop is not None:
                await service.stop(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.bus.stop()
        await self.db.close()

    def _fake_hosts(self) -> list[Host]:
        return [self.fake_host(f"fake-{number}") for number in range(1, self.config.cloud.fake_hosts + 1)]

    def fake_host(self, name: str) -> Host:
        """Make a host of a fake cloud, with what its drivers have kept in files."""
        return Host(name, agent_parts(self.services, AgentSettings(self.config, name)))

    def part(self, make: Callable[["Runtime"], T]) -> T:
        """Return this runtime's one ``make(runtime)``, made when first asked for: a service's keys, caches, pools."""
        found = self._parts.get(make)
        if found is None:
            found = self._parts[make] = make(self)
        return found

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a background task until ``stop``; if it dies its failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, make: Callable[[], Coroutine[Any, Any, Any]], name: str) -> asyncio.Task[Any]:
        """Run ``make()``, which has no end, until ``stop``; when it fails (a database that is away), begin it again."""
        return self.spawn(_again_and_again(make, name), name)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task %s died", task.get_name(), exc_info=error)

    def internal(self, *, project_id: str | None = None, user_id: str | None = None) -> Context:
        """Return the context of work that no request asked for; it may do everything."""
        return internal(self.policy, project_id=project_id, user_id=user_id)

    async def _document(self) -> bytes:
        """Return the OpenAPI document, made once, on a thread of its own: it takes a second."""
        if self._openapi is None or (self._openapi.done() and self._openapi.exception() is not None):
            self._openapi = asyncio.ensure_future(asyncio.to_thread(document, self.app))
        return await asyncio.shield(self._openapi)

    async def root_response(self, request: Request, ctx: Context) -> Response:
        """Answer what belongs to no service: the list of services, health, metrics, the OpenAPI document."""
        match request.path.rstrip("/"):
            case "":
                paths = {service.type: f"{ctx.base_url}{service.path}" for service in self.services}
                return json_response({"name": "Pileus", "version": __version__, "services": paths})
            case "/healthz":
                await self.db.read(lambda tx: tx.connection())
                return json_response({"status": "ok" if self.ready else "starting"}, 200 if self.ready else 503)
            case "/metrics":
                return Response(200, telemetry.metrics_page(), [], "text/plain; version=0.0.4; charset=utf-8")
            case "/openapi.json":
                return Response(200, await self._document())
        raise NotFound(f"There is nothing at {request.path}; the services are listed at {ctx.base_url}/.")


async def _again_and_again(make: Callable[[], Coroutine[Any, Any, Any]], name: str) -> None:
    pause_s = FIRST_PAUSE_S
    while True:
        began = clock.monotonic()
        try:
            return await make()
        except Exception:
            if clock.monotonic() - began > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            log.exception("%s failed; it begins again in %s s", name, pause_s)
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _nobody(tx: Tx, request: Request, runtime: Runtime) -> Caller:
    return ANONYMOUS
