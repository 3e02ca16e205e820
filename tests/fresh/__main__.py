"""``python -m tests.fresh``: what the README promises, on a machine that has nothing.

A minimal Debian is made (``--suite bookworm`` or ``trixie``; ``--cache`` keeps it for the next time), a clean clone of
HEAD in it runs the README's commands whole, and then every line the demo prints and every other block of the README,
in a new shell, as root and as a normal user; then the wheel, the proxies of docs/tls.md, the tests, and the life of the
Debian package under a systemd of its own.  ``--only demo`` (or ``wheel``, ``proxy``, ``test``, ``deb``) is that part.
``--write`` puts the result into ``docs/fresh.md``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.fresh import words as typed
from tests.fresh.deb import deb
from tests.fresh.machine import USER, machine, make_tree
from tests.fresh.proxy import proxy
from tests.fresh.run import CHECKOUT, Run
from tests.fresh.wheel import wheel
from tests.section import write_into

ROOT = Path(__file__).resolve().parents[2]


def demo(run: Run) -> None:
    """Run the demo, then what it prints."""
    readme = (ROOT / "README.md").read_text()
    block = next(block for block in typed.blocks(readme) if "pileus demo" in block)
    output = run.do("README: `sudo ./pileus demo`", block, USER)
    if run.steps[-1].code != 0:
        return
    lines, yaml = typed.printed(output), typed.clouds_yaml(output)
    for label in ("log in", "shell", "look"):
        for who in (USER, "root"):
            run.do(f"printed by the demo: {label}", f"set -e\n{lines[label]}", who, checkout=False)
    keep = "mkdir -p ~/.config/openstack && cat > ~/.config/openstack/clouds.yaml"
    for who in (USER, "root"):
        find = f"{keep} <<'END'\n{yaml}\nEND\nPATH=$PATH:{CHECKOUT}/.venv/bin\nopenstack --os-cloud pileus server list"
        run.do("printed by the demo: clouds.yaml", find, who, checkout=False)
    run.do("printed by the demo: stop", lines["stop"], USER, checkout=False)
    run.do("printed by the demo: remove all", lines["remove all"], "root", checkout=False)
    gone = "ls /sys/class/net | diff /run/links - && ! ip netns list | grep . && [ ! -e /var/lib/pileus ]"
    run.do("nothing is left of it", gone, "root", checkout=False)


def fake(run: Run) -> None:
    """Run the README's other blocks, then what `up` prints."""
    readme = (ROOT / "README.md").read_text()
    others = [block for block in typed.blocks(readme) if "pileus demo" not in block and "pileus test" not in block]
    for who in (USER, "root"):
        for block in others:
            output = run.do(f"README: `{block.splitlines()[0]}` ...", f"set -e\n{block}", who)
            for label, lines in typed.printed(output).items():
                run.do(f"printed by up: {label}", f"set -e\n{lines}", who, checkout=False)
        run.do("`./pileus down --purge`", "./pileus down --purge", who)


def tests(run: Run) -> None:
    """Run all tests as the README says."""
    block = next(block for block in typed.blocks((ROOT / "README.md").read_text()) if "pileus test" in block)
    run.do("README: `sudo ./pileus test`", block, USER)


PARTS: dict[str, list[Callable[[Run], None]]] = {
    "all": [demo, fake, wheel, proxy, tests, deb],
    "demo": [demo, fake],
    "wheel": [wheel],
    "proxy": [proxy],
    "test": [tests],
    "deb": [deb],
}


def report(run: Run, suite: str, commit: str) -> str:
    """Return the result as Markdown."""
    network = "a network of its own" if run.machine.own_network else "the outer machine's network"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, commit `{commit}`, {suite}: {run.machine.versions()}; "
        f"{os.cpu_count()} cores, {network}.",
        "",
        "| what | who | result | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for step in run.steps:
        result = "passed" if step.code == 0 else f"**failed** ({step.code})"
        lines.append(f"| {step.what} | {step.who} | {result} | {step.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Make the machine, run the parts, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fresh", description="What the README says, on a new Debian.")
    parser.add_argument("--suite", choices=["bookworm", "trixie"], default="bookworm", help="which Debian")
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=["all"], help="which parts (default all)")
    parser.add_argument("--cache", type=Path, default=Path("/var/cache/pileus-fresh"), help="where trees are kept")
    parser.add_argument("--mirror", help="URL of Debian's archive (default: the one in apt's sources)")
    parser.add_argument("--log", type=Path, help="where all that was printed goes")
    parser.add_argument("--write", action="store_true", help="put the result into docs/fresh.md")
    words = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("making a machine needs root")
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    log = words.log or Path(tempfile.mkstemp(prefix=f"pileus-fresh-{words.suite}-", suffix=".log")[1])
    print(f"Debian {words.suite}; all that is printed: {log}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pileus-source-") as folder:
        source = Path(folder, "pileus.git")
        subprocess.run(["git", "clone", "-q", "--bare", "--no-hardlinks", str(ROOT), str(source)], check=True)
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, 1000, 1000)  # git clones nothing of another user's
        tree = make_tree(words.suite, words.cache, words.mirror)
        with machine(tree, words.suite, source) as where:
            run = Run(where, log)
            run.do("`git clone`", f"git clone -q /source {CHECKOUT}", USER, checkout=False)
            for part in (part for name in words.only for part in PARTS[name]):
                part(run)
            text = report(run, words.suite, commit.strip())
    print(text)
    if words.write:
        mark = f"{words.suite} {' '.join(words.only)}"
        write_into(ROOT / "docs" / "fresh.md", f"{mark}: begin", f"{mark}: end", text)
    return 0 if run.steps and all(step.code == 0 for step in run.steps) else 1


if __name__ == "__main__":
    sys.exit(main())
