"""``pileus up --foreground``: the command stays as long as the cloud runs, as containers and supervisors want it."""

import signal
from types import FrameType

from pileus.cli.logs import follow, readable
from pileus.cli.state import ROLES, Cloud, State
from pileus.cli.terminal import Problem, say


def stay(state: State, cloud: Cloud) -> None:
    """Print the logs until SIGTERM or SIGINT, then stop the cloud; raise Problem when it has ended by itself.

    Guests of a real cloud go on, as after ``pileus down``.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    roles = ("server",) if cloud.fake else ROLES
    try:
        for role, line in follow({role: state.log(role) for role in roles}, lambda: _all_run(state, roles)):
            say(readable(role, line))
        ended = [role for role in roles if state.pid(role) is None]
        raise Problem(f"The {' and the '.join(ended)} ended.", f"Why: {state.log(ended[0])}")
    except KeyboardInterrupt:
        say("Stopping.")
    finally:
        with state.changing():
            for role in reversed(roles):
                state.stop(role)


def _all_run(state: State, roles: tuple[str, ...]) -> bool:
    return all(state.pid(role) is not None for role in roles)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
