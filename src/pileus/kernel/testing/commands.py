"""What happens to commands on their way to hosts, on any bus: heard, repeated, met by the death of the agent.

Rule: it stands where the control plane calls, so that the agent may be an object, a neighbour or a process.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent.command import Command
from pileus.kernel.bus.base import NOBODY, Bus, Caller
from pileus.kernel.errors import Unavailable

MOMENTS = ("before", "in", "after")
"""When an agent is killed: before it has begun the command, in the middle of it, done but before it has answered."""
STEPS_IN = 3
"""How many turns of the event loop a command gets before it is in its middle."""


class Commands:
    """Takes the place of a bus's ``call`` while it is entered."""

    def __init__(self, bus: Bus, kinds: Mapping[str, str]) -> None:
        self._bus: Any = bus
        self._kinds = kinds
        self._call = bus.call
        self.twice = False
        """Carry each command out two times, past the host's own memory of repeats: drivers must not mind."""
        self.sent: list[tuple[str, str]] = []
        self.struck = False
        """Whether the agent was killed."""
        self.took_s: dict[tuple[str, str], float] = {}
        """How long undisturbed commands of operations took."""
        self.begun_s = 0.0
        """How long a command runs before it is in its middle, if that is more than a few turns of the event loop."""
        self._target: tuple[str, str] | None = None
        self._moment = ""
        self._kill: Callable[[str], Awaitable[None]] | None = None

    def interrupt(self, kind: str, step: str, moment: str, kill: Callable[[str], Awaitable[None]]) -> None:
        """Have the agent killed at one step of the operations ``kind``, once."""
        self._target, self._moment, self._kill = (kind, step), moment, kill

    def __enter__(self) -> Self:
        self._bus.call = self._intercept
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._bus.call

    async def _intercept(
        self, host: str, command: Command[Any], caller: Caller = NOBODY, *, timeout_s: float = 30
    ) -> Any:
        sent = self._kinds.get(caller.operation, ""), caller.step
        if caller.operation:
            self.sent.append(sent)
        if self.twice:
            first = msgspec.structs.replace(caller, step=f"{caller.step} (first)") if caller.operation else caller
            await self._call(host, command, first, timeout_s=timeout_s)
        if sent != self._target or self._kill is None:
            began = clock.monotonic()
            answer = await self._call(host, command, caller, timeout_s=timeout_s)
            if caller.operation:
                self.took_s[sent] = clock.monotonic() - began
            return answer
        kill, self._kill, self.struck = self._kill, None, True
        running: asyncio.Future[Any] | None = None
        if self._moment != "before":
            running = asyncio.ensure_future(self._call(host, command, caller, timeout_s=timeout_s))
            await (asyncio.wait([running]) if self._moment == "after" else self._begin(running))
        await kill(host)
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # whatever it was: its answer is lost
                await running
        raise Unavailable(f"Host {host} vanished before it answered: its agent was killed.")

    async def _begin(self, running: "asyncio.Future[Any]") -> None:
        for _ in range(STEPS_IN):
            await asyncio.sleep(0)
        if self.begun_s:
            await asyncio.wait([running], timeout=self.begun_s)
