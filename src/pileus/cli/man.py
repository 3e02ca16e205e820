"""``pileus man``: the manual page, in the language of man(7), from the command line's own declarations."""

import argparse

from pileus import __version__
from pileus.cli.terminal import say


def run(words: argparse.Namespace) -> None:
    """Print the page."""
    from pileus.cli.main import COMMANDS, commands, parser

    top = parser()
    said = {name: command for name, command in commands(top).items() if name in COMMANDS}
    lines = [
        f'.TH PILEUS 1 "" "pileus {__version__}" "User commands"',
        ".SH NAME",
        f"pileus \\- {escape(top.description or '')}",
        ".SH SYNOPSIS",
        ".B pileus",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR]",
        ".SH COMMANDS",
    ]
    for name, command in said.items():
        lines += _command(name, command)
    for title, paragraphs in _chapters(top.epilog or ""):
        lines += [f".SH {title.upper()}", *(line for text in paragraphs for line in (".PP", escape(text)))]
    say("\n".join(lines))


def _command(name: str, command: argparse.ArgumentParser) -> list[str]:
    usage = " ".join(command.format_usage().removeprefix("usage: ").split())
    lines = [f".SS {escape(name)}", escape(command.description or ""), ".PP", f".B {escape(usage)}"]
    for action in command._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        lines += [".TP", _named(action), escape(_meaning(action))]
    examples = (command.epilog or "").removeprefix("examples:\n").splitlines()
    if examples:
        lines += [".PP", "Examples:", ".nf", *(escape(line) for line in examples), ".fi"]
    return lines


def _named(action: argparse.Action) -> str:
    """Return how an option or argument is written."""
    value = action.metavar or (None if action.choices else action.dest.upper())
    shown = "|".join(map(str, action.choices)) if action.choices and not action.metavar else str(value)
    if not action.option_strings:
        return f"\\fI{escape(shown)}\\fR"
    options = ", ".join(f"\\fB{escape(option)}\\fR" for option in action.option_strings)
    return options if action.nargs == 0 else f"{options} \\fI{escape(shown)}\\fR"


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%") or "One of these."


def _chapters(epilog: str) -> list[tuple[str, list[str]]]:
    """Return the titles and paragraphs of an epilogue: a line that ends with a colon is a title."""
    found: list[tuple[str, list[str]]] = []
    for line in epilog.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found.append((line[:-1], []))
        elif line.strip() and found and line.startswith(" "):
            found[-1][1].append(" ".join(line.split()))
    return found


def escape(text: str) -> str:
    """Return text as man(7) prints it: nothing in it is a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.split("\n"))
