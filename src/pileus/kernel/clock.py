"""Time, as the whole program sees it: replace the clock and the cloud lives in virtual time (simulation).

Rule: nobody outside kernel, agents and drivers asks the operating system what time it is.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a clock can tell; the simulation brings its own."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_clock: Clock = SystemClock()


def use(clock: Clock) -> Clock:
    """Make ``clock`` the program's clock and return the one it replaces."""
    global _clock
    before, _clock = _clock, clock
    return before


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Return seconds that never run backwards; only differences mean anything."""
    return _clock.monotonic()


async def sleep(seconds: float) -> None:
    """Let ``seconds`` pass."""
    await _clock.sleep(seconds)


def iso(moment: datetime) -> str:
    """Return ``2026-01-31T09:30:00Z``: the form of the compute and image APIs, whole seconds."""
    return moment.isoformat()[:19] + "Z"  # a tenth of strftime's time; lists hold thousands


def iso_micro(moment: datetime) -> str:
    """Return ``2026-01-31T09:30:00.000000``: the form of the volume and instance-action APIs."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
