"""The control plane's side of ZeroMQ: one ROUTER per address, to which agents dial in.

Rule: a host that is not connected fails a call at once, one that vanishes fails the calls under way at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.agent.host import Registration
from pileus.kernel.bus import keys, wire
from pileus.kernel.bus.base import (
    NOBODY,
    Answer,
    Caller,
    Listener,
    Subscriptions,
    envelope,
    no_answer,
    result_of,
    unreachable,
)
from pileus.kernel.errors import Unavailable

R = TypeVar("R")
log = logging.getLogger("pileus.bus")

SILENT_AFTER_S = 12.0
"""A host that has not been heard for so long is called unreachable without trying."""
GRACE_S = 0.02
"""How long ZeroMQ takes to forget a peer after it has reported the disconnect."""


class Registry(Protocol):
    """Who wants to know of hosts: ``pileus.kernel.agent.hosts.Hosts``."""

    async def registered(self, registration: Registration) -> None: ...
    def seen(self, name: str) -> None: ...


@dataclass(slots=True)
class _Peer:
    router: zmq.asyncio.Socket
    boot_id: str
    heard_at: float


@dataclass(slots=True)
class _Pending:
    host: str
    boot_id: str
    answer: "asyncio.Future[Answer]"


class ZmqBus:
    """Calls agents that dial in over unix sockets in ``folder`` and, when given, over TCP with CURVE keys."""

    def __init__(
        self, folder: Path, *, name: str = "control", tcp: str | None = None, key_folder: Path | None = None
    ) -> None:
        self._folder = wire.SocketFolder(folder)
        self._name = f"{name}.sock"
        self._tcp = tcp
        self._key_folder = key_folder
        self._context: zmq.asyncio.Context | None = None
        self._authenticator: AsyncioAuthenticator | None = None
        self._routers: list[zmq.asyncio.Socket] = []
        self.addresses: list[str] = []
        """Where agents can dial in, once started."""
        self._peers: dict[str, _Peer] = {}
        self._pending: dict[str, _Pending] = {}
        self._subscriptions = Subscriptions()
        self._registry: Registry | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attend(self, registry: Registry) -> None:
        """Tell ``registry`` of every registration and sign of life."""
        self._registry = registry

    async def start(self) -> None:
        self._folder.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._context = zmq.asyncio.Context()
        self._open(self._folder.address(self._name), curve=False)
        if self._tcp is not None:
            if self._key_folder is None:
                raise ValueError("the bus listens on TCP only with CURVE keys: give it a key folder")
            self._authenticator = AsyncioAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("pileus", _Admission(self._key_folder))
            self._open(self._tcp, curve=True)
        self._spawn(self._watch())

    def _open(self, address: str, *, curve: bool) -> None:
        assert self._context is not None
        router = self._context.socket(zmq.ROUTER)
        wire.prepare(router)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if curve:
            assert self._key_folder is not None
            pair = keys.ensure_pair(self._key_folder, "control")
            router.curve_publickey, router.curve_secretkey, router.curve_server = pair.public, pair.secret, True
            router.setsockopt(zmq.ZAP_DOMAIN, b"pileus")
        else:  # one file system, one owner: whoever reaches the socket may be the host it says it is
            router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        monitor = router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        router.bind(address)
        self._routers.append(router)
        self.addresses.append(router.getsockopt_string(zmq.LAST_ENDPOINT))
        self._spawn(self._receive(router, authenticated=curve))
        self._spawn(self._notice_disconnects(router, monitor))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for router in self._routers:
            router.disable_monitor()
            router.close(0)
        if self._authenticator is not None:
            self._authenticator.stop()
        if self._context is not None:
            self._context.destroy(0)
        self._routers, self._context, self._authenticator = [], None, None
        for name in list(self._peers):
            self._lost(name)
        self._folder.close()

    async def call(self, host: str, command: Command[R], caller: Caller = NOBODY, *, timeout_s: float = 30) -> R:
        peer = self._peers.get(host)
        if peer is None or clock.monotonic() - peer.heard_at > SILENT_AFTER_S:
            raise unreachable(host)
        sent = envelope(command, caller, timeout_s)
        pending = _Pending(host, peer.boot_id, asyncio.get_running_loop().create_future())
        self._pending[sent.id] = pending
        try:
            await self._send(peer, host, wire.COMMAND, msgspec.msgpack.encode(sent))
            async with asyncio.timeout(timeout_s):
                answer = await pending.answer
        except TimeoutError as error:
            raise no_answer(host, command, timeout_s) from error
        finally:
            del self._pending[sent.id]
        return result_of(answer, host, type(command).returns)

    def publish(self, topic: str, message: Any = None) -> None:
        self._subscriptions.tell(topic, msgspec.msgpack.decode(msgspec.msgpack.encode(message)))

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._subscriptions.subscribe(topic, listener)

    @property
    def hosts(self) -> list[str]:
        """Return the hosts that are connected."""
        return sorted(self._peers)

    async def _send(self, peer: _Peer, host: str, kind: bytes, body: bytes) -> None:
        try:
            await peer.router.send_multipart([host.encode(), kind, body], flags=zmq.NOBLOCK)
        except zmq.Again:
            raise Unavailable(f"Host {host} has {wire.QUEUE} messages waiting; try again later.") from None
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise Unavailable(f"Host {host} cannot be reached: {error.strerror}.") from error
            self._lost(host)
            raise unreachable(host) from None

    async def _receive(self, router: zmq.asyncio.Socket, *, authenticated: bool) -> None:
        while True:
            frames = await router.recv_multipart(copy=False)
            try:
                name = frames[0].bytes.decode()
                if authenticated and not self._is(name, frames[-1]):
                    continue
                await self._heard(router, name, [frame.bytes for frame in frames[1:]])
            except Exception:
                log.exception("a message from %r could not be read", frames[0].bytes if frames else b"")

    def _is(self, name: str, frame: zmq.Frame) -> bool:
        """Tell whether a frame came with the key of the host that it names."""
        assert self._key_folder is not None
        key = str(frame.get("User-Id")).encode()
        owner = keys.host_of(self._key_folder, key)
        if owner != name:
            log.warning("a peer with the key of %s calls itself %s; it is not heard", owner, name)
        return owner == name

    async def _heard(self, router: zmq.asyncio.Socket, name: str, frames: list[bytes]) -> None:
        kind, body = frames[0], frames[1] if len(frames) > 1 else b""
        peer = self._peers.get(name)
        if peer is not None and peer.router is router:
            peer.heard_at = clock.monotonic()
        if kind == wire.REGISTER:
            await self._register(router, name, msgspec.msgpack.decode(body, type=Registration))
        elif kind == wire.BEAT:
            await self._answer_beat(router, name, msgspec.msgpack.decode(body, type=wire.Beat))
        elif kind == wire.ANSWER:
            answer = msgspec.msgpack.decode(body, type=Answer)
            pending = self._pending.get(answer.id)
            if pending is not None and pending.host == name and not pending.answer.done():
                pending.answer.set_result(answer)
        elif kind == wire.PUBLISH:
            self._subscriptions.tell(body.decode(), msgspec.msgpack.decode(frames[2]))

    async def _register(self, router: zmq.asyncio.Socket, name: str, registration: Registration) -> None:
        if registration.name != name:
            log.warning("the peer %s registers as %s; it is not heard", name, registration.name)
            return
        for pending in self._pending.values():  # the agent was restarted: what it was told before is forgotten
            if pending.host == name and pending.boot_id != registration.boot_id and not pending.answer.done():
                pending.answer.set_exception(_vanished(name))
        self._peers[name] = _Peer(router, registration.boot_id, clock.monotonic())
        if self._registry is not None:
            self._spawn(self._registry.registered(registration))

    async def _answer_beat(self, router: zmq.asyncio.Socket, name: str, beat: wire.Beat) -> None:
        known = name in self._peers
        answer = wire.Beat(beat.at, clock.now().timestamp())
        kind = wire.TIME if known else wire.WHO
        with contextlib.suppress(zmq.ZMQError):  # it has gone in the meantime; it will dial again
            await router.send_multipart([name.encode(), kind, msgspec.msgpack.encode(answer)], flags=zmq.NOBLOCK)
        if known and self._registry is not None:
            self._registry.seen(name)

    async def _notice_disconnects(self, router: zmq.asyncio.Socket, monitor: zmq.asyncio.Socket) -> None:
        """Find out who has gone whenever somebody has: ZeroMQ does not say who."""
        while True:
            await monitor.recv_multipart()
            await asyncio.sleep(GRACE_S)
            for name, peer in list(self._peers.items()):
                if peer.router is not router:
                    continue
                beat = msgspec.msgpack.encode(wire.Beat(0.0))
                with contextlib.suppress(Unavailable):
                    await self._send(peer, name, wire.TIME, beat)

    async def _watch(self) -> None:
        """Give up on hosts that have fallen silent without hanging up."""
        while True:
            await clock.sleep(SILENT_AFTER_S / 4)
            silent = clock.monotonic() - SILENT_AFTER_S
            for name in [name for name, peer in self._peers.items() if peer.heard_at < silent]:
                self._fail_pending(name)

    def _lost(self, name: str) -> None:
        if self._peers.pop(name, None) is not None:
            log.warning("host %s has hung up", name, extra={"host": name})
        self._fail_pending(name)

    def _fail_pending(self, name: str) -> None:
        for pending in self._pending.values():
            if pending.host == name and not pending.answer.done():
                pending.answer.set_exception(_vanished(name))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the bus died", exc_info=error)


class _Admission:
    """Tells the authenticator which keys may connect; asked anew for each connection, so no restart is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def callback(self, domain: str, key: bytes) -> bool:
        return keys.host_of(self._folder, key) is not None


def _vanished(host: str) -> Unavailable:
    return Unavailable(f"Host {host} vanished before it answered: its agent has ended or was restarted.")
