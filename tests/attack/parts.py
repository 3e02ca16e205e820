"""What a part of the attack reports, and how long anything was held meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pileus.kernel import watchdog
from pileus.kernel.watchdog import Doing

LOGGED = re.compile(r"the (loop|writer) was held for (\d+) ms by ([^\",}]+)")


@dataclass
class Part:
    """One part: what was tried in how many ways, what got through, and what was left out."""

    name: str
    tried: str = ""
    found: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """Faults that are known and not mended."""
    not_tried: str = ""
    skipped: str = ""
    """Why the whole part was left out."""

    @property
    def verdict(self) -> str:
        if self.skipped:
            return f"not run: {self.skipped}"
        held = f"{len(self.found)} got through" if self.found else "all held"
        return f"{held} but {len(self.open)} known faults that are open" if self.open else held


@dataclass(order=True)
class Hold:
    """For how long one thing kept all others waiting."""

    ms: float
    kind: str
    by: str
    cpu_ms: float | None = None

    def __str__(self) -> str:
        cpu = "" if self.cpu_ms is None else f", {self.cpu_ms:.0f} ms of them the processor's"
        return f"{self.ms:.0f} ms by `{self.by}`{cpu}"


@contextmanager
def watched(holds: list[Hold]) -> Iterator[None]:
    """Note what the watchdog of clouds in this process finds, besides counting it as always."""
    before = watchdog.held

    def held(kind: str, seconds: float, doing: Doing, cpu_s: float | None = None) -> None:
        holds.append(Hold(seconds * 1000, kind, doing.route, None if cpu_s is None else cpu_s * 1000))
        before(kind, seconds, doing, cpu_s)

    watchdog.held = held
    try:
        yield
    finally:
        watchdog.held = before


def of_logs(state: Path) -> list[Hold]:
    """Return what the watchdog of a server process has logged."""
    found = []
    for path in state.rglob("*.log"):
        for kind, ms, by in LOGGED.findall(path.read_text(errors="replace")):
            found.append(Hold(float(ms), kind, by))
    return found


def longest(holds: list[Hold], kind: str) -> str:
    """Return the longest hold of a kind in words."""
    some = [hold for hold in holds if hold.kind == kind]
    return str(max(some, key=lambda hold: hold.ms)) if some else "never for a tenth of a second"
