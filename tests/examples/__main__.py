"""``python -m tests.examples [NAME ...]``: runs the examples in other languages against one fake cloud.

Rule: an example whose programs are not on this machine is named as not run, never as passed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pileus.pytest_plugin import started, stopped

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
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
    return int(failed)


def run(example: Path, folder: Path, environment: dict[str, str]) -> bool:
    """Run one in a copy of its folder; return False when it failed."""
    needs = re.findall(r"^# needs: (.+)$", (example / "run.sh").read_text(), re.MULTILINE)
    lacking = [name for name in needs if shutil.which(name, path=environment["PATH"]) is None]
    if lacking:
        print(f"{example.name}: not run, {', '.join(lacking)} is not on this machine", flush=True)
        return True
    copy = shutil.copytree(example, folder / example.name)
    began = time.monotonic()
    ran = subprocess.run(
        ["bash", "run.sh"],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    result = "passed" if ran.returncode == 0 else f"FAILED with {ran.returncode}:\n{ran.stdout}"
    print(f"{example.name}: {result} ({time.monotonic() - began:.1f} s)", flush=True)
    return ran.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
