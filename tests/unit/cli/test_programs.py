"""Every program that is started belongs to a declared Debian package: a fresh machine has nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.cli import packages
from pileus.cli.programs import ON_EVERY_DEBIAN, PACKAGE_OF, PROGRAMS, started, unknown
from tests.programs import find

ROOT = Path(__file__).resolve().parents[3]
OF_PYTHON = {"canaille", "lint-imports", "openstack", "pileus", "pytest", "pyright", "ruff", "python"}
"""What the Python environment brings."""


def names(needs: list[packages.Need]) -> set[str]:
    return {name for need in needs for name in need.packages}


def starts(folder: str) -> dict[str, str]:
    """Return the programs that the code in a folder names, each with one place."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for call in find(path):
            for program in started(call.words):
                found.setdefault(Path(program).name, f"{path.relative_to(ROOT)}:{call.line}")
    return found


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        ("src", packages.host_needs() + packages.OPTIONAL_NEEDS),
        ("tests", packages.host_needs() + packages.TEST_NEEDS + packages.FRESH_NEEDS + packages.OPTIONAL_NEEDS),
        ("bench", packages.host_needs() + packages.TEST_NEEDS),
    ],
)
def test_each_program_that_the_code_starts_is_in_a_declared_package(folder: str, declared: list[packages.Need]) -> None:
    there = names(declared) | set(ON_EVERY_DEBIAN)
    found = starts(folder)
    assert len(found) > 3, "the reader of the code finds hardly any program"
    wrong = [
        f"{place} starts {program}: "
        + (f"package {PACKAGE_OF[program]} is not declared" if program in PACKAGE_OF else "not in cli/programs.py")
        for program, place in found.items()
        if program not in OF_PYTHON | {"WORD"} and PACKAGE_OF.get(program) not in there
    ]
    assert wrong == []


def test_each_package_of_the_table_is_declared() -> None:
    declared = names(packages.host_needs() + packages.TEST_NEEDS + packages.OPTIONAL_NEEDS + packages.FRESH_NEEDS)
    assert sorted(set(PROGRAMS) - set(ON_EVERY_DEBIAN) - declared) == []


def test_the_table_is_what_dpkg_says() -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("this is no Debian")
    here = {program: shutil.which(program) for program in PACKAGE_OF}
    paths = {path: program for program, path in here.items() if path and path.startswith(("/usr", "/bin", "/sbin"))}
    both = [*paths, *(path.removeprefix("/usr") for path in paths), *(f"/usr{path}" for path in paths)]
    words = ["dpkg-query", "--search", *both]
    lines = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout.splitlines()
    owners = {line.partition(": ")[2]: line.partition(":")[0] for line in lines}
    assert len(owners) > 10
    wrong = []
    for path, program in paths.items():
        owner = owners.get(path) or owners.get(path.removeprefix("/usr")) or owners.get(f"/usr{path}")
        if owner is not None and not owner.startswith(PACKAGE_OF[program]):
            wrong.append(f"{program} is of {owner}, not {PACKAGE_OF[program]}")
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("ping -c 1 host", ["ping"]),
        ("ip link show", ["ip"]),
        ("ip netns exec name busybox udhcpc", ["ip", "busybox"]),
        ("unshare --net setpriv --reuid=1 --pdeathsig KILL prlimit --as=5 qemu-img info x", None),
        ("env A=b sudo -u someone timeout 5 apt-get update", ["env", "sudo", "timeout", "apt-get"]),
    ],
)
def test_a_program_behind_another_is_seen(line: str, programs: list[str] | None) -> None:
    assert started(line.split()) == (programs or ["unshare", "setpriv", "prlimit", "qemu-img"])


def test_a_program_that_a_shell_goes_on_to_is_seen() -> None:
    assert started(["sh", "-c", 'test && exec "$@"', "0", "qemu-img", "info"]) == ["sh", "qemu-img"]


def test_what_no_package_brings_is_refused_when_it_is_started(tmp_path: Path) -> None:
    assert unknown(["traceroute", "host"]) == ["traceroute"]
    assert unknown(["ip", "netns", "exec", "n", "/usr/bin/traceroute"]) == ["/usr/bin/traceroute"]
    assert unknown([sys.executable, "-c", "pass"]) == unknown([tmp_path / "made-here"]) == []
    command = " ".join(["traceroute", "host"]).split()
    with pytest.raises(pytest.fail.Exception, match="traceroute is in no package"):
        subprocess.run(command, check=False, timeout=5)
