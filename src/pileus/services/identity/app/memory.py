"""What was learned from the database at one revision, and holds as long as nothing moves it.

Rule: only facts whose every change moves the revision; what is not there is not remembered, because it may come to be.
A fact that ends by itself says when.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from pileus.kernel import clock
from pileus.kernel.db import Tx, once_true
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import microseconds
from pileus.services.identity.store import tokens

T = TypeVar("T")

REMEMBERED = 5_000
NEVER = 1 << 62
"""When a fact ends that only a change ends, in microseconds since the epoch."""


class Memory:
    """Facts by key; the oldest are forgotten first."""

    def __init__(self, runtime: Runtime) -> None:
        self._facts: dict[Hashable, tuple[int, int, Any]] = {}

    def recall(self, tx: Tx, key: Hashable, learn: Callable[[], T], until_us: Callable[[T], int] | None = None) -> T:
        """Return a fact, learned anew unless it is known and holds; what ``learn`` raises is not remembered."""
        revision = tokens.revision(tx)
        known = self._facts.get(key)
        if known is not None and known[0] == revision and (known[1] == NEVER or known[1] > _now_us()):
            return known[2]
        value = learn()
        fact = revision, NEVER if until_us is None else until_us(value), value
        once_true(tx, lambda: self._keep(key, fact))
        return value

    def _keep(self, key: Hashable, fact: tuple[int, int, Any]) -> None:
        self._facts.pop(key, None)
        if len(self._facts) >= REMEMBERED:
            for old in list(self._facts)[: REMEMBERED // 10]:
                del self._facts[old]
        self._facts[key] = fact

    def clear(self) -> None:
        """Forget everything."""
        self._facts.clear()


def _now_us() -> int:
    return microseconds(clock.now())
