"""``pileus agent``: the privileged process that runs guests, networks and volumes on this host."""

import argparse
import asyncio
import os
import socket
from collections.abc import Container

import uvloop

from pileus.cli import notify
from pileus.cli.settings import configuration
from pileus.cli.state import State, write_atomically
from pileus.cli.terminal import Problem
from pileus.kernel import telemetry
from pileus.kernel.agent import AgentPart
from pileus.kernel.agent.process import serve
from pileus.kernel.config import ConfigError, Configuration
from pileus.kernel.service import AgentSettings, agent_parts, find_services


def run(words: argparse.Namespace) -> None:
    """Be this host until told to stop; ``run/agent.ready`` says when the control plane knows it."""
    state = State(words.state)
    state.load()
    state.hold("agent")
    if words.managed:
        state.log_into("agent")
    ready = state.path / "run" / "agent.ready"
    try:
        config = configuration(state)
    except ConfigError as error:
        raise Problem(str(error)) from error
    telemetry.configure(config.cloud.log_level)

    def tell() -> None:
        write_atomically(ready, str(os.getpid()))
        notify.ready()

    uvloop.run(
        serve(
            socket.gethostname(),
            host_parts(config),
            folder=state.path / "run" / "bus",
            ready=tell,
        )
    )


def host_parts(config: Configuration) -> list[AgentPart]:
    """Return every service's part of this host."""
    settings = AgentSettings(config, socket.gethostname())
    return agent_parts(find_services(), settings)


def clear_host(state: State, purged: Container[str] | None = None) -> None:
    """Shut this cloud's guests down; of services in ``purged`` (None: all) remove all that it made on this host."""

    async def clear() -> None:
        for part in reversed(host_parts(configuration(state))):
            await part.clear(purge=purged is None or part.service in purged)

    asyncio.run(clear())
