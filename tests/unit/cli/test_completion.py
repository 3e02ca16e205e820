"""Completion and the manual page say what the command line says."""

import re
import subprocess
import sys

import pytest

from pileus.cli import main


def printed(*words: str) -> str:
    command = [sys.executable, "-m", "pileus.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def completed(script: str, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    last = "" if words[-1].startswith("-") else " ''"
    at = len(words) - (last == "")
    ask = f"COMP_WORDS=({' '.join(words)}{last}); COMP_CWORD={at}; _shtab_pileus; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    script = printed("completion", "bash")
    assert set(main.COMMANDS) <= set(completed(script, "pileus"))
    for name, command in main.commands(main.parser()).items():
        if name in main.COMMANDS:
            options = {option for action in command._actions for option in action.option_strings}
            assert options <= set(completed(script, "pileus", name, "-")), name
    assert set(completed(script, "pileus", "completion")) == {"bash", "zsh", "fish"}
    assert "set-password" in completed(script, "pileus", "identity")


def test_internal_processes_are_not_offered() -> None:
    assert not {"server", "agent"} & set(completed(printed("completion", "bash"), "pileus"))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_option(shell: str) -> None:
    script = printed("completion", shell)
    for name, command in main.commands(main.parser()).items():
        for action in command._actions if name in main.COMMANDS else ():
            for option in action.option_strings:
                written = rf"-l {option[2:]}\b" if shell == "fish" and option.startswith("--") else re.escape(option)
                written = rf"-s {option[1:]}\b" if shell == "fish" and not option.startswith("--") else written
                assert re.search(written, script), (name, option)


def test_the_manual_has_every_command_option_example_and_exit_code() -> None:
    page = printed("man")
    plain = page.replace("\\-", "-").replace("\\e", "\\")
    for name, command in main.commands(main.parser()).items():
        if name in main.COMMANDS:
            assert f"\n.SS {name}\n{command.description}\n" in plain
            for action in command._actions:
                assert all(f"\\fB{option}\\fR" in plain for option in action.option_strings if action.dest != "help")
            for line in (command.epilog or "").removeprefix("examples:\n").splitlines():
                assert f"\n{line}\n" in plain
    for chapter, words in (("ENVIRONMENT", "PILEUS_STATE"), ("EXIT CODES", "130")):
        assert words in plain.partition(f".SH {chapter}\n")[2].partition("\n.SH ")[0]


def test_text_is_never_a_command_of_the_manual() -> None:
    from pileus.cli.man import escape

    assert escape(".so /etc/passwd\n'x\\n --all") == "\\&.so /etc/passwd\n\\&'x\\en \\-\\-all"
