"""What the audit hears of outside of changes, log-ins and refusals: gathered, and written a few times a second.

Rule: nobody waits for the audit of an attempt, and a flood of them costs one transaction for many. What a crash takes
with it is the last fifth of a second of attempts; changes are audited by their own transactions.
"""

import logging
from collections.abc import Callable

from pileus.kernel import clock
from pileus.kernel.audit import AuditSettings
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime

log = logging.getLogger(__name__)
GATHER_S = 0.2
MOST_WAITING = 10_000
"""Attempts kept for the next write at most; beyond it they are counted, and the count is logged."""
SENTENCE = 200
"""Characters of a reason that are kept."""
Write = Callable[[Tx], None]


class Attempts:
    """The attempts of one process that are not written yet."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(AuditSettings)
        self._runtime = runtime
        self.sign_ins = settings.enabled and settings.sign_ins
        self._refusals = settings.enabled and settings.refusals
        self._waiting: list[Write] = []
        self._dropped = 0
        self._writing = False

    def add(self, write: Write) -> None:
        """Have something written soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(write)
        if not self._writing:
            self._writing = True
            self._runtime.spawn(self._write_soon(), "identity.attempts")

    def add_refusal(self, write: Write) -> None:
        """Have a refusal written soon, if the audit is to hear of them."""
        if self._refusals:
            self.add(write)

    async def _write_soon(self) -> None:
        try:
            while self._waiting:
                await clock.sleep(GATHER_S)
                await self.write()
        finally:
            self._writing = False

    async def write(self) -> None:
        """Write what waits."""
        batch, self._waiting = self._waiting, []
        if batch:
            await self._runtime.db.write(_write, batch)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.error("%d attempts are missing from the audit: they came faster than they could be written", dropped)


def _write(tx: Tx, batch: list[Write]) -> None:
    for write in batch:
        write(tx)
