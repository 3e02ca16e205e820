"""The ``pileus`` command: parses the words and hands over.  Rule: each command's module is imported only when used."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from pileus import __version__
from pileus.cli.terminal import Problem, complain

COMMANDS = {
    "up": "start the cloud and wait until every API answers",
    "down": "stop the cloud; guests keep running unless told otherwise",
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
    "import": "take over an existing Keystone: people, projects, roles, catalog, secrets",
    "openrc": "print the shell exports that point clients at the cloud",
    "simulate": "play whole clouds on virtual time, with faults, and look for anything that breaks a promise",
    "test": "set up and run the tests",
}
MODULES = {"import": "import_keystone"}
"""Where a command's module cannot have its name."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(prog="pileus", description="OpenStack as one program.")
    top.add_argument("--version", action="version", version=f"pileus {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    made = {
        name: commands.add_parser(name, help=text, description=text.capitalize() + ".")
        for name, text in COMMANDS.items()
    }
    for role in ("server", "agent"):
        made[role] = commands.add_parser(role)
    for name, command in made.items():
        if name not in ("test", "simulate"):
            command.add_argument("--state", type=Path, help="the directory the cloud lives in")
    for name in ("up", "demo"):
        made[name].add_argument("--port", type=int, help="the port of every API (default 8774)")
        made[name].add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    made["up"].add_argument("--fake", action="store_true", help="fake hypervisor and network: no root, no packages")
    made["up"].add_argument("--fake-hosts", type=int, help="how many fake hosts (default 1)")
    made["down"].add_argument("--guests", action="store_true", help="shut the guests down too")
    made["down"].add_argument("--purge", action="store_true", help="remove everything: guests, networks, files")
    made["demo"].add_argument("--keep-going", action="store_true", help="use the demo's server if it is there already")
    made["logs"].add_argument("-f", "--follow", action="store_true", help="go on as lines are written")
    made["logs"].add_argument("-n", "--lines", type=int, default=50, help="how many lines (default 50)")
    made["logs"].add_argument("--request", help="only lines of this request id")
    made["logs"].add_argument("--json", action="store_true", help="print the lines as they are, one JSON object each")
    made["operations"].add_argument("verb", nargs="?", default="list", choices=["list", "show", "retry", "abandon"])
    made["operations"].add_argument("id", nargs="?", help="the operation")
    made["operations"].add_argument("--all", action="store_true", help="also those that have ended")
    made["policy"].add_argument("verb", choices=["explain", "sample", "check"])
    made["policy"].add_argument("user", nargs="?", help="explain: whom, by id, name or name@domain")
    made["policy"].add_argument("action", nargs="?", help="explain: a rule's name, or a method such as DELETE")
    made["policy"].add_argument(
        "resource", nargs="*", help="explain: an id, a path (after a method), or words such as project_id=ID"
    )
    made["explain"].add_argument("id", help="the request, as x-openstack-request-id names it")
    _import_words(made["import"])
    for name in ("backup", "restore"):
        made[name].add_argument("file", help="the backup")
    made["restore"].add_argument("--check", action="store_true", help="only read the backup and compare its sums")
    made["restore"].add_argument("--replace", action="store_true", help="put a cloud that is there aside")
    made["restore"].add_argument("--database", help="URL of the database to restore into, if not the backup's own")
    _identity_words(made["identity"])
    made["db"].add_argument(
        "verb", nargs="?", default="current", choices=["current", "upgrade", "downgrade", "revision"]
    )
    made["db"].add_argument("revision", nargs="?", help="a revision, or what the new one does")
    made["openrc"].add_argument("--project", help="the project, and user, to act as (default admin)")
    made["openrc"].add_argument("--clouds-yaml", action="store_true", help="print a clouds.yaml instead")
    _simulate(made["simulate"])
    made["test"].add_argument("arguments", nargs=argparse.REMAINDER, help="arguments for pytest")
    return top


def _identity_words(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=["bootstrap", "locked", "unlock", "set-password", "rotate-keys"])
    command.add_argument("user", nargs="?", help="unlock, set-password: whom, by id, name or name@domain")
    command.add_argument("--generate", action="store_true", help="make the password up and print it")
    command.add_argument("--credentials", action="store_true", help="rotate the keys of credentials instead")


def _import_words(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", choices=["keystone"])
    command.add_argument(
        "--connection", required=True, help="URL of its database (mysql://..., postgresql://...) or an SQLite file"
    )
    command.add_argument("--credential-keys", type=Path, help="the folder of its credential keys")
    command.add_argument(
        "--services", choices=["missing", "all", "none"], default="missing", help="which services of its catalog"
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")


def _simulate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=int, default=100, help="how many simulations (default 100)")
    command.add_argument("--from", type=int, default=1, dest="first", help="the first seed (default 1)")
    command.add_argument("--jobs", type=int, default=1, help="processes side by side (default 1)")
    command.add_argument("--keep-going", action="store_true", help="go on after a seed has failed")
    command.add_argument("--mutations", action="store_true", help="plant bugs, and see in which seed each is found")
    command.add_argument("--report", type=Path, help="--mutations: the document to write the table into")
    command.add_argument("--story", action="store_true", help="print the whole trace of the first seed")


def main() -> None:
    """Run the command; a Problem becomes two lines, an interrupt none."""
    words = parser().parse_args()
    if "state" in words:
        words.state = words.state.expanduser().absolute() if words.state else default_state()
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


def default_state() -> Path:
    """Return where the cloud lives unless told otherwise."""
    if told := os.environ.get("PILEUS_STATE"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/var/lib/pileus")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "pileus"


if __name__ == "__main__":
    main()
