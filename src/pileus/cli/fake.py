"""``pileus fake``: resets, snapshots, faults and time of a fake cloud that runs."""

import argparse
import json
from typing import Any

from pileus.cli.state import State, url
from pileus.cli.terminal import Problem, say, table
from pileus.fake.client import FakeClient, Refused


def run(words: argparse.Namespace) -> None:
    """Do one thing to the fake cloud."""
    client = connect(State(words.state))
    try:
        VERBS[words.verb](client, words)
    except Refused as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"{client.url} does not answer: {error}.", "See `pileus status` and `pileus logs`.") from error


def connect(state: State) -> FakeClient:
    """Return a client of the fake cloud in a state directory; raise Problem when it is none, or does not run."""
    cloud = state.load()
    if not cloud.fake:
        raise Problem(
            f"The cloud in {state.path} is a real one: it is not put back, and nothing is broken in it on purpose.",
            "Start a fake one with `pileus up --fake --state DIR`.",
        )
    try:
        if state.pid("server") is None:
            raise FileNotFoundError
        return FakeClient.of_state(url(cloud), state.path)
    except FileNotFoundError:
        raise Problem(f"The cloud in {state.path} does not run.", "Start it with `pileus up`.") from None


def _reset(client: FakeClient, words: argparse.Namespace) -> None:
    client.reset()


def _save(client: FakeClient, words: argparse.Namespace) -> None:
    client.save(words.name)


def _load(client: FakeClient, words: argparse.Namespace) -> None:
    client.load(words.name)


def _delete(client: FakeClient, words: argparse.Namespace) -> None:
    client.delete(words.name)


def _list(client: FakeClient, words: argparse.Namespace) -> None:
    found = client.snapshots()
    if words.json:
        say(json.dumps(found, indent=2))
        return
    rows = [(one["name"], one["saved_at"], f"{one['bytes'] / (1 << 20):.1f} MiB") for one in found]
    table(rows, ("SNAPSHOT", "SAVED AT", "SIZE"))


def _break(client: FakeClient, words: argparse.Namespace) -> None:
    given = {field: getattr(words, field, None) for field in FIELDS}
    given["command"] = getattr(words, "host_command", None)
    id = client.order(words.kind, **{field: value for field, value in given.items() if value is not None})
    say(f"Fault {id} is in force; `pileus fake mend {id}` clears it.")


def _faults(client: FakeClient, words: argparse.Namespace) -> None:
    found = client.faults()
    if words.json:
        say(json.dumps(found, indent=2))
        return
    rows = [(str(one["id"]), one["kind"], _told(one), f"{one['struck']} of {one['met']}") for one in found]
    table(rows, ("FAULT", "KIND", "WHAT", "STRUCK"))


def _told(one: dict[str, Any]) -> str:
    hidden = ("id", "kind", "met", "struck", "spent")
    told = {
        name: value
        for name, value in one.items()
        if name not in hidden and not (value is None or value is False or value == "*")
    }
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _mend(client: FakeClient, words: argparse.Namespace) -> None:
    client.clear(words.id)


def _time(client: FakeClient, words: argparse.Namespace) -> None:
    if words.forward is not None:
        client.move_time(words.forward)
    found = client.time()
    say(json.dumps(found) if words.json else f"{found['now']}  ({found['ahead_s']:.0f} s ahead)")


VERBS = {
    "reset": _reset,
    "save": _save,
    "load": _load,
    "list": _list,
    "delete": _delete,
    "break": _break,
    "faults": _faults,
    "mend": _mend,
    "time": _time,
}
FIELDS = (
    *("host", "name", "message", "hang", "delay_s", "times", "every", "service", "method", "path", "status"),
    *("retry_after_s", "power_off", "vcpus", "memory_mib", "disk_gib", "volumes_gib", "project"),
)
"""The fields of faults, which the words of ``break`` are called like; ``command`` is pileus' own word."""
