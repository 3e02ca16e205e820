"""``pileus agent``: the privileged process that runs guests, networks and volumes on this host."""

import asyncio
import socket

from pileus.cli.state import State
from pileus.kernel.agent import AgentPart
from pileus.kernel.config import Configuration
from pileus.kernel.service import AgentSettings, agent_parts, find_services


def configuration(state: State) -> Configuration:
    """Return the settings of the cloud that lives in ``state``."""
    cloud = state.load()
    chosen = {"host": cloud.host, "port": cloud.port, "fake": cloud.fake, "cloud_id": cloud.cloud_id}
    return Configuration.load(state.path, **chosen, fake_hosts=cloud.fake_hosts)


def host_parts(config: Configuration) -> list[AgentPart]:
    """Return every service's part of this host."""
    settings = AgentSettings(config, socket.gethostname())
    return agent_parts(find_services(), settings)


def clear_host(state: State, *, purge: bool) -> None:
    """Shut this cloud's guests down; with ``purge`` remove all that it made on this host."""

    async def clear() -> None:
        for part in reversed(host_parts(configuration(state))):
            await part.clear(purge=purge)

    asyncio.run(clear())
