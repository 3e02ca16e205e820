"""An agent's connection to the control plane over ZeroMQ.

Rule: it dials every control process it knows of, registers when asked, and answers on the line the command came by.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from pileus.kernel import clock
from pileus.kernel.agent.host import Host
from pileus.kernel.bus import wire
from pileus.kernel.bus.base import Envelope
from pileus.kernel.bus.keys import KeyPair

log = logging.getLogger("pileus.agent")

BEAT_S = 3.0
LOOK_S = 1.0
"""How often the folder is looked through for control processes that have come."""


@dataclass(slots=True)
class _Line:
    socket: zmq.asyncio.Socket
    tasks: "tuple[asyncio.Task[Any], ...]"


class Link:
    """Serves one host to the control processes whose sockets are in ``folder`` or whose TCP addresses are given."""

    def __init__(
        self,
        host: Host,
        *,
        folder: Path | None = None,
        tcp: Sequence[str] = (),
        keys: KeyPair | None = None,
        control_key: bytes | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        self._host = host
        self._folder = wire.SocketFolder(folder) if folder is not None else None
        self._tcp = list(tcp)
        self._keys = keys
        self._control_key = control_key
        self._beat_s = beat_s
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._registration = b""
        self._ahead_s = 0.0
        self.registered = asyncio.Event()
        """Set once a control process has answered that it knows this host."""
        if tcp and (keys is None or control_key is None):
            raise ValueError("an agent dials over TCP only with CURVE keys: its own pair and the control plane's")
        host.connect(self._publish, self._report)
        host.use_clock(lambda: clock.now().timestamp() + self._ahead_s)

    async def start(self) -> None:
        """Start the host's parts, dial, register, and go on doing so."""
        self._context = zmq.asyncio.Context()
        await self._host.start()
        await self._gather_facts()
        for address in self._tcp:
            self._dial(address)
        self._look()
        self._keep(self._look_forever())
        self._keep(self._beat_forever())

    async def stop(self) -> None:
        """Hang up, then stop the parts."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lines.clear()
        self._context.destroy(0)
        if self._folder is not None:
            self._folder.close()
        await self._host.stop()

    def _dial(self, address: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        wire.prepare(socket)
        socket.setsockopt(zmq.IDENTITY, self._host.name.encode())
        if address.startswith("tcp:"):
            assert self._keys is not None
            assert self._control_key is not None
            socket.curve_publickey, socket.curve_secretkey = self._keys.public, self._keys.secret
            socket.curve_serverkey = self._control_key
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(address)
        tasks = self._keep(self._receive(socket)), self._keep(self._register(socket, monitor))
        self._lines[address] = _Line(socket, tasks)

    def _hang_up(self, address: str) -> None:
        line = self._lines.pop(address)
        for task in line.tasks:
            task.cancel()
        line.socket.disable_monitor()
        line.socket.close(0)

    def _look(self) -> None:
        if self._folder is None:
            return
        there = {self._folder.address(name) for name in self._folder.names()}
        for address in there - self._lines.keys():
            self._dial(address)
        for address in self._lines.keys() - there - set(self._tcp):
            self._hang_up(address)

    async def _look_forever(self) -> None:
        while True:
            await clock.sleep(LOOK_S)
            self._look()

    async def _beat_forever(self) -> None:
        while True:
            for line in list(self._lines.values()):
                await self._send(line.socket, wire.BEAT, _beat())
            await clock.sleep(self._beat_s)

    async def _register(self, socket: zmq.asyncio.Socket, monitor: zmq.asyncio.Socket) -> None:
        """Register at each connection: the control process at the other end may be a new one."""
        while True:
            await monitor.recv_multipart()
            await self._send(socket, wire.REGISTER, self._registration)
            await self._send(socket, wire.BEAT, _beat())

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            kind, body = (await socket.recv_multipart())[:2]
            if kind == wire.COMMAND:
                self._keep(self._obey(socket, msgspec.msgpack.decode(body, type=Envelope)))
            elif kind == wire.WHO:
                await self._send(socket, wire.REGISTER, self._registration)
            elif kind == wire.TIME:
                self._compare(msgspec.msgpack.decode(body, type=wire.Beat))

    def _compare(self, beat: wire.Beat) -> None:
        """Learn how far the control plane's clock is ahead: commands expire by it."""
        now = clock.now().timestamp()
        if beat.at:
            self.registered.set()
        if now - beat.at < 0.5:
            self._ahead_s = beat.heard_at - (beat.at + now) / 2

    async def _obey(self, socket: zmq.asyncio.Socket, envelope: Envelope) -> None:
        answer = await self._host.obey(envelope)
        await self._send(socket, wire.ANSWER, msgspec.msgpack.encode(answer))

    async def _send(self, socket: zmq.asyncio.Socket, *frames: bytes) -> None:
        """Send or lose: whoever waits for it asks again."""
        with contextlib.suppress(zmq.ZMQError):
            await socket.send_multipart(frames, flags=zmq.NOBLOCK)

    async def _gather_facts(self) -> None:
        self._registration = msgspec.msgpack.encode(await self._host.registration())

    def _report(self) -> None:
        self._keep(self._report_now())

    async def _report_now(self) -> None:
        await self._gather_facts()
        for line in list(self._lines.values()):
            await self._send(line.socket, wire.REGISTER, self._registration)

    def _publish(self, topic: str, message: Any) -> None:
        body = msgspec.msgpack.encode(message)
        for line in list(self._lines.values()):
            self._keep(self._send(line.socket, wire.PUBLISH, topic.encode(), body))

    def _keep(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the agent died", exc_info=error)


def _beat() -> bytes:
    return msgspec.msgpack.encode(wire.Beat(clock.now().timestamp()))
