"""Runs the unmodified ``openstack`` client against a cloud.  Rule: what it cannot do, the demo does not do."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pileus.cli.terminal import Problem


class OpenStackClient:
    """The client as one project's user; every call is a process of its own, as typed in a shell."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._program = Path(sys.executable).parent / "openstack"
        if not self._program.exists():
            raise Problem(
                "The openstack client is not installed.", "Run `./pileus demo` from a checkout: it installs it."
            )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._environment = {**inherited, **environment}

    def run(self, *words: str) -> str:
        """Return what the command prints; raise Problem with its words when it fails."""
        done = self.attempt(*words)
        if done.returncode != 0:
            raise Problem(f"openstack {' '.join(words)}: {done.stderr.strip()[-800:]}")
        return done.stdout.strip()

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command and return how it went."""
        return subprocess.run(
            [self._program, *words], env=self._environment, capture_output=True, text=True, check=False
        )

    def json(self, *words: str) -> Any:
        """Return the command's answer, decoded."""
        return json.loads(self.run(*words, "-f", "json"))

    def exists(self, *words: str) -> bool:
        """Tell whether ``show`` finds the thing."""
        return self.attempt(*words, "-f", "json").returncode == 0

    def wait(self, *words: str, until: str, patience_s: float, key: str = "status") -> Any:
        """Repeat a ``show`` until its status is ``until``; raise Problem when it fails or takes too long."""
        deadline = time.monotonic() + patience_s
        while True:
            shown = self.json(*words)
            if str(shown[key]).lower() == until.lower():
                return shown
            if str(shown[key]).lower().startswith("error"):
                raise Problem(f"{' '.join(words)} ended in {shown[key]}: {shown.get('fault', 'see `pileus logs`')}")
            if time.monotonic() > deadline:
                raise Problem(
                    f"{' '.join(words)} is still {shown[key]} after {patience_s:.0f} s.", "See `pileus logs`."
                )
            time.sleep(0.2)
