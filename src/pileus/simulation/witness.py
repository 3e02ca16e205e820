"""What a host has promised of the commands it begins, watched where it begins them.

Rule: it remembers by itself what the host has heard, and asks the host nothing.  Fencing is worth what the fenced one
refuses; whether it does is seen here at once, long before a late command has done harm that stays.
"""

from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

from pileus.kernel.agent import AgentPart
from pileus.kernel.agent.host import Host
from pileus.kernel.bus.base import Answer, Envelope
from pileus.kernel.testing.virtual import EPOCH
from pileus.simulation.trace import Violation

SLACK_S = 3.0
"""By how much a host may take a command for younger than it is: control processes' clocks differ by two seconds, and
a host learns their time to half a second."""
UNDO = "undo "
MAY_PASS = ("Unavailable", "GaveUp", "Unreachable", "StaleEpoch")
"""Failures after which a step is tried again; any other ends it."""


class Witness:
    """The memory of one agent process's deeds."""

    def __init__(
        self,
        host: str,
        now: Callable[[], float],
        lateness_counts: Callable[[], bool],
        violated: Callable[[Violation], None],
    ) -> None:
        self._host = host
        self._now = now
        self._lateness_counts = lateness_counts
        self._violated = violated
        self._epochs: dict[str, int] = {}
        self._undone: set[tuple[str, str]] = set()
        self._refused: set[tuple[str, str, int]] = set()

    def begins(self, envelope: Envelope) -> None:
        """See a command begin."""
        caller = envelope.caller
        late_s = EPOCH.timestamp() + self._now() - caller.expires_at
        if late_s > SLACK_S and self._lateness_counts():
            self._tell("begins a command that had expired", envelope, f"{late_s:.0f} s ago")
        if not caller.operation:
            return
        highest = self._epochs.get(caller.operation, 0)
        if caller.epoch < highest:
            self._tell("begins a command of an epoch that is over", envelope, f"epoch {caller.epoch} after {highest}")
        self._epochs[caller.operation] = max(highest, caller.epoch)
        if caller.step.startswith(UNDO):
            self._undone.add((caller.operation, caller.step.removeprefix(UNDO)))
        elif (caller.operation, caller.step) in self._undone:
            self._tell("begins a step that it has undone", envelope, f"epoch {caller.epoch}")

        if (caller.operation, caller.step, caller.epoch) in self._refused:
            self._tell("does what it has refused for good", envelope, f"epoch {caller.epoch}")

    def answers(self, envelope: Envelope, answer: Answer) -> None:
        """See what became of a command."""
        caller = envelope.caller
        if caller.operation and caller.final and answer.error not in ("", *MAY_PASS):
            self._refused.add((caller.operation, caller.step, caller.epoch))

    def _tell(self, what: str, envelope: Envelope, how: str) -> None:
        caller = envelope.caller
        step = f"{envelope.command} {caller.step!r} of {caller.operation or 'nobody'} on {caller.resource}"
        self._violated(Violation(f"a host {what}; {self._host}: {step}, {how}"))


class WatchedHost(Host):
    """A host whose commands are seen as they are let in."""

    def __init__(self, name: str, parts: Sequence[AgentPart], witness: Witness) -> None:
        super().__init__(name, parts)
        self._witness = witness

    def _run(self, envelope: Envelope) -> "CoroutineType[Any, Any, Answer]":
        """Called in the moment in which the fence lets a command in; what it returns is awaited a little later."""
        self._witness.begins(envelope)
        return self._carry_out(envelope)

    async def _carry_out(self, envelope: Envelope) -> Answer:
        answer = await super()._run(envelope)
        self._witness.answers(envelope, answer)
        return answer
