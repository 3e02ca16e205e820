"""What is measured while a soak runs: memory of the processes, and operations that live too long."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pileus.cli.state import State
from pileus.kernel.operations.steps import UNDO_PATIENCE_S
from tests.soak.control import Control

GRACE = timedelta(seconds=UNDO_PATIENCE_S + 60)
"""How long after its deadline an operation may still be at work: undoing takes its time too."""


@dataclass
class Sample:
    """Memory at one moment: PSS in MiB and process id, by role."""

    at_s: float
    pss: dict[str, tuple[int, float]]


@dataclass
class Watch:
    """Looks every few seconds."""

    state: State
    control: Control
    samples: list[Sample] = field(default_factory=list)
    longest_s: dict[str, float] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Take a sample, and tell of operations that are stuck or late."""
        self.samples.append(
            Sample(self.control.elapsed_s, {role: found for role in ROLES if (found := self._pss(role))})
        )
        now = datetime.now(UTC).replace(tzinfo=None)
        for id, kind, resource, state, deadline, alarm in read(
            self.state.path,
            "select id, kind, resource, state, deadline, alarm from operations where live_resource is not null",
        ):
            late = now > datetime.fromisoformat(deadline) + GRACE
            if (late or state == "stuck") and id not in self.late:
                self.late.add(id)
                self.control.trouble(f"{kind} of {resource} is {state}, due at {deadline}: {alarm}")

    def _pss(self, role: str) -> tuple[int, float] | None:
        pid = self.state.pid(role)
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        kib = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        return (pid or 0, kib / 1024) if kib else None


ROLES = ("server", "agent")


def read(state: Path, query: str) -> list[tuple]:
    """Return rows of the cloud's database, by a connection of the watcher's own."""
    connection = sqlite3.connect(f"file:{state / 'pileus.db'}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def operations_by_kind(state: Path) -> list[tuple[str, int, int, float]]:
    """Return (kind, ended, failed, longest in seconds) of every kind of operation."""
    rows = read(state, "select kind, state, created_at, finished_at from operations where finished_at is not null")
    found: dict[str, list[tuple[str, float]]] = {}
    for kind, end, created, finished in rows:
        took = (datetime.fromisoformat(finished) - datetime.fromisoformat(created)).total_seconds()
        found.setdefault(kind, []).append((end, took))
    return [
        (kind, len(ends), sum(end == "failed" for end, _ in ends), max(took for _, took in ends))
        for kind, ends in sorted(found.items())
    ]


def failures(state: Path) -> list[tuple[str, str, int]]:
    """Return why operations failed: (kind, beginning of the reason, how often)."""
    rows = read(state, "select kind, error from operations where state = 'failed'")
    counted: dict[tuple[str, str], int] = {}
    for kind, error in rows:
        words = " ".join(word for word in str(error).split() if "-" not in word)[:110]
        counted[kind, words] = counted.get((kind, words), 0) + 1
    return [(kind, words, number) for (kind, words), number in sorted(counted.items())]


def buckets(samples: list[Sample], width_s: float, show: Callable[[float], str]) -> list[list[str]]:
    """Return lines of a table: the time, then median and highest PSS of each role in MiB."""
    lines = []
    for start in range(0, int(samples[-1].at_s) + 1 if samples else 0, int(width_s)):
        here = [sample for sample in samples if start <= sample.at_s < start + width_s]
        line = [show(start)]
        for role in ROLES:
            values = sorted(sample.pss[role][1] for sample in here if role in sample.pss)
            pids = {sample.pss[role][0] for sample in here if role in sample.pss}
            line += (
                [f"{values[len(values) // 2]:.0f}", f"{values[-1]:.0f}", str(len(pids))] if values else ["", "", "0"]
            )
        lines.append(line)
    return lines
