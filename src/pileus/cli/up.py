"""``pileus up``: start the processes of a cloud and wait until every API answers.

Rule: nothing is written before all that can be refused has been; a first start that fails leaves no cloud behind.
"""

import argparse
import http.client
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from pileus.cli import contents, foreground, image, lock, openrc, service_manager
from pileus.cli.contents import SETTINGS
from pileus.cli.invocation import command
from pileus.cli.progress import Progress
from pileus.cli.settings import reached, settled
from pileus.cli.state import ROLES, Cloud, State, connection, url, why_not_listen
from pileus.cli.terminal import NothingKept, Problem, Step, Steps, say

if TYPE_CHECKING:
    from pileus.fake.seed import Seed

CHOICES = ("fake", "host", "port", "fake_hosts", "tls")


def run(words: argparse.Namespace) -> None:
    """Start what is not running; a second ``up`` on a running cloud only says so."""
    state = State(words.state)
    with foreground.ending_with_us(state) if words.foreground else nullcontext():
        cloud = _run(state, words)
        if words.foreground:
            foreground.stay(state, cloud)


def _run(state: State, words: argparse.Namespace) -> Cloud:
    steps = Steps()
    seed = read_seed(words)
    with bringing_up(state, words, steps) as cloud:
        image.provide(state, cloud, steps)
        if cloud.fake:
            from pileus.cli import beginning

            beginning.furnish(state, cloud, seed, steps)
    say(f"\nThe cloud answers at {url(cloud)}/ and lives in {state.path}.")
    say(f"  dashboard   {reached(state, cloud).url}/dashboard")
    say(f"  clients     {openrc.line(state, 'demo')}")
    say("              openstack server list")
    say(f"  stop        {command('down', state)}")
    return cloud


def read_seed(words: argparse.Namespace) -> "Seed | None":
    """Return what a new fake cloud is to hold; raise Problem, naming the line, for what cannot be understood."""
    if words.seed is None:
        return None
    from pileus.cli import beginning

    return beginning.read_seed(words.seed)


@contextmanager
def bringing_up(state: State, words: argparse.Namespace, steps: Steps) -> Iterator[Cloud]:
    """Start the cloud; what is done inside still belongs to the start, and no other command disturbs it."""
    if lock.holder(state.lock_file("change")) is None:  # what another start makes is not in the way
        choose(state, state.load() if state.exists() else None, words)  # refuses before even the directory is made
    try:
        with state.changing():
            known = state.load() if state.exists() else None  # another may have been quicker
            cloud = choose(state, known, words)
            check(state, cloud)
            if cloud != known:
                state.save(cloud)
            try:
                start(state, cloud, steps)
                yield cloud
            except BaseException as error:
                unborn = isinstance(error, NothingKept) or not (state.path / "credentials.json").exists()
                if known is None and unborn:
                    undo(state)
                elif known not in (None, cloud) and state.pid("server") is None:
                    state.save(known)
                raise
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(state.path)):
            raise
        raise Problem(
            f"{state.path} cannot be written: {error.strerror}.", "Choose another directory with --state."
        ) from error


def choose(state: State, known: Cloud | None, words: argparse.Namespace) -> Cloud:
    """Return the cloud's choices: those of its first start, changed by what is asked now; raise Problem if they
    cannot be.
    """
    asked = {name: value for name in CHOICES if (value := getattr(words, name, None)) is not None}
    if known is None:
        if names := contents.in_the_way(state.path):
            raise Problem(
                f"{state.path} holds what is not a cloud's: {', '.join(names[:5])}{' ...' if names[5:] else ''}.",
                "Give the cloud a directory of its own with --state; it may hold pileus.toml and policy.yaml.",
            )
    elif asked.get("fake") and not known.fake:
        raise Problem(
            f"The cloud in {state.path} is a real one.", "Give the fake one a directory of its own with --state."
        )
    base, said = settled(state, known, known or Cloud(cloud_id=secrets.token_hex(2)))
    for name, value in asked.items():
        if said.get(name, value) != value:
            raise Problem(
                f"[cloud] {name} in {state.path / SETTINGS} is {said[name]}; you asked for {value}.",
                "Change it there, or leave it out there.",
            )
    asked = {**said, **asked}
    if not 0 < asked.get("port", base.port) < 65536:
        raise Problem(f"{asked['port']} is not a port.", "Choose one from 1 to 65535 with --port.")
    if asked.get("fake_hosts", 1) < 1:
        raise Problem("A cloud has one host at least.", "Choose how many with --fake-hosts 1 or more.")
    cloud = replace(base, **asked)
    if "fake_hosts" in asked and not cloud.fake:
        raise Problem("Only a fake cloud has fake hosts.", "Add --fake, or leave --fake-hosts out.")
    if getattr(words, "seed", None) is not None:
        if not cloud.fake:
            raise Problem("Only a fake cloud is begun with a seed.", "Add --fake, or leave --seed out.")
        if known is not None:
            raise Problem(
                f"The cloud in {state.path} was begun already: a seed is for a new one.",
                "Remove it with `pileus down --purge`, or give the new one a directory of its own with --state.",
            )
    if known is not None and cloud != known and state.pid("server") is not None:
        differ = [name for name in asked if asked[name] != getattr(known, name)]
        changed = ", ".join(f"{name.replace('_', '-')} {getattr(known, name)}" for name in differ)
        raise Problem(
            f"The cloud in {state.path} runs already, with {changed}; nothing was changed.",
            "To change that: `pileus down`, then `pileus up` with the new one.",
        )
    return cloud


