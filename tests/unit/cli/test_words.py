"""What the command line says of itself."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.cli import main
from pileus.cli.words import EXAMPLES

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pileus.cli.main", *words]
    given = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=given)


def test_alone_it_prints_its_help() -> None:
    done = run()
    assert done.returncode == 0
    for word in ("PILEUS_STATE", "PILEUS_VENV", "exit codes", *main.COMMANDS):
        assert word in done.stdout


def test_help_keeps_capitals() -> None:
    for name in main.COMMANDS:
        text = main.parser()._subparsers._group_actions[0].choices[name].description  # type: ignore[union-attr,index]
        assert text.rstrip(".")[1:] == main.COMMANDS[name][1:]
        assert text[0].isupper()


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_examples_that_it_understands(name: str) -> None:
    for line in EXAMPLES[name]:
        found = re.search(r"pileus ((?:[^)\">]|\\.)+)", line)
        assert found, line
        words = main.parser().parse_args(found[1].split())
        assert words.command == name


def test_each_option_says_its_default_or_has_none() -> None:
    silent = []
    for name, command in main.parser()._subparsers._group_actions[0].choices.items():  # type: ignore[union-attr]
        for action in command._actions:
            default = action.default not in (None, False, "==SUPPRESS==") and action.nargs != "A..."
            if default and not action.required and "default" not in (action.help or ""):
                silent.append(f"{name} {action.dest}")
    assert [one for one in silent if not one.startswith(("server", "agent"))] == []


def test_words_that_are_not_understood_are_code_2_and_a_missing_cloud_is_code_1(tmp_path: Path) -> None:
    assert run("fly").returncode == 2
    done = run("status", "--state", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"pileus: There is no cloud in {tmp_path}.")


def test_a_cloud_that_is_stopped_is_code_3_also_as_json(tmp_path: Path) -> None:
    from pileus.cli.state import Cloud, State

    State(tmp_path).save(Cloud(fake=True, cloud_id="beef"))
    done = run("status", "--json", PILEUS_STATE=str(tmp_path))
    assert done.returncode == 3
    given = json.loads(done.stdout)
    assert (given["cloud_id"], given["kind"], given["processes"][0]["state"]) == ("beef", "fake", "stopped")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("command", [["status"], ["openrc"], ["down"], ["up", "--fake"], ["operations"]])
def test_what_belongs_to_another_user_is_a_sentence(tmp_path: Path, command: list[str]) -> None:
    from pileus.cli.state import Cloud, State

    state = State(tmp_path / "cloud")
    state.save(Cloud(fake=True))
    for folder in (tmp_path, *list(tmp_path.parents)[:-1]):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    # Imported before: the other user may not be able to read where root keeps its Python.
    imports = "import os, pkgutil; from pileus import cli; from pileus.kernel.service import find_services"
    early = "[__import__(f'pileus.cli.{m.name}') for m in pkgutil.iter_modules(cli.__path__)]; find_services()"
    program = f"{imports}; {early}; os.setgid(65534); os.setuid(65534); cli.main.main()"
    words = [sys.executable, "-c", program, *command, "--state", str(state.path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "belongs to another user" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_ends_with_1_when_something_is_to_be_mended(tmp_path: Path) -> None:
    done = run("doctor", "--json", "--state", str(tmp_path))
    findings = json.loads(done.stdout)
    assert {finding["what"] for finding in findings} >= {"packages", "memory", "port"}
    assert done.returncode == (1 if any(one["remedy"] or one["state"] == "bad" for one in findings) else 0)


def test_an_interrupt_is_code_130(tmp_path: Path) -> None:
    from pileus.cli.state import Cloud, State

    state = State(tmp_path)
    state.save(Cloud(fake=True))
    state.log("server").write_text("begun\n")
    command = [sys.executable, "-m", "pileus.cli.main", "logs", "-f", "--state", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "begun" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_every_exit_code_is_in_the_help_and_in_the_docs() -> None:
    page = (ROOT / "docs" / "installing.md").read_text()
    for code in ("0", "1", "2", "3", "130"):
        assert re.search(rf"^  {code} ", main.ENDING, re.MULTILINE)
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE)
