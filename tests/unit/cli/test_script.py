"""The script of a checkout: one Python environment, to which commands only add, for root and for everybody."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
UV = """#!/bin/sh
echo "$UV_PROJECT_ENVIRONMENT $*" >>"$CALLS"
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
printf '#!/bin/sh\\n[ "$1" = -m ] && [ "$2" = compileall ] || echo "ran $*"\\n' >"$UV_PROJECT_ENVIRONMENT/bin/python"
chmod +x "$UV_PROJECT_ENVIRONMENT/bin/python"
"""


class Checkout:
    """A checkout with a ``uv`` that only notes what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder / "checkout", folder / "calls"
        (self.folder / "src").mkdir(parents=True)
        shutil.copy(ROOT / "pileus", self.folder)
        (self.folder / "uv.lock").write_text("1")
        (folder / "bin").mkdir()
        (folder / "bin" / "uv").write_text(UV)
        (folder / "bin" / "uv").chmod(0o755)
        self.calls.touch()
        self.calls.chmod(0o666)
        self.path = f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"

    def run(self, *words: str, user: int | None = None, home: Path | None = None) -> list[str]:
        """Run the script; return what ``uv`` was asked for."""
        before = len(self.calls.read_text().splitlines())
        command = [str(self.folder / "pileus"), *words]
        given = {"PATH": self.path, "CALLS": str(self.calls), "HOME": str(home or self.folder)}
        done = subprocess.run(command, env=given, user=user, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"ran -m pileus.cli.main {' '.join(words)}".strip() in done.stdout
        return self.calls.read_text().splitlines()[before:]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_going_from_one_command_to_another_makes_nothing_anew(checkout: Checkout) -> None:
    (first,) = checkout.run("status")
    assert first.startswith(f"{checkout.folder}/.venv sync")
    assert "--group" not in first
    (second,) = checkout.run("demo")
    assert second.endswith("--group clients")
    assert checkout.run("status") == checkout.run("openrc", "--project", "demo") == checkout.run("demo") == []
    (third,) = checkout.run("test", "tests/unit")
    assert third.endswith("--group clients --group dev --group fuzz")
    assert checkout.run("status") == checkout.run("demo") == checkout.run("test") == []


def test_new_libraries_come_for_all_that_was_asked_for_before(checkout: Checkout) -> None:
    checkout.run("demo")
    (checkout.folder / "uv.lock").write_text("2")
    (call,) = checkout.run("status")
    assert call.endswith("--group clients")
    assert checkout.run("status") == []


def test_only_a_shell_needs_the_client(checkout: Checkout) -> None:
    checkout.run("up", "--fake")
    assert checkout.run("openrc", "--json") == checkout.run("openrc", "--clouds-yaml") == []
    (call,) = checkout.run("openrc")
    assert call.endswith("--group clients")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_normal_user_uses_what_root_has_made_and_keeps_apart_what_it_lacks(
    checkout: Checkout, tmp_path: Path
) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    checkout.run("status")
    assert checkout.run("status", user=65534, home=home) == []
    (call,) = checkout.run("demo", user=65534, home=home)
    assert call.startswith(f"{home}/.cache/pileus/venv-")
    assert checkout.run("status", user=65534, home=home) == []
    checkout.run("demo")
    assert checkout.run("demo", user=65534, home=home) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_what_root_makes_in_the_checkout_of_another_belongs_to_them(checkout: Checkout) -> None:
    os.chown(checkout.folder, 65534, 65534)
    checkout.run("demo")
    made = [checkout.folder / ".venv", checkout.folder / ".venv" / "bin" / "python"]
    assert {path.stat().st_uid for path in made} == {65534}
