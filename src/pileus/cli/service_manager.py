"""systemd, where it looks after the cloud's processes: then commands start and stop them through it.

Rule: it does so for the one cloud that the Debian package's units name, and only where it runs.
"""

import subprocess
from pathlib import Path

from pileus.cli.state import State
from pileus.cli.terminal import Problem

RUNS = Path("/run/systemd/system")
UNITS = Path("/usr/lib/systemd/system")
CLOUD = Path("/var/lib/pileus")
"""The state directory in the units."""
UNIT = {"server": "pileus.service", "agent": "pileus-agent.service"}


def cares_for(state: State) -> bool:
    """Tell whether the processes of this cloud are systemd's to start and stop."""
    return state.path == CLOUD and RUNS.is_dir() and (UNITS / UNIT["server"]).exists()


def start(role: str) -> None:
    """Start a role's unit and wait until it is ready; raise Problem when it does not become so."""
    _ask("start", UNIT[role])


def stop(role: str) -> None:
    """Stop a role's unit, if it runs."""
    _ask("stop", UNIT[role])


def _ask(verb: str, unit: str) -> None:
    done = subprocess.run(["systemctl", verb, unit], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"systemctl {verb} {unit}: {done.stderr.strip()}", f"See: systemctl status {unit}, pileus logs")
