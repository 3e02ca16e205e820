"""How this program is called again from a new shell, by root or by a normal user.

Rule: every command that is printed for people to paste is made here.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

from pileus.cli.state import State

SCRIPT = "PILEUS_COMMAND"
"""Set by the script of a checkout: its own path."""


def bin_folder() -> Path:
    """Return where the commands of this Python environment are."""
    return Path(sys.executable).parent


def program() -> str:
    """Return what stands for ``pileus`` in a new shell."""
    if script := os.environ.get(SCRIPT):
        return script
    ours = bin_folder() / "pileus"
    found = shutil.which("pileus")
    return "pileus" if found and Path(found).resolve() == ours.resolve() else str(ours)


def as_root() -> str:
    """Return what precedes a command that needs what root owns: for root too, who may paste it elsewhere."""
    return "sudo " if os.geteuid() == 0 and shutil.which("sudo") else ""


def command(verb: str, state: State, *words: str) -> str:
    """Return the line that runs a command on this cloud."""
    return f"{as_root()}{shlex.join([program(), verb, *words, '--state', str(state.path)])}"
