"""``python -m tests.examples [NAME ...]``: runs the examples in other languages against one fake cloud; the tutorial.

Rule: an example whose programs are not on this machine is named as not run, never as passed.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pileus.pytest_plugin import started, stopped

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE_S = 900


def main(names: list[str]) -> int:
    """Run those named, or all; return 1 when one failed."""
    chosen = [path.parent for path in sorted(EXAMPLES.glob("*/run.sh")) if not names or path.parent.name in names]
    failed = False
    with tempfile.TemporaryDirectory(prefix="pileus-examples-") as folder:
        cloud = started(Path(folder) / "cloud", ["--seed", str(EXAMPLES / "pytest" / "seed.toml")])
        try:
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environment = {**os.environ, **cloud.login("production").environment, "PATH": path}
            for example in chosen:
                failed |= not run(example, Path(folder), environment)
                cloud.reset()
        finally:
            stopped(cloud)
    if not names or "tutorial" in names:
        failed |= not tutorial()
    return int(failed)


def tutorial() -> bool:
    """Type every block of docs/tutorial.md into one shell, which ends at the first line that fails."""
    blocks = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="pileus-tutorial-") as folder:
        state = Path(folder) / "cloud"
        state.mkdir()
        (state / "pileus.toml").write_text(f"[cloud]\nport = {free_port()}\n")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment = {**inherited, "PATH": path, "HOME": folder, "PILEUS_STATE": str(state)}
        try:
            typed = "set -euxo pipefail\n" + "".join(blocks).replace("./pileus", "pileus")
            return carried_out("tutorial", ["bash", "-c", typed], Path(folder), environment)
        finally:
            down = ["pileus", "down", "--purge"]
            subprocess.run(down, env=environment, capture_output=True, timeout=PATIENCE_S, check=False)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(example: Path, folder: Path, environment: dict[str, str]) -> bool:
    """Run one in a copy of its folder; return False when it failed."""
    needs = re.findall(r"^# needs: (.+)$", (example / "run.sh").read_text(), re.MULTILINE)
    lacking = [name for name in needs if shutil.which(name, path=environment["PATH"]) is None]
    if lacking:
        print(f"{example.name}: not run, {', '.join(lacking)} is not on this machine", flush=True)
        return True
    copy = shutil.copytree(example, folder / example.name)
    return carried_out(example.name, ["bash", "run.sh"], copy, environment)


def carried_out(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> bool:
    """Run a command and say what came of it; return False when it failed."""
    began = time.monotonic()
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    result = "passed" if ran.returncode == 0 else f"FAILED with {ran.returncode}:\n{ran.stdout}"
    print(f"{name}: {result} ({time.monotonic() - began:.1f} s)", flush=True)
    return ran.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
