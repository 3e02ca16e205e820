"""The bus inside one process: hosts are objects, messages are still bytes.

Rule: whatever the wire would refuse is refused here too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from pileus.kernel.agent.command import Command
from pileus.kernel.agent.host import Host
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

R = TypeVar("R")
Deliver = Callable[[str, Envelope, Callable[[Envelope], Awaitable[Answer]]], Awaitable[Answer]]


class MemoryBus:
    """Carries commands to the hosts of this process.

    ``deliver(host, envelope, obey)`` stands between sender and host when given: a simulation drops, delays and
    repeats there.
    """

    def __init__(self, deliver: Deliver | None = None) -> None:
        self._hosts: dict[str, Host] = {}
        self._subscriptions = Subscriptions()
        self.deliver = deliver

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    def attach(self, host: Host) -> None:
        """Make a host reachable."""
        self._hosts[host.name] = host

    def detach(self, name: str) -> None:
        """Make a host unreachable, as if its agent had died."""
        self._hosts.pop(name, None)

    async def call(self, host: str, command: Command[R], caller: Caller = NOBODY, *, timeout_s: float = 30) -> R:
        sent = envelope(command, caller, timeout_s)
        there = self._hosts.get(host)
        if there is None:
            raise unreachable(host)
        try:
            async with asyncio.timeout(timeout_s):
                if self.deliver is None:
                    answer = await there.obey(sent)
                else:
                    answer = await self.deliver(host, sent, there.obey)
        except TimeoutError as error:
            raise no_answer(host, command, timeout_s) from error
        if self._hosts.get(host) is not there:
            raise Unavailable(f"Host {host} vanished before it answered.")
        return result_of(answer, host, type(command).returns)

    def publish(self, topic: str, message: Any = None) -> None:
        self._subscriptions.tell(topic, msgspec.msgpack.decode(msgspec.msgpack.encode(message)))

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._subscriptions.subscribe(topic, listener)
