"""``pileus up``: start the processes of a cloud and wait until every API answers."""

import argparse
import http.client
import os
import secrets
import time

from pileus.cli import image
from pileus.cli.state import Cloud, State, port_is_free, url
from pileus.cli.terminal import Problem, Steps, say

PATIENCE_S = 60


def run(words: argparse.Namespace) -> None:
    """Start what is not running; a second ``up`` on a running cloud only says so."""
    state = State(words.state)
    cloud = choose(state, words)
    steps = Steps()
    start(state, cloud, steps)
    image.provide(state, cloud, steps)
    say(f"\nThe cloud answers at {url(cloud)}/ and lives in {state.path}.")
    say(f"  dashboard   {url(cloud)}/dashboard")
    say(f'  clients     eval "$(pileus openrc --state {state.path})" && openstack server list')
    say(f"  stop        pileus down --state {state.path}")


def choose(state: State, words: argparse.Namespace) -> Cloud:
    """Return the cloud's choices: those of its first start, changed by what is told now."""
    fresh = not state.exists()
    cloud = Cloud(cloud_id=secrets.token_hex(2)) if fresh else state.load()
    fake = getattr(words, "fake", False)
    if not fresh and fake and not cloud.fake:
        raise Problem(
            f"The cloud in {state.path} is a real one.", "Give the fake one a directory of its own with --state."
        )
    cloud.fake = cloud.fake or fake
    for name in ("host", "port", "fake_hosts"):
        if (told := getattr(words, name, None)) is not None:
            setattr(cloud, name, told)
    if not 0 < cloud.port < 65536:
        raise Problem(f"{cloud.port} is not a port.", "Choose one from 1 to 65535 with --port.")
    try:
        state.save(cloud)
    except OSError as error:
        raise Problem(
            f"{state.path} cannot be written: {error.strerror}.", "Choose another directory with --state."
        ) from error
    return cloud


def start(state: State, cloud: Cloud, steps: Steps) -> None:
    """Start the server, and the agent unless the cloud is fake, and wait for both."""
    if not cloud.fake:
        check_host()
    if state.pid("server") is None:
        if not port_is_free(cloud.host, cloud.port):
            raise Problem(
                f"Port {cloud.port} on {cloud.host} is taken by another program.", "Choose another with --port."
            )
        with steps.step("starting the APIs"):
            state.start("server")
            wait_until_ready(state, cloud)
    if not cloud.fake and state.pid("agent") is None:
        with steps.step("starting this host's agent"):
            state.start("agent")
            wait_for_agent(state)


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


def wait_until_ready(state: State, cloud: Cloud) -> None:
    """Wait for ``/healthz``; a server that dies is reported with its last words."""
    deadline = time.monotonic() + PATIENCE_S
    host = "127.0.0.1" if cloud.host == "0.0.0.0" else cloud.host
    while time.monotonic() < deadline:
        if state.pid("server") is None:
            raise Problem("The server stopped while starting.", last_words(state, "server"))
        try:
            connection = http.client.HTTPConnection(host, cloud.port, timeout=2)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    raise Problem(f"The server did not answer within {PATIENCE_S} s.", last_words(state, "server"))


def wait_for_agent(state: State) -> None:
    """Wait until the agent has written that it is registered."""
    deadline = time.monotonic() + PATIENCE_S
    ready = state.path / "run" / "agent.ready"
    while time.monotonic() < deadline:
        pid = state.pid("agent")
        if pid is None:
            raise Problem("The agent stopped while starting.", last_words(state, "agent"))
        if ready.exists() and ready.read_text().strip() == str(pid):
            return
        time.sleep(0.05)
    raise Problem(f"The agent did not register within {PATIENCE_S} s.", last_words(state, "agent"))


def last_words(state: State, role: str) -> str:
    """Return the last line of a role's log and where to read on."""
    lines = state.log(role).read_text(errors="replace").splitlines() if state.log(role).exists() else []
    return f"{lines[-1][:600] if lines else ''}\n        The whole log: {state.log(role)}"
