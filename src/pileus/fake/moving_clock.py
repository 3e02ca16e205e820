"""A clock that is set forward: what lasts an hour ends at once, and whoever sleeps meanwhile wakes."""

import asyncio
from datetime import datetime, timedelta

from pileus.kernel.clock import SystemClock


class MovingClock(SystemClock):
    """The machine's clock, ``ahead_s`` seconds ahead of it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._moved: set[asyncio.Future[None]] = set()

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        left = seconds
        while left > 0:
            moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._moved.add(moved)
            try:
                await asyncio.wait((moved,), timeout=left)
            finally:
                self._moved.discard(moved)
            left = until - self.monotonic()
        await asyncio.sleep(0)

    def forward(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.ahead_s += seconds
        for moved in list(self._moved):
            if not moved.done():
                moved.set_result(None)