def check(state: State, cloud: Cloud) -> None:
    """Refuse, with the remedy, what cannot be started here."""
    if not cloud.fake:
        check_host()
    if state.pid("server") is None and (problem := why_not_listen(cloud.host, cloud.port)):
        raise problem


def settle(state: State) -> None:
    """Make the cloud where there is none and take up what its settings say; raise Problem for what cannot start here.

    For a process that a service manager starts; where that was asked to by ``up``, which has done all this, nothing.
    """
    if lock.holder(state.lock_file("change")) is not None and state.exists():
        return
    with state.changing():
        known = state.load() if state.exists() else None
        cloud = choose(state, known, argparse.Namespace())
        check(state, cloud)
        if cloud != known:
            state.save(cloud)


def start(state: State, cloud: Cloud, steps: Steps) -> None:
    """Start the server, and the agent unless the cloud is fake, and wait for both."""
    if service_manager.cares_for(state):
        for role in ("server",) if cloud.fake else ROLES:
            if state.pid(role) is None:
                with steps.step(f"starting {service_manager.UNIT[role]}"):
                    service_manager.start(role)
    if not _is_up(state, cloud, steps):
        with steps.step("starting the APIs") as step:
            progress = _begin(state, "server", step)
            while progress.goes_on() and not answers(cloud):
                time.sleep(0.02)
            step.note("")
    if not cloud.fake and state.pid("agent") is None:
        with steps.step("starting this host's agent") as step:
            progress, ready = _begin(state, "agent", step), state.path / "run" / "agent.ready"
            while progress.goes_on() and not (ready.exists() and ready.read_text().strip() == str(progress.pid)):
                time.sleep(0.05)
            step.note("")


def _begin(state: State, role: str, step: Step) -> Progress:
    process = state.start(role)
    return Progress(state, role, process.pid, lambda: process.poll() is None, step)


def _is_up(state: State, cloud: Cloud, steps: Steps) -> bool:
    """Tell whether the server runs; one that does not answer is waited for: it may be on its way up or down."""
    pid = state.pid("server")
    if pid is None or answers(cloud):
        return pid is not None
    with steps.step(f"waiting for the server, process {pid}") as step:
        progress = Progress(state, "server", pid, lambda: True, step)
        while state.pid("server") == pid and progress.goes_on():
            if answers(cloud):
                return True
            time.sleep(0.02)
    return False


def answers(cloud: Cloud) -> bool:
    """Tell whether every API answers."""
    asking = connection(cloud, timeout_s=2)
    try:
        asking.request("GET", "/healthz")
        return asking.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def undo(state: State) -> None:
    """Take a first start back, but for the logs, which say why it failed."""
    for role in ("agent", "server"):
        state.stop(role)
    contents.remove_made(state.path, keep=(contents.LOGS, "change.lock"))


def check_host() -> None:
    """Refuse at once, with the remedy, when this host cannot run a real cloud."""
    from pileus.cli.doctor import missing_packages

    if os.geteuid() != 0:
        raise Problem(
            "A real cloud needs root: it makes network namespaces and starts guests.",
            "Use `sudo pileus up`, or `pileus up --fake` for the APIs alone.",
        )
    if missing := missing_packages():
        raise Problem(
            f"These Debian packages are missing: {', '.join(missing)}.",
            f"Install them with `apt-get install {' '.join(missing)}`, or let `pileus demo` do it.",
        )
