"""The simulated cloud: control processes and hosts that come and go over one database.

Rule: whatever a process holds in memory dies with it; the database, the state directory and the hosts stay.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from pileus.kernel.config import Configuration
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.errors import Unavailable
from pileus.kernel.operations import Worker
from pileus.kernel.reconcile import Reconcilers
from pileus.kernel.rest.http import Request
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import AgentSettings, Service
from pileus.kernel.testing.memory import SimulatedDatabase, Store
from pileus.kernel.testing.virtual import Process, VirtualLoop, this_process
from pileus.kernel.testing.wire import SimulatedBus, Wire
from pileus.simulation.hosts import Machine
from pileus.simulation.plan import Plan
from pileus.simulation.trace import Trace

log = logging.getLogger("pileus.simulation")
TABLES: dict[str, Any] = {"identity": {"password_hash_rounds": 4, "token_lifetime_s": 7 * 86400}}
CLIENT_PATIENCE_S = 60.0


class Lost(Exception):
    """A request to which no answer came: it may have been carried out or not."""


class Answered(msgspec.Struct, frozen=True):
    """An API's answer."""

    status: int
    body: Any
    headers: dict[str, str]


class Control:
    """One control process: its runtime, and the requests it has not answered."""

    def __init__(self, process: Process, runtime: Runtime) -> None:
        self.process = process
        self.runtime = runtime
        self.open: dict[int, asyncio.Future[Answered]] = {}
        self.ready = False


