"""``pileus down``: stop the cloud.  Guests outlive it, unless told otherwise, and the next ``up`` finds them."""

import argparse
import shutil

from pileus.cli.state import State
from pileus.cli.terminal import Problem, Steps, say


def run(words: argparse.Namespace) -> None:
    """Stop the processes; with ``--purge`` also everything the cloud made on this host."""
    state, steps = State(words.state), Steps()
    if not state.exists() and words.purge and not state.path.exists():
        say(f"There is nothing in {state.path}.")
        return
    cloud = state.load()
    for role in ("agent", "server"):
        if state.pid(role) is not None:
            with steps.step(f"stopping the {role}"):
                state.stop(role)
    if not cloud.fake and (words.guests or words.purge):
        with steps.step("removing guests and networks from this host" if words.purge else "shutting guests down"):
            on_host(state, purge=words.purge)
    if words.purge:
        remove_files(state)
        say(f"Nothing of the cloud is left; {state.path} is gone.")
    elif not cloud.fake and not words.guests:
        say("Guests that were running go on; `pileus up` finds them again, `pileus down --guests` shuts them down.")


def on_host(state: State, *, purge: bool) -> None:
    """Let the drivers clear this host: only what carries this cloud's id."""
    from pileus.cli.agent import clear_host

    clear_host(state, purge=purge)


def remove_files(state: State) -> None:
    """Remove the state directory; refuse one that does not look like a cloud's."""
    if not state.cloud_file.exists():
        raise Problem(f"{state.path} is no cloud's directory; nothing was removed.")
    shutil.rmtree(state.path)
