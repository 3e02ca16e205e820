"""``pileus completion``: what makes a shell complete the words of this command, from their own declarations."""

import argparse

import shtab

from pileus.cli.terminal import say

FOLDERS, FILES = ("state", "credential_keys"), ("file", "report")
"""Names of words that are paths."""


def run(words: argparse.Namespace) -> None:
    """Print the script that the shell reads."""
    from pileus.cli.main import commands, parser

    top = parser()
    for command in commands(top).values():
        for action in command._actions:
            if action.dest in FOLDERS or action.dest in FILES:
                action.complete = shtab.DIRECTORY if action.dest in FOLDERS else shtab.FILE  # type: ignore[attr-defined]
    say(shtab.complete(top, words.shell))
