"""The bus of a simulation: messages between simulated processes, dropped, delayed, repeated and overtaken.

Rule: it may do to a message whatever a real network, a dying peer or ZeroMQ may do, and nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.agent.host import Host
from pileus.kernel.agent.hosts import Hosts
from pileus.kernel.bus.base import (
    NOBODY,
    Answer,
    Caller,
    Envelope,
    Listener,
    Subscriptions,
    envelope,
    no_answer,
    result_of,
    unreachable,
)
from pileus.kernel.errors import Unavailable
from pileus.kernel.testing.virtual import Process, VirtualLoop

R = TypeVar("R")
BEAT_S = 3.0
DROPPED, DELAYED, DOUBLED = "message dropped", "message delayed", "message repeated"


class Weather(msgspec.Struct):
    """How bad the network is: shares of messages, and seconds."""

    drop: float = 0.0
    delay: float = 0.0
    double: float = 0.0
    longest_delay_s: float = 20.0
    usual_delay_s: float = 0.002


class Wire:
    """What lies between control processes and hosts."""

    def __init__(self, loop: VirtualLoop, random: Random, seen: "Counter[str]") -> None:
        self.loop = loop
        self.random = random
        self.weather = Weather()
        self.seen = seen
        self.lines: dict[str, Line] = {}
        """Hosts whose agents run, by name."""
        self.buses: dict[str, SimulatedBus] = {}
        """Control processes that run, by name."""

    def send(self, process: Process, deliver: Callable[[], object], *, may_be_lost: bool = True) -> None:
        """Have ``deliver`` called in another process: late, twice or never."""
        weather, random = self.weather, self.random
        if may_be_lost and random.random() < weather.drop:
            self.seen[DROPPED] += 1
            return
        self._after_a_while(process, deliver)
        if may_be_lost and random.random() < weather.double:
            self.seen[DOUBLED] += 1
            self._after_a_while(process, deliver)

    def _after_a_while(self, process: Process, deliver: Callable[[], object]) -> None:
        delay_s = self.random.random() * self.weather.usual_delay_s
        if self.random.random() < self.weather.delay:
            self.seen[DELAYED] += 1
            delay_s += self.random.random() ** 2 * self.weather.longest_delay_s
        self.loop.call_in(process, delay_s, deliver)

    def hung_up(self, host: str) -> None:
        """Let every control process notice, soon, that an agent has ended."""
        line = self.lines.pop(host, None)
        for bus in list(self.buses.values()):
            if line is not None:
                self.loop.call_in(bus.process, self.random.random() * 0.5, lambda bus=bus: bus.lost(host, line.boot_id))


class Line:
    """An agent's connection to the control processes: it registers, beats, obeys and answers."""

    def __init__(self, wire: Wire, process: Process, host: Host) -> None:
        self.wire = wire
        self.process = process
        self.host = host
        self.boot_id = host.boot_id
        self._ahead_s = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self) -> None:
        """Start the host's parts, then be heard for as long as the process lives."""
        self.host.connect(self._publish, lambda: self._keep(self._report()))
        self.host.use_clock(lambda: clock.now().timestamp() + self._ahead_s)
        await self.host.start()
        self.wire.lines[self.host.name] = self
        await self._report()
        while True:
            for bus in list(self.wire.buses.values()):
                self.wire.send(bus.process, lambda bus=bus, at=clock.now().timestamp(): self._beat(bus, at))
            await clock.sleep(BEAT_S)

    def dial(self, bus: "SimulatedBus") -> None:
        """Register with a control process that has come."""
        self.wire.loop.call_in(self.process, self.wire.random.random(), lambda: self._keep(self._report(bus)))

    def obey(self, sent: Envelope, bus: "SimulatedBus") -> None:
        """Carry out a command; the answer travels as the command did."""
        self._keep(self._obey(sent, bus))

    async def _obey(self, sent: Envelope, bus: "SimulatedBus") -> None:
        answer = await self.host.obey(sent)
        if bus.process.alive:
            self.wire.send(bus.process, lambda: bus.answered(answer))

    async def _report(self, only: "SimulatedBus | None" = None) -> None:
        registration = await self.host.registration()
        for bus in [only] if only is not None else list(self.wire.buses.values()):
            self.wire.send(bus.process, lambda bus=bus: bus.registered(self, registration), may_be_lost=False)

    def _beat(self, bus: "SimulatedBus", at: float) -> None:
        """Runs in the control process, which tells the time in its answer."""
        heard_at = clock.now().timestamp()
        if bus.heard(self):
            self.wire.send(self.process, lambda: self._compare(at, heard_at))
        else:
            self.wire.loop.call_in(self.process, 0.0, lambda: self._keep(self._report(bus)))

    def _compare(self, at: float, heard_at: float) -> None:
        now = clock.now().timestamp()
        if now - at < 0.5:
            self._ahead_s = heard_at - (at + now) / 2

    def _publish(self, topic: str, message: Any) -> None:
        body = msgspec.msgpack.encode(message)
        for bus in list(self.wire.buses.values()):
            self.wire.send(bus.process, lambda bus=bus: bus.told(topic, msgspec.msgpack.decode(body)))

    def _keep(self, work: Any) -> None:
        task = self.wire.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SimulatedBus:
    """One control process's end of the wire."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self.wire = wire
        self.process = process
        self.registry: Hosts | None = None
        self._subscriptions = Subscriptions()
        self._peers: dict[str, Line] = {}
        self._pending: dict[str, tuple[str, asyncio.Future[Answer]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def attend(self, registry: Hosts) -> None:
        """Tell ``registry`` of hosts that come, go and are heard."""
        self.registry = registry

    async def start(self) -> None:
        self.wire.buses[self.process.name] = self
        for line in list(self.wire.lines.values()):
            line.dial(self)

    async def stop(self) -> None:
        self.wire.buses.pop(self.process.name, None)

    async def call(self, host: str, command: Command[R], caller: Caller = NOBODY, *, timeout_s: float = 30) -> R:
        sent = envelope(command, caller, timeout_s)
        line = self._peers.get(host)
        if line is None:
            raise unreachable(host)
        answer: asyncio.Future[Answer] = self.wire.loop.create_future()
        self._pending[sent.id] = host, answer
        try:
            self.wire.send(line.process, lambda: line.obey(sent, self))
            async with asyncio.timeout(timeout_s):
                return result_of(await answer, host, type(command).returns)
        except TimeoutError as error:
            raise no_answer(host, command, timeout_s) from error
        finally:
            del self._pending[sent.id]

    def publish(self, topic: str, message: Any = None) -> None:
        self.told(topic, msgspec.msgpack.decode(msgspec.msgpack.encode(message)))

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._subscriptions.subscribe(topic, listener)

    def told(self, topic: str, message: Any) -> None:
        """Hear a wake-up."""
        self._subscriptions.tell(topic, message)

    def answered(self, answer: Answer) -> None:
        """Hear an answer; one that nobody waits for is dropped."""
        _, future = self._pending.get(answer.id, ("", None))
        if future is not None and not future.done():
            future.set_result(answer)

    def registered(self, line: Line, registration: Any) -> None:
        """Hear what a host says of itself."""
        before = self._peers.get(line.host.name)
        if before is not None and before is not line:
            self._fail_pending(line.host.name)
        self._peers[line.host.name] = line
        assert self.registry is not None
        self._keep(self.registry.registered(registration))

    def heard(self, line: Line) -> bool:
        """Hear a sign of life; return whether the host is known."""
        if self._peers.get(line.host.name) is not line:
            return False
        assert self.registry is not None
        self.registry.seen(line.host.name)
        return True

    def lost(self, host: str, boot_id: str) -> None:
        """Notice that an agent has hung up."""
        if host in self._peers and self._peers[host].boot_id == boot_id:
            del self._peers[host]
            self._fail_pending(host)

    def _fail_pending(self, host: str) -> None:
        for name, future in self._pending.values():
            if name == host and not future.done():
                future.set_exception(Unavailable(f"Host {host} vanished before it answered."))

    def _keep(self, work: Any) -> None:
        task = self.wire.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
