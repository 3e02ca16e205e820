"""Where the matrix is run: SQLite with hosts in the process, PostgreSQL with agents behind ZeroMQ, a real host."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pileus.kernel import clock
from pileus.kernel.agent import hosts
from pileus.kernel.agent.host import Host
from pileus.kernel.agent.link import Link
from pileus.kernel.agent.local import LocalHosts
from pileus.kernel.config import Configuration
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import AgentSettings, agent_parts
from pileus.kernel.testing import running
from tests import postgresql
from tests.matrix import linux
from tests.sim.services import audit, cloud

HOSTS = ("fake-1", "fake-2")


@dataclass(frozen=True)
class World:
    """A kind of cloud: how it is made, how its agents die, who judges its hosts."""

    label: str
    make: Callable[[Path], AbstractAsyncContextManager[Runtime]]
    restart_agent: Callable[[Runtime, str], Awaitable[None]] = cloud.restart_agent
    audit: cloud.Audit = audit.audit
    drivers_take_time: bool = False
    """Whether the middle of a command is a moment on the clock, not a few turns of the event loop."""
    left_out: frozenset[str] = frozenset()
    """Stories that cannot be told here."""


@asynccontextmanager
async def on_sqlite(state: Path) -> AsyncIterator[Runtime]:
    """A control plane on a file, its hosts objects beside it."""
    async with running(state, fake_hosts=len(HOSTS)) as runtime:
        yield runtime


class DistantHosts:
    """Hosts with fake drivers that dial in over ZeroMQ, in the place of ``LocalHosts``."""

    def __init__(self, folder: Path) -> None:
        self.hosts: dict[str, Host] = {}
        self._folder = folder
        self._links: dict[str, Link] = {}

    async def start_host(self, host: Host) -> None:
        """Let an agent dial in, and wait until it is known."""
        link = Link(host, folder=self._folder, beat_s=0.2)
        self.hosts[host.name], self._links[host.name] = host, link
        await link.start()
        await link.registered.wait()

    async def lose(self, name: str) -> None:
        """Hang up without a word."""
        del self.hosts[name]
        await self._links.pop(name).stop()

    async def stop(self) -> None:
        for name in list(self.hosts):
            await self.lose(name)


@asynccontextmanager
async def on_postgresql(state: Path) -> AsyncIterator[Runtime]:
    """A control plane on a PostgreSQL server of its own, its agents behind ZeroMQ."""
    with postgresql.server() as url:
        database = postgresql.create_database(url, "matrix")
        async with running(state, fake=False, database=database) as runtime:
            distant = DistantHosts(state / "run" / "bus")
            runtime.local_hosts = cast(LocalHosts, distant)
            fake = Configuration(state, fake=True)
            for name in HOSTS:
                await distant.start_host(Host(name, agent_parts(runtime.services, AgentSettings(fake, name))))
            while len(await runtime.db.read(_up)) < len(HOSTS):
                await clock.sleep(0.02)
            yield runtime


def _up(tx: Tx) -> list[str]:
    return [row.name for row in hosts.alive(tx)]


WORLDS = {
    "sqlite": World("SQLite, hosts in the process", on_sqlite),
    "postgresql": World("PostgreSQL, agents over ZeroMQ", on_postgresql),
    "linux": World(
        "Real drivers: QEMU, Linux networks, qcow2; the agent killed with kill -9",
        linux.on_linux,
        linux.restart_agent,
        linux.audit,
        drivers_take_time=True,
        left_out=frozenset({"create_server_on_the_second_host"}),  # one machine is one host
    ),
}
