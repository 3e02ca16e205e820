"""``pileus server``: the process with every API, the workers and, in a fake cloud, the hosts.

Rule: a new cloud's first passwords are begun before the program is imported, which takes as long.
"""

import argparse

from pileus.cli.state import State


def run(words: argparse.Namespace) -> None:
    """Serve until told to stop."""
    state = State(words.state)
    if words.managed:
        from pileus.cli import up

        up.settle(state)
    state.hold("server")
    if words.managed:
        state.log_into("server")
    if not (state.path / "credentials.json").exists():
        from pileus.services.identity import first_passwords

        first_passwords.begin()
    from pileus.cli import serving

    serving.run(state)
