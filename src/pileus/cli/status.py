"""``pileus status``: what runs, where, and how much memory it really uses."""

import argparse
from pathlib import Path

from pileus.cli.state import ROLES, State, url
from pileus.cli.terminal import say, table


def run(words: argparse.Namespace) -> int:
    """Print the processes; exit code 3 when the cloud is down, as init scripts do."""
    state = State(words.state)
    cloud = state.load()
    roles = ("server",) if cloud.fake else ROLES
    rows, running = [], 0
    for role in roles:
        pid = state.pid(role)
        running += pid is not None
        rows.append((role, "running" if pid else "stopped", str(pid or "-"), memory(pid)))
    say(f"{url(cloud)}/  {'fake' if cloud.fake else 'real'} cloud {cloud.cloud_id} in {state.path}\n")
    table(rows, ("ROLE", "STATE", "PID", "MEMORY"))
    return 0 if running == len(roles) else 3


def memory(pid: int | None) -> str:
    """Return the proportional set size of a process."""
    if pid is None:
        return "-"
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return "?"
    kib = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return f"{kib / 1024:.0f} MiB"
