"""``pileus up --foreground``: the command stays as long as the cloud runs, as containers and supervisors want it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pileus.cli.logs import follow, readable
from pileus.cli.state import ROLES, Cloud, State
from pileus.cli.terminal import Problem, say


@contextmanager
def ending_with_us(state: State) -> Iterator[None]:
    """Stop the cloud when what is done inside ends, by SIGTERM or SIGINT too; guests of a real cloud go on.

    A cloud that ran before is left alone when the command is refused.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    before = state.pid("server")
    try:
        yield
    except KeyboardInterrupt:
        say("Stopping.")
    except Problem:
        if before is not None and state.pid("server") == before:
            raise
        _stop(state)
        raise
    _stop(state)


def stay(state: State, cloud: Cloud) -> None:
    """Print the logs as long as the cloud runs; raise Problem when it has ended by itself."""
    roles = ("server",) if cloud.fake else ROLES
    for role, line in follow({role: state.log(role) for role in roles}, lambda: _all_run(state, roles)):
        say(readable(role, line))
    ended = [role for role in roles if state.pid(role) is None]
    raise Problem(f"The {' and the '.join(ended)} ended.", f"Why: {state.log(ended[0])}")


def _stop(state: State) -> None:
    if state.exists():
        with state.changing():
            for role in reversed(ROLES):
                state.stop(role)


def _all_run(state: State, roles: tuple[str, ...]) -> bool:
    return all(state.pid(role) is not None for role in roles)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
