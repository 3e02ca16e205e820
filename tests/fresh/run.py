"""What was typed on a fresh machine, and what came of it."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.fresh.machine import USER, Machine

CHECKOUT = f"/home/{USER}/pileus"


@dataclass(frozen=True)
class Step:
    """One thing that was typed, and what came of it."""

    what: str
    who: str
    code: int
    seconds: float


class Run:
    """One machine's steps; what they print goes into a log."""

    def __init__(self, where: Machine, log: Path) -> None:
        self.machine, self.log, self.steps = where, log, list[Step]()

    def do(self, what: str, script: str, who: str, *, checkout: bool = True) -> str:
        """Run a script in a new shell; return what it printed."""
        start = self.log.stat().st_size if self.log.exists() else 0
        began = time.monotonic()
        code = self.machine.run(f"cd {CHECKOUT}\n{script}" if checkout else script, who, self.log)
        step = Step(what, who, code, time.monotonic() - began)
        self.steps.append(step)
        print(f"  {'ok' if code == 0 else f'FAILED ({code})'}  {what} ({who}, {step.seconds:.0f} s)", flush=True)
        with self.log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")