class Cloud:
    """Everything of one simulation that is not a user."""

    def __init__(self, plan: Plan, loop: VirtualLoop, store: Store, state: Path, services: list[Service], trace: Trace):
        self.plan = plan
        self.loop = loop
        self.store = store
        self.trace = trace
        self.services = services
        self.config = Configuration(state, TABLES, fake=True)
        self.wire = Wire(loop, plan.random("wire"), trace.seen)
        self.controls: dict[str, Control] = {}
        self.dead_owners: set[str] = set()
        self.processes: list[Process] = []
        self.committed: Callable[[], None] = lambda: None
        self.broken: Callable[[Exception], None] = self._give_up
        """Called with what keeps a process from starting, other than a database that is away."""
        self.before_step: dict[Process, Callable[[], None]] = {}
        """Called once, when a process is about to begin a step of an operation."""
        self._failure: Exception | None = None
        self._all_up = asyncio.Event()
        self._starts = 0
        self._requests = 0
        self._refusals = plan.refusals
        self._random = plan.random("cloud")
        self.machines = {
            name: Machine(name, self.wire, AgentSettings(self.config, name), services, plan, trace)
            for name in (f"h{number}" for number in range(1, plan.hosts + 1))
        }

    async def start(self) -> None:
        """Start every process, and return when all answer and every host is known."""
        for machine in self.machines.values():
            self.start_agent(machine)
        for number in range(1, self.plan.controls + 1):
            self.start_control(f"c{number}")
        await self._all_up.wait()
        if self._failure is not None:
            raise self._failure

    def start_agent(self, machine: Machine) -> None:
        """Start a host's agent."""
        self.processes.append(machine.start_agent(self.loop))

    def start_control(self, name: str, *, clock_ahead_s: float = 0.0) -> Control:
        """Start a control process, again or for the first time."""
        self._starts += 1
        process = Process(name)
        process.clock_ahead_s = clock_ahead_s
        self.processes.append(process)
        random = self.plan.random(f"database of {name}, start {self._starts}")
        database = SimulatedDatabase(self.store, process, random)
        database.refusals = self._refusals
        database.committed = self.committed
        bus = SimulatedBus(self.wire, process)
        runtime = Runtime(self.config, self.services, database=database, bus=bus)
        bus.attend(runtime.hosts)
        owner = f"{name}/{self._starts}"
        process.owner = owner
        runtime.worker = Worker(database, bus, owner=owner, observe=self._observe, is_dead=self._is_dead)
        runtime.reconcilers = Reconcilers(database, bus, owner=owner, is_dead=self._is_dead, config=runtime.config)
        control = self.controls[name] = Control(process, runtime)
        self.loop.spawn(process, self._run(control))
        return control

    async def _run(self, control: Control) -> None:
        try:
            await control.runtime.start()
            control.ready = True
            if all(other.ready for other in self.controls.values()):
                self._all_up.set()
        except Unavailable as error:
            self.trace.tell(f"{control.process.name} could not start: {error}")
            self.loop.call_in(self.loop.outside, 1.0, lambda: self._start_again(control))
        except Exception as error:
            self.broken(error)

    def _give_up(self, error: Exception) -> None:
        self._failure = error
        self._all_up.set()

    def _start_again(self, control: Control) -> None:
        """Do as a supervisor does with a process that has ended by itself."""
        name = control.process.name
        if self.controls.get(name) is control:
            self.kill_control(name)
            self.start_control(name, clock_ahead_s=control.process.clock_ahead_s)

    def kill_control(self, name: str) -> None:
        """End a control process; whoever waits for its answer waits no longer."""
        control = self.controls.pop(name)
        self.loop.kill(control.process)
        self.wire.buses.pop(name, None)
        self.dead_owners.add(control.process.owner)
        for future in control.open.values():
            if not future.done():
                future.set_exception(Lost())

    def calm(self) -> None:
        """Let nothing go wrong from now on, nor in processes that start later."""
        self._refusals = 0.0
        self.wire.weather = msgspec.structs.replace(self.wire.weather, drop=0.0, delay=0.0, double=0.0)
        for machine in self.machines.values():
            machine.faults.calm = True
            machine.faults.calmed.set()
        for control in self.controls.values():
            control.runtime.db.refusals = 0.0  # type: ignore[attr-defined]

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """Send a request to one of the control processes; raise Lost when no answer comes."""
        ready = [control for control in self.controls.values() if control.ready]
        if not ready:
            raise Lost
        control = ready[int(self._random.random() * len(ready))]
        self._requests += 1
        number = self._requests
        answer = control.open[number] = self.loop.create_future()
        given = {"x-auth-token": token, **(headers or {})}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        asked = urlencode(query or {}, doseq=True).encode()
        request = Request(method, path, given, asked, "http", None, body=content)
        self.loop.spawn(control.process, _serve(control.runtime, request, answer))
        try:
            async with asyncio.timeout(CLIENT_PATIENCE_S):
                return await answer
        except TimeoutError:
            raise Lost from None
        finally:
            control.open.pop(number, None)

    def _is_dead(self, owner: str) -> bool:
        return self.plan.knows_dead and owner in self.dead_owners

    def _observe(self, event: str, op: Any) -> None:
        self.trace.tell(f"{op.kind} {op.resource} {event}")
        if self.before_step and event.startswith("before "):
            process = this_process()
            if process is not None and (act := self.before_step.pop(process, None)) is not None:
                act()


async def _serve(runtime: Runtime, request: Request, answer: "asyncio.Future[Answered]") -> None:
    ctx = Context(ANONYMOUS, runtime.policy, base_url="http://cloud.test")
    response = await runtime.app.handle(request, ctx)
    body = response.body if isinstance(response.body, bytes) else b"".join([chunk async for chunk in response.body])
    is_json = body and response.media_type is not None and "json" in response.media_type
    if not answer.done():
        headers = {name.lower(): value for name, value in response.headers}
        answer.set_result(Answered(response.status, msgspec.json.decode(body) if is_json else None, headers))


def copy_state(source: Path, target: Path) -> None:
    """Give a simulation a state directory of its own."""
    shutil.copytree(source, target)


def remove_state(state: Path) -> None:
    """Remove a simulation's directory, and close what killed processes have left open in it."""
    prefix = str(state)
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(prefix):
                os.close(int(name))
    shutil.rmtree(state)
