"""The words of every command: arguments, options, defaults, examples."""

import argparse
from collections.abc import Callable
from pathlib import Path

from pileus.cli.fake_words import add_fake_words
from pileus.cli.state import DEFAULT_HOST, DEFAULT_PORT, ROLES

__all__ = ["ROLES", "add_words"]

WITHOUT_STATE = ("test", "simulate", "routes", "completion", "man")
JSON = "print JSON, for programs"
EXAMPLES = {
    "up": [
        "pileus up --fake",
        "sudo pileus up --host 0.0.0.0 --port 8774",
        "pileus up --fake --state /tmp/cloud",
        "sudo pileus up --tls --host 0.0.0.0",
    ],
    "down": ["pileus down", "sudo pileus down --guests", "pileus down --purge --state /tmp/cloud"],
    "status": ["pileus status", "pileus status --json"],
    "demo": ["sudo ./pileus demo", "sudo ./pileus demo --keep-going"],
    "doctor": ["sudo pileus doctor", "pileus doctor --json"],
    "logs": ["pileus logs -n 200", "pileus logs -f", "pileus logs --request req-ID"],
    "explain": ["pileus explain req-ID"],
    "backup": ["pileus backup /srv/cloud.backup"],
    "restore": ["pileus restore --check /srv/cloud.backup", "pileus restore /srv/cloud.backup --state /srv/cloud"],
    "db": ["pileus db", "pileus db upgrade"],
    "operations": ["pileus operations", "pileus operations show ID", "pileus operations --all --json"],
    "policy": [
        "pileus policy explain demo os_compute_api:servers:delete ID",
        "pileus policy explain demo DELETE /compute/v2.1/servers/ID",
        "pileus policy sample > policy.yaml",
        "pileus policy check",
    ],
    "identity": ["pileus identity bootstrap", "pileus identity set-password demo --generate", "pileus identity locked"],
    "fake": [
        "pileus fake reset",
        "pileus fake save before-upgrade",
        'pileus fake break boot "No space left on device" --name "db-*"',
        "pileus fake break api compute 503 --method POST --path '/servers*' --times 2",
        "pileus fake mend",
        "pileus fake time --forward 7200",
    ],
    "key-manager": ["pileus key-manager rotate-keys", "pileus key-manager rotate-keys --project ID --keep-master"],
    "import": ["pileus import keystone --connection mysql://keystone:PASSWORD@controller/keystone --dry-run"],
    "openrc": ['eval "$(pileus openrc --project demo)"', "pileus openrc --clouds-yaml > clouds.yaml"],
    "routes": ["pileus routes", "pileus routes network"],
    "simulate": ["pileus simulate --seeds 1000 --jobs 2", "pileus simulate --from 17 --seeds 1 --story"],
    "completion": [
        "pileus completion bash > /etc/bash_completion.d/pileus",
        "pileus completion zsh > /usr/local/share/zsh/site-functions/_pileus",
        "pileus completion fish > ~/.config/fish/completions/pileus.fish",
    ],
    "man": ["pileus man > /usr/local/share/man/man1/pileus.1"],
    "test": ["sudo ./pileus test", "./pileus test tests/unit/compute -k scheduler"],
}


def add_words(name: str, command: argparse.ArgumentParser, default_state: Path) -> None:
    """Give a command its words; ``default_state`` is the directory it uses where none is named."""
    if name in EXAMPLES:
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.epilog = "examples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name])
    if name not in WITHOUT_STATE:
        command.add_argument(
            "--state",
            type=Path,
            default=default_state,
            metavar="DIR",
            help=f"the directory the cloud lives in (default $PILEUS_STATE, or {default_state})",
        )
    if add := WORDS.get(name):
        add(command)


def _listening(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--port", type=int, metavar="N", help=f"the port of every API (default {DEFAULT_PORT}, then as before)"
    )
    command.add_argument(
        "--host",
        metavar="ADDRESS",
        help=f"the address to listen on (default {DEFAULT_HOST}, then as before); 0.0.0.0 is all",
    )
    command.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="serve by TLS, with a certificate of the cloud's own CA where pileus.toml names none (default as before)",
    )


def _up(command: argparse.ArgumentParser) -> None:
    _listening(command)
    command.add_argument(
        "--fake", action="store_true", default=None, help="fake hypervisor and network: no root, no packages"
    )
    command.add_argument(
        "--foreground", action="store_true", help="stay, print the logs, and stop the cloud when interrupted"
    )
    command.add_argument("--fake-hosts", type=int, metavar="N", help="how many fake hosts (default 1)")
    command.add_argument(
        "--seed", type=Path, metavar="FILE", help="a TOML file of what a new fake cloud holds from the start"
    )


def _down(command: argparse.ArgumentParser) -> None:
    command.add_argument("--guests", action="store_true", help="shut the guests down too")
    command.add_argument(
        "--networks",
        action="store_true",
        help="shut the guests down and take the networks off this host too; the next up makes them again",
    )
    command.add_argument(
        "--purge", action="store_true", help="remove everything the cloud made: guests, networks, files"
    )


