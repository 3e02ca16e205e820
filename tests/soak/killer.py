"""Kills processes of the cloud at random, each with ``kill -9``, and starts again what does not start by itself."""

import contextlib
import json
import os
import random
import signal
from pathlib import Path

from pileus.cli.state import State
from tests.real.audit import processes_of
from tests.real.processes import kill, start_again
from tests.soak.control import Control

WEIGHTS = {"server": 4, "agent": 4, "server and agent": 1, "dnsmasq": 2, "qemu": 2}


class Killer:
    """Strikes once a turn; ``sparing`` are victims left alone."""

    def __init__(self, state: State, control: Control, chance: random.Random) -> None:
        self._state, self._control, self._chance = state, control, chance
        self.sparing: set[str] = set()

    def strike(self) -> None:
        """Kill something."""
        choices = {victim: weight for victim, weight in WEIGHTS.items() if victim not in self.sparing}
        (victim,) = self._chance.choices(list(choices), list(choices.values()))
        if victim in ("dnsmasq", "qemu"):
            name = "qemu-system" if victim == "qemu" else victim
            pids = [pid for pid, words in processes_of(self._state.path) if words[0].startswith(name)]
            if not pids:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)
        else:
            for role in victim.split(" and "):
                kill(self._state, role)
            start_again(self._state)
        self._control.count(f"kills: {victim}")


def errors_in(log: Path) -> dict[str, int]:
    """Count the errors that a process has logged, by their message's beginning."""
    found: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"level": "ERROR", "message": line} if line.startswith("Traceback") else {}
        if str(entry.get("level", "")).upper() in ("ERROR", "CRITICAL"):
            words = str(entry.get("message", ""))[:70]
            found[words] = found.get(words, 0) + 1
    return found
