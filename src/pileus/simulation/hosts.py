"""Simulated hosts: what outlives an agent, and drivers that fail as real ones do.

Rule: a fault is something a real driver does (refuse, die half-way, take long, never answer); the host itself keeps
what it has.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent import AgentPart
from pileus.kernel.errors import Unavailable
from pileus.kernel.service import AgentSettings, Service, agent_parts
from pileus.kernel.testing.virtual import Process, VirtualLoop
from pileus.kernel.testing.wire import Line, Wire
from pileus.simulation.plan import Plan
from pileus.simulation.trace import Trace, Violation
from pileus.simulation.witness import WatchedHost, Witness

UNFAILING = {"start", "close"}
"""Verbs that do not fail by themselves: an agent whose driver does not start is an agent that is not there."""

WEAK_BEFORE, WEAK_AFTER = 0.1, 0.3
"""How often a weak verb fails."""

FOREVER_S = 5 * 3600.0
"""Longer than any operation may take."""


class DriverBroke(Exception):
    """A driver's failure, made up by the simulation."""


COMPARING_S = 90.0
"""By when an agent has surely compared its clock with the control plane's: some beats are lost, some answers late."""

SMALL = {"memory_mib": 2048, "vcpus": 8}
"""What a host has, so that a cloud may be full."""


class FaultyDriver:
    """Stands before a driver and has its verbs fail before, after, late or never."""

    def __init__(self, driver: Any, faults: "DriverFaults") -> None:
        self.driver = driver
        self._faults = faults
        self._wrapped: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        found = self._wrapped.get(name)
        if found is None:
            found = getattr(self.driver, name)
            if inspect.iscoroutinefunction(found) and name not in UNFAILING:
                found = self._wrapped[name] = self._faults.around(name, found)
        return found


class DriverFaults:
    """What may go wrong on one host."""

    def __init__(self, plan: Plan, host: str, trace: Trace) -> None:
        self._plan = plan
        self._random: Random = plan.random(f"drivers of {host}")
        self._host = host
        self._trace = trace
        self.broken_until = 0.0
        self.calm = False
        self.calmed = asyncio.Event()

    def around(self, verb: str, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``act`` with faults around it."""

        async def plain(*args: Any, **kwargs: Any) -> Any:
            result = await act(*args, **kwargs)
            small = verb == "facts" and hasattr(result, "memory_mib")
            return msgspec.structs.replace(result, **SMALL) if small else result

        async def faulty(*args: Any, **kwargs: Any) -> Any:
            if self.calm:
                return await plain(*args, **kwargs)
            random, before, after = self._random, self._plan.fail_before, self._plan.fail_after
            if verb == self._plan.weak:
                before, after = max(before, WEAK_BEFORE), max(after, WEAK_AFTER)
            await self._pass_time(verb)
            if random.random() < before or clock.monotonic() < self.broken_until:
                raise self._broken("failed before", verb)
            result = await plain(*args, **kwargs)
            if random.random() < after:
                raise self._broken("failed after", verb)
            await self._pass_time(verb)
            return result

        return faulty

    async def _pass_time(self, verb: str) -> None:
        dice = self._random.random()
        if dice < self._plan.hang:
            self._note("hung", verb)
            await self._hang()
        elif dice < self._plan.hang + self._plan.slow:
            await asyncio.sleep(self._random.random() ** 2 * 20)
        else:
            await asyncio.sleep(self._random.random() * 0.01)

    async def _hang(self) -> None:
        """Give no answer for a while; now and then for as long as anybody could wait."""
        seconds = FOREVER_S if self._random.random() < 0.05 else self._random.choice((40.0, 100.0, 400.0))
        calm = self.calmed if seconds != FOREVER_S else asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(calm.wait(), seconds)

    def _broken(self, how: str, verb: str) -> Exception:
        self._note(how, verb)
        sentence = f"the simulated host {self._host} {how} {verb}"
        return Unavailable(sentence) if self._random.random() < 0.5 else DriverBroke(sentence)

    def _note(self, how: str, verb: str) -> None:
        self._trace.seen[f"driver {how}"] += 1
        self._trace.tell(f"{self._host}: the driver {how} {verb}")


class Machine:
    """One host: its drivers with all that they have made stay; its agent comes and goes."""

    def __init__(
        self, name: str, wire: Wire, settings: AgentSettings, services: list[Service], plan: Plan, trace: Trace
    ) -> None:
        self.name = name
        self.wire = wire
        self.faults = DriverFaults(plan, name, trace)
        self.process = Process(name)
        self.clock_ahead_s = 0.0
        self.violated: Callable[[Violation], None] = lambda violation: None
        """Told what the host does though it has promised not to."""
        self._settings = settings
        self._services = services
        self._sure_at = 0.0
        """When the agent must have learned the control plane's time."""
        self.drivers: dict[str, Any] = {}

    def start_agent(self, loop: VirtualLoop) -> Process:
        """Start an agent that remembers nothing on a host that has everything."""
        self.process = Process(self.name)
        self.process.clock_ahead_s = self.clock_ahead_s
        parts = agent_parts(self._services, self._settings)
        for part in parts:
            self._equip(part)
        line = Line(self.wire, self.process, WatchedHost(self.name, parts, self._witness()))
        loop.spawn(self.process, line.serve())
        return self.process

    def set_clock(self, ahead_s: float) -> None:
        """Have this machine's clock be as much ahead of the truth."""
        self.clock_ahead_s = self.process.clock_ahead_s = ahead_s
        self._sure_at = self.wire.loop.time() + COMPARING_S

    def _witness(self) -> Witness:
        loop = self.wire.loop
        if self.clock_ahead_s:
            self._sure_at = loop.time() + COMPARING_S

        def lateness_counts() -> bool:
            return loop.time() > self._sure_at

        return Witness(self.name, loop.time, lateness_counts, lambda violation: self.violated(violation))

    def kill_agent(self, loop: VirtualLoop) -> None:
        """End the agent; what it has made stays."""
        loop.kill(self.process)
        self.wire.hung_up(self.name)

    def _equip(self, part: AgentPart) -> None:
        holder: Any = part
        driver = self.drivers.setdefault(part.service, holder.driver)
        holder.driver = FaultyDriver(driver, self.faults)