def _demo(command: argparse.ArgumentParser) -> None:
    _listening(command)
    command.add_argument("--keep-going", action="store_true", help="use the demo's server if it is there already")


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help=JSON)


def _logs(command: argparse.ArgumentParser) -> None:
    command.add_argument("-f", "--follow", action="store_true", help="go on as lines are written")
    command.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="how many lines (default 50)")
    command.add_argument("--request", metavar="ID", help="only lines of this request id")
    command.add_argument("--json", action="store_true", help="print the lines as they are, one JSON object each")


def _operations(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "verb", nargs="?", default="list", choices=["list", "show", "retry", "abandon"], help="(default list)"
    )
    command.add_argument("id", nargs="?", help="the operation")
    command.add_argument("--all", action="store_true", help="also those that have ended")
    command.add_argument("--json", action="store_true", help=f"list, show: {JSON}")


def _policy(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=["explain", "sample", "check"])
    command.add_argument("user", nargs="?", help="explain: whom, by id, name or name@domain")
    command.add_argument("action", nargs="?", help="explain: a rule's name, or a method such as DELETE")
    command.add_argument(
        "resource", nargs="*", help="explain: an id, a path (after a method), or words such as project_id=ID"
    )


def _routes(command: argparse.ArgumentParser) -> None:
    command.add_argument("service", nargs="?", help="such as compute; without one, how many routes each has")
    _json(command)


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", help="the request, as x-openstack-request-id names it")


def _backup(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", help="the backup")


def _restore(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", help="the backup")
    command.add_argument("--check", action="store_true", help="only read the backup and compare its sums")
    command.add_argument("--replace", action="store_true", help="put a cloud that is there aside")
    command.add_argument("--database", metavar="URL", help="the database to restore into, if not the backup's own")


def _db(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "verb",
        nargs="?",
        default="current",
        choices=["current", "upgrade", "downgrade", "revision"],
        help="(default current)",
    )
    command.add_argument("revision", nargs="?", help="a revision, or what the new one does")


def _openrc(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", help="the project, and user, to act as (default admin)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--clouds-yaml", action="store_true", help="print a clouds.yaml instead")
    form.add_argument("--json", action="store_true", help="print the variables as JSON instead")


def _identity(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=["bootstrap", "locked", "unlock", "set-password", "rotate-keys"])
    command.add_argument("user", nargs="?", help="unlock, set-password: whom, by id, name or name@domain")
    command.add_argument("--generate", action="store_true", help="make the password up and print it")
    command.add_argument("--credentials", action="store_true", help="rotate the keys of credentials instead")


def _key_manager(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=["rotate-keys"])
    command.add_argument("--project", metavar="ID", help="only the keys of this project (default: every project's)")
    command.add_argument("--keep-master", action="store_true", help="make no new master key")


def _import(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", choices=["keystone"])
    command.add_argument(
        "--connection", required=True, help="URL of its database (mysql://..., postgresql://...) or an SQLite file"
    )
    command.add_argument("--credential-keys", type=Path, help="the folder of its credential keys")
    command.add_argument(
        "--services",
        choices=["missing", "all", "none"],
        default="missing",
        help="which services of its catalog (default missing)",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")


def _simulate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=int, default=100, metavar="N", help="how many simulations (default 100)")
    command.add_argument("--from", type=int, default=1, dest="first", metavar="N", help="the first seed (default 1)")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="processes side by side (default 1)")
    command.add_argument("--keep-going", action="store_true", help="go on after a seed has failed")
    command.add_argument("--mutations", action="store_true", help="plant bugs, and see in which seed each is found")
    command.add_argument("--report", type=Path, help="--mutations: the document to write the table into")
    command.add_argument("--story", action="store_true", help="print the whole trace of the first seed")


def _test(command: argparse.ArgumentParser) -> None:
    command.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments for pytest")


def _completion(command: argparse.ArgumentParser) -> None:
    command.add_argument("shell", choices=["bash", "zsh", "fish"], help="whose script to print")


def _role(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--managed",
        action="store_true",
        help="started by a service manager: make the cloud first, as pileus.toml says, and log into its logs",
    )


WORDS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "up": _up,
    "down": _down,
    "status": _json,
    "demo": _demo,
    "doctor": _json,
    "logs": _logs,
    "explain": _explain,
    "backup": _backup,
    "restore": _restore,
    "db": _db,
    "operations": _operations,
    "policy": _policy,
    "routes": _routes,
    "identity": _identity,
    "fake": add_fake_words,
    "key-manager": _key_manager,
    "import": _import,
    "openrc": _openrc,
    "simulate": _simulate,
    "completion": _completion,
    "test": _test,
    **dict.fromkeys(ROLES, _role),
}
