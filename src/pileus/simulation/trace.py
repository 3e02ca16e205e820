"""What happened, line by line.  Rule: the same plan writes the same bytes, whatever the machine."""

import hashlib
from collections import Counter
from collections.abc import Callable

KEPT_LINES = 400


class Violation(Exception):
    """Something that must always hold does not."""


class Trace:
    """Hashes every line; keeps them all only when asked to, the last ones otherwise."""

    def __init__(self, now: Callable[[], float], *, whole: bool = False) -> None:
        self._now = now
        self._hash = hashlib.sha256()
        self._whole = whole
        self.lines: list[str] = []
        self.count = 0
        self.seen: Counter[str] = Counter()
        """What was exercised: operations, faults, answers."""

    def tell(self, line: str) -> None:
        """Add one line."""
        text = f"{self._now():10.4f} {line}"
        self._hash.update(text.encode())
        self.count += 1
        self.lines.append(text)
        if not self._whole and len(self.lines) > 2 * KEPT_LINES:
            del self.lines[:KEPT_LINES]

    @property
    def digest(self) -> str:
        """The hash of all lines so far."""
        return self._hash.hexdigest()
