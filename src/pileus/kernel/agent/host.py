"""A host that obeys: parts, the commands they handle, and what they report.

Rule: it decides nothing and remembers nothing that matters; the same object serves in the agent process and, in
fake mode, many times over in the api process.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.agent.command import Command
from pileus.kernel.agent.fence import Fence
from pileus.kernel.agent.part import AgentPart, Handler
from pileus.kernel.bus.base import Answer, Envelope, answer_failed, answer_with
from pileus.kernel.errors import ApiError, Unavailable

log = logging.getLogger("pileus.agent")

AT_ONCE = 64
"""Commands one host runs side by side; the others queue."""
QUEUE = 1024
"""Commands that may queue; beyond it the sender is told to come back."""
LONGEST_COMMAND_S, LONGEST_CALL_S = 7200.0, 300.0
"""How long a step of an operation, and any other question, may take: what hangs must not keep its place for ever."""

FACTS_S = 20.0
"""How long a part may take to tell its facts: a host with one that hangs must still come up."""


class Registration(msgspec.Struct, frozen=True):
    """What a host says of itself when it comes up and whenever its facts change."""

    name: str
    boot_id: str
    services: list[str]
    facts: dict[str, Any]


class Host:
    """The agent's core, whatever the bus."""

    def __init__(self, name: str, parts: Sequence[AgentPart]) -> None:
        self.name = name
        self.boot_id = ids.new_id()
        self.parts = list(parts)
        self._fence = Fence()
        self._handlers: dict[str, tuple[type[Command[Any]], Handler]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._queued = 0
        self._publish: Callable[[str, Any], None] = lambda topic, message: None
        self._changed: Callable[[], None] = lambda: None
        for part in self.parts:
            for kind, handler in part.handles.items():
                if kind.__name__ in self._handlers:
                    raise ValueError(f"two parts of host {name} handle {kind.__name__}")
                self._handlers[kind.__name__] = kind, handler

    def connect(self, publish: Callable[[str, Any], None], changed: Callable[[], None]) -> None:
        """Let the bus say how to wake the control plane and how to report facts anew."""
        self._publish, self._changed = publish, changed

    def use_clock(self, now: Callable[[], float]) -> None:
        """Judge by ``now()`` (seconds since 1970) whether a command has expired: the control plane's clock."""
        self._fence.now = now

    async def start(self) -> None:
        """Start all parts."""
        for part in self.parts:
            await part.start(self)

    async def stop(self) -> None:
        """Stop commands under way, then all parts, last first."""
        await self._fence.stop()
        for part in reversed(self.parts):
            await part.stop()

    async def die(self) -> None:
        """End as a killed process does: commands under way stop where they are, parts are told nothing (tests)."""
        await self._fence.stop()

    def publish(self, topic: str, message: Any = None) -> None:
        """Wake the control plane (see ``HostContext``)."""
        self._publish(topic, message)

    def report(self) -> None:
        """Report the facts anew (see ``HostContext``)."""
        self._changed()

    async def registration(self) -> Registration:
        """Gather what this host has to say; a part that cannot tell its facts, or not soon, says why instead."""
        facts: dict[str, Any] = {}
        for part in self.parts:
            try:
                async with asyncio.timeout(FACTS_S):
                    facts[part.service] = await part.facts()
            except TimeoutError:
                log.warning("host %s: %s does not tell its facts", self.name, part.service)
                facts[part.service] = {"error": f"not told within {FACTS_S:.0f} s"}
            except Exception as error:
                log.exception("host %s: %s cannot tell its facts", self.name, part.service)
                facts[part.service] = {"error": f"{type(error).__name__}: {error}"}
        return Registration(self.name, self.boot_id, [part.service for part in self.parts], facts)

    async def obey(self, envelope: Envelope) -> Answer:
        """Carry out a command and return what became of it; never raises but when cancelled."""
        try:
            if self._queued >= QUEUE:
                raise Unavailable(f"Host {self.name} has {QUEUE} commands waiting; try again later.")
            answer = await self._fence.admit(envelope, lambda: self._run(envelope))
            return msgspec.structs.replace(answer, id=envelope.id)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return answer_failed(envelope.id, Unavailable(f"Host {self.name} stopped the command {envelope.command}."))
        except Exception as error:
            return answer_failed(envelope.id, error)

    async def _run(self, envelope: Envelope) -> Answer:
        kind, handler = self._handlers.get(envelope.command, (None, None))
        if kind is None or handler is None:
            raise ApiError(
                f"Host {self.name} does not know the command {envelope.command}; it runs "
                f"{', '.join(part.service for part in self.parts) or 'no service'}.",
                status=501,
            )
        began = clock.monotonic()
        self._queued += 1
        async with self._slots:
            self._queued -= 1
            return await self._obey(envelope, kind, handler, began)

    async def _obey(
        self, envelope: Envelope, kind: type[Command[Any]], handler: Callable[[Any], Awaitable[Any]], began: float
    ) -> Answer:
        caller = envelope.caller
        fields = {
            "host": self.name,
            "command": envelope.command,
            "operation_id": caller.operation,
            "step": caller.step,
            "epoch": caller.epoch,
            "request_id": caller.request_id,
        }
        limit_s = LONGEST_COMMAND_S if caller.operation else LONGEST_CALL_S
        bound = asyncio.timeout(limit_s)
        try:
            async with bound:
                answer = answer_with(envelope.id, await handler(msgspec.msgpack.decode(envelope.payload, type=kind)))
        except TimeoutError as error:
            told = f"did not end within {limit_s:.0f} s and was stopped" if bound.expired() else "waited for too long"
            log.warning("command %s %s", envelope.command, told, extra=fields)
            message = f"Host {self.name}: the command {envelope.command} {told}."
            return answer_failed(envelope.id, Unavailable(message) if bound.expired() else error)
        except ApiError as error:
            log.warning("command %s refused: %s", envelope.command, error.message, extra=fields)
            return msgspec.structs.replace(answer_failed(envelope.id, error), refused=True)
        except Exception as error:
            log.exception("command %s failed", envelope.command, extra=fields)
            return answer_failed(envelope.id, error)
        log.debug("command %s done in %.4f s", envelope.command, clock.monotonic() - began, extra=fields)
        return answer
