"""``pileus down``: stop the cloud.  Guests outlive it, unless asked otherwise, and the next ``up`` finds them.

Rule: a purge removes what the cloud has made, nothing else, and names what it leaves.
"""

import argparse
import os
from collections.abc import Container

from pileus.cli import service_manager
from pileus.cli.contents import remove_made
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem, Steps, say


def run(words: argparse.Namespace) -> None:
    """Stop the processes; with ``--purge`` also remove everything the cloud made on this host."""
    state = State(words.state)
    if words.purge and not state.path.exists():
        say(f"There is nothing in {state.path}.")
        return
    if not state.load().fake and os.geteuid() != 0:
        raise Problem(f"The cloud in {state.path} is a real one: only root can stop it.", "Use `sudo pileus down`.")
    with state.changing():
        _bring_down(state, state.load(), words)


def _bring_down(state: State, cloud: Cloud, words: argparse.Namespace) -> None:
    steps = Steps()
    for role in ("agent", "server"):
        if state.pid(role) is not None:
            with steps.step(f"stopping the {role}"):
                if service_manager.cares_for(state):
                    service_manager.stop(role)
                state.stop(role)  # one that was started otherwise
    if not cloud.fake and (words.guests or words.networks or words.purge):
        with steps.step(_clearing(words)):
            on_host(state, None if words.purge else ("network",) if words.networks else ())
    if words.purge:
        _remove(state)
    elif not cloud.fake and not words.guests and not words.networks:
        say("Guests that were running go on; `pileus up` finds them again, `pileus down --guests` shuts them down.")


def _clearing(words: argparse.Namespace) -> str:
    if words.purge:
        return "removing guests and networks from this host"
    return "shutting guests down, removing networks from this host" if words.networks else "shutting guests down"


def on_host(state: State, purged: Container[str] | None) -> None:
    """Let the drivers clear this host: only what carries this cloud's id; of services in ``purged`` (None: all) all."""
    from pileus.cli.agent import clear_host

    clear_host(state, purged)


def _remove(state: State) -> None:
    elsewhere = _elsewhere(state)
    left = remove_made(state.path)
    if left:
        say(f"The cloud is gone. Left in {state.path}, as it did not make it: {', '.join(left)}.")
    else:
        say(f"Nothing of the cloud is left; {state.path} is gone.")
    for what in elsewhere:
        say(f"Left, as it lies elsewhere: {what}.")


def _elsewhere(state: State) -> list[str]:
    """Return what belongs to the cloud and lies outside its directory, as far as its settings can be read."""
    from pileus.kernel.config import ConfigError, Configuration
    from pileus.services.object_store import public as object_store

    try:
        config = Configuration.load(state.path)
        objects = object_store.folder_of(config)
    except ConfigError:
        return []
    found = []
    if config.cloud.database is not None:
        found.append(f"the database of [cloud] database in {state.path / 'pileus.toml'}")
    if not objects.is_relative_to(state.path) and objects.exists():
        found.append(f"the bytes of images and objects in {objects}")
    return found
