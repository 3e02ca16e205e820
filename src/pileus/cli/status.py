"""``pileus status``: what runs, where, and how much memory it really uses."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.cli.state import ROLES, State, url
from pileus.cli.terminal import say, table


def run(words: argparse.Namespace) -> int:
    """Print the processes; exit code 3 when the cloud is down, as init scripts do."""
    state = State(words.state)
    cloud = state.load()
    roles = ("server",) if cloud.fake else ROLES
    processes = [Process(role, state.pid(role)) for role in roles]
    kind = "fake" if cloud.fake else "real"
    if words.json:
        found = {"url": url(cloud), "kind": kind, "cloud_id": cloud.cloud_id, "state": str(state.path)}
        say(json.dumps({**found, "processes": [process.shown() for process in processes]}, indent=2))
    else:
        say(f"{url(cloud)}/  {kind} cloud {cloud.cloud_id} in {state.path}\n")
        table([process.row() for process in processes], ("ROLE", "STATE", "PID", "MEMORY"))
    return 0 if all(process.runs for process in processes) else 3


@dataclass(frozen=True)
class Process:
    """One role's process, or its absence."""

    role: str
    pid: int | None

    @property
    def runs(self) -> bool:
        return self.pid is not None

    @property
    def memory(self) -> int | None:
        """Return its proportional set size in bytes, or None where that cannot be read."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        state = "running" if self.runs else "stopped"
        return {"role": self.role, "state": state, "pid": self.pid, "memory_bytes": self.memory}

    def row(self) -> tuple[str, ...]:
        """Return it as the table says it."""
        memory = self.memory
        size = "-" if not self.runs else "?" if memory is None else f"{memory / (1 << 20):.0f} MiB"
        return (self.role, "running" if self.runs else "stopped", str(self.pid if self.runs else "-"), size)
