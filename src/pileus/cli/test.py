"""``pileus test``: install what the tests need, then run every check that a change must pass.

With arguments, only pytest runs, with those arguments.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from pileus.cli.packages import TEST_NEEDS, host_needs, install, missing
from pileus.cli.terminal import Problem, Steps, say

ROOT = Path(__file__).resolve().parents[3]


def run(words: argparse.Namespace) -> int:
    """Return the exit code of the first check that fails."""
    if not (ROOT / "tests").is_dir():
        raise Problem("The tests are not here.", "Run `./pileus test` from a checkout of the source.")
    tools = Path(sys.executable).parent
    if words.arguments:
        return subprocess.run([tools / "pytest", *words.arguments], cwd=ROOT, check=False).returncode
    prepare()
    for title, command in checks(tools):
        started = time.monotonic()
        say(f"== {title}")
        code = subprocess.run([str(word) for word in command], cwd=ROOT, check=False).returncode
        say(f"== {title}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s\n")
        if code != 0:
            return code
    return 0


def prepare() -> None:
    """Install the Debian packages that are missing."""
    lacking = missing(host_needs() + TEST_NEEDS)
    if not lacking:
        return
    for need in lacking:
        say(f"For {need.why}: {', '.join(need.packages)}")
    with Steps().step("installing Debian packages") as step:
        install(lacking, step)


def checks(tools: Path) -> list[tuple[str, list[object]]]:
    """Return the checks in the order in which they tell most for their time."""
    found: list[tuple[str, list[object]]] = [
        ("style", [tools / "ruff", "check", "src", "tests"]),
        ("format", [tools / "ruff", "format", "--check", "-q", "src", "tests"]),
        ("layers", [tools / "lint-imports"]),
        ("types", [tools / "pyright"]),
        ("tests", [tools / "pytest", "-q", "-n", "2", "tests/unit", "tests/api", "tests/sim", "tests/attack"]),
    ]
    if os.geteuid() == 0:
        found.append(("tests on this host", [tools / "pytest", "-q", "tests/host"]))
        found.append(("tests end to end", [tools / "pytest", "-q", "tests/e2e"]))
    else:
        say("Not root: the tests with real guests and networks are left out. Run `sudo ./pileus test` for all.")
    return found
