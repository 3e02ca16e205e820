"""The ``pileus`` command: parses the words and hands over.  Rule: each command's module is imported only when used.

Exit codes: 0 done; 1 refused or failed, with a sentence on standard error (``doctor``: something is to be mended;
``test``, ``simulate``: something failed); 2 words that cannot be understood; 3 from ``status``: the cloud does not
run; 130 interrupted.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from pileus import __version__
from pileus.cli.terminal import Problem, complain
from pileus.cli.words import ROLES, add_words

COMMANDS = {
    "up": "start the cloud and wait until every API answers",
    "down": "stop the cloud; guests keep running unless asked otherwise",
    "status": "show what runs, where, and how much memory it uses",
    "demo": "set everything up and take a server from nothing to a login",
    "doctor": "check this host and say how to mend what is missing",
    "logs": "print the cloud's logs",
    "explain": "tell what one request did, from its arrival to the end of all it began",
    "backup": "copy the whole cloud into one file while it runs",
    "restore": "make a cloud from a backup",
    "db": "show, upgrade or downgrade the schema of the database",
    "operations": "list what is under way; show one, retry or abandon a stuck one",
    "policy": "say who may do what and why not; print a sample policy.yaml; check the one in force",
    "identity": "mend the administrator, reset passwords, unlock people, rotate keys",
    "fake": "reset a fake cloud, save and load it, break things in it on purpose, move its time",
    "key-manager": "rotate the keys that seal the secrets of key management",
    "import": "take over an existing Keystone: people, projects, roles, catalog, secrets",
    "openrc": "print the shell exports that point clients at the cloud",
    "routes": "list the operations of a service's API, their policy rules, and where each is written",
    "simulate": "play whole clouds on virtual time, with faults, and look for anything that breaks a promise",
    "completion": "print the script by which bash, zsh or fish complete these words",
    "man": "print the manual page",
    "test": "set up and run the tests",
}
MODULES = {"import": "import_keystone", "key-manager": "key_manager"}
"""Where a command's module cannot have its name."""
ENDING = """\
environment:
  PILEUS_STATE  the directory the cloud lives in, where --state is not given
  PILEUS_VENV   where the script of a checkout keeps its Python environment (default .venv beside it)

exit codes:
  0    done
  1    refused or failed, with a sentence that names the remedy; doctor: something is to be mended
  2    words that were not understood
  3    status: the cloud does not run
  130  interrupted

`pileus COMMAND --help` tells more of each command.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="pileus",
        description="OpenStack as one program.",
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"pileus {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_words(name, command, default_state())
    for role in ROLES:
        add_words(role, commands.add_parser(role), default_state())
    return top


def commands(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands, those of the processes included, by name."""
    assert top._subparsers is not None
    return top._subparsers._group_actions[0].choices  # type: ignore[return-value]


def main() -> None:
    """Run the command; a Problem becomes a sentence and its remedy, an interrupt nothing."""
    top = parser()
    words = top.parse_args()
    if words.command is None:
        top.print_help()
        sys.exit(0)
    if "state" in words:
        words.state = words.state.expanduser().absolute()
    try:
        module = MODULES.get(words.command, words.command)
        sys.exit(importlib.import_module(f"pileus.cli.{module}").run(words) or 0)
    except Problem as problem:
        complain(problem)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except PermissionError as error:
        complain(_forbidden(error, words))
        sys.exit(1)


def _forbidden(error: PermissionError, words: argparse.Namespace) -> Problem:
    """Return what to say of a file that this user may not touch."""
    what = f"{error.filename} belongs to another user" if error.filename else str(error)
    whose = "who owns it" if "state" not in words else "who started the cloud"
    return Problem(f"{what}: {error.strerror or 'no right to it'}.", f"Run this as the user {whose}, or with sudo.")


def default_state() -> Path:
    """Return where the cloud lives where no other place is named."""
    if chosen := os.environ.get("PILEUS_STATE"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/pileus")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "pileus"


if __name__ == "__main__":
    main()
