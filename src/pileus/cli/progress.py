"""Watches a process that starts: it may take as long as it gets on, not as long as a clock says."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from pileus.cli.logs import message
from pileus.cli.state import State
from pileus.cli.terminal import Problem, Step

PATIENCE_S = 60
"""How long a process may log nothing, read and write nothing and compute next to nothing."""
BUSY_S = 0.5
"""CPU seconds that count as work: waiting alone takes some."""
LOOK_S = 0.5
SHOWN_AFTER_S = 2
"""A start that is over sooner shows nothing."""


class Progress:
    """What one starting process does, shown in its step."""

    def __init__(self, state: State, role: str, pid: int, lives: Callable[[], bool], step: Step) -> None:
        self.pid, self._lives = pid, lives
        self._log, self._role, self._step = state.log(role), role, step
        self._seen, self._moved_at = (0.0, 0, 0), time.monotonic()
        self._began = self._looked_at = time.monotonic()

    def goes_on(self) -> bool:
        """Return True while it makes progress; raise Problem with its last words when it has ended or stands still."""
        if not self._lives():
            raise Problem(f"The {self._role} stopped while starting.", self._last_words())
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return True
        self._looked_at, before, seen = now, self._seen, self._look()
        if seen[0] - before[0] >= BUSY_S or seen[1:] != before[1:]:
            self._seen, self._moved_at = seen, now
        elif now - self._moved_at > PATIENCE_S:
            raise Problem(
                f"The {self._role} has done nothing for {PATIENCE_S} s and does not answer yet.", self._last_words()
            )
        if now - self._began > SHOWN_AFTER_S:
            self._step.note(f"{now - self._began:.0f} s  {message(last_line(self._log))[:80]}")
        return True

    def _look(self) -> tuple[float, int, int]:
        """Return CPU seconds, bytes logged, bytes read from and written to disks."""
        log_size = self._log.stat().st_size if self._log.exists() else 0
        folder = Path("/proc", str(self.pid))
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            moved = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
        except OSError:  # it ends just now
            return 0.0, log_size, 0
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cpu_s, log_size, int(moved["read_bytes"]) + int(moved["write_bytes"])

    def _last_words(self) -> str:
        return f"{last_words(self._log)}\n        The whole log: {self._log}"


def last_lines(log: Path) -> list[str]:
    """Return some of the last lines of a log, or none."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 20_000))
        return file.read().decode(errors="replace").splitlines()


def last_line(log: Path) -> str:
    """Return the last line of a log, or nothing."""
    return next(reversed(last_lines(log)), "")


def last_words(log: Path) -> str:
    """Return the sentence with which a process ended, and its remedy, or the last line."""
    lines = last_lines(log)
    for number in range(len(lines) - 1, max(len(lines) - 4, -1), -1):
        if lines[number].startswith("pileus: "):
            return "\n".join([lines[number].removeprefix("pileus: "), *lines[number + 1 :]])
    return message(lines[-1])[:600] if lines else ""
