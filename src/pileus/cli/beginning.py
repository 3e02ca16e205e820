"""What a new fake cloud holds from the start: its seed, then the snapshot to which ``pileus fake reset`` goes back."""

import json
from pathlib import Path

from pileus.cli.state import Cloud, State, url, write_atomically
from pileus.cli.terminal import NothingKept, Problem, Steps
from pileus.fake.client import FakeClient, Refused
from pileus.fake.seed import Seed, SeedError, read
from pileus.fake.snapshots import START
from pileus.fake.sowing import sow


def read_seed(path: Path) -> Seed:
    """Return a seed file's content; raise Problem, naming the line, when it cannot be used."""
    try:
        return read(path.absolute())
    except SeedError as error:
        raise Problem(str(error)) from error


def furnish(state: State, cloud: Cloud, seed: Seed | None, steps: Steps) -> None:
    """Give a new cloud what its seed says, and keep it as the start; a cloud that has a start is left alone."""
    client = FakeClient.of_state(url(cloud), state.path)
    try:
        known = client.snapshots()
    except Refused as error:
        if seed is not None:
            raise Problem(str(error), "Leave --seed out, or the database of pileus.toml.") from error
        return  # a database that is not copied: there is no start to go back to
    if any(one["name"] == START for one in known):
        return
    try:
        if seed is not None:
            with steps.step(f"sowing {seed.path.name}"):
                users = sow(seed, client, state.credentials())
            write_atomically(state.path / "credentials.json", json.dumps(users, indent=2) + "\n")
        client.save(START)
    except SeedError as error:
        raise NothingKept(str(error), "Mend the file and start the cloud again; nothing was kept of it.") from error
    except Refused as error:
        raise Problem(f"The new cloud could not be kept as the start: {error}", "See `pileus logs`.") from error
