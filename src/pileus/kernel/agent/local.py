"""Hosts inside this process: fake mode, tests, simulation.  Rule: only the wire is missing."""

import asyncio
from collections.abc import Sequence

from pileus.kernel import clock
from pileus.kernel.agent.host import Host
from pileus.kernel.agent.hosts import Hosts
from pileus.kernel.bus.memory import MemoryBus


class LocalHosts:
    """Starts hosts on a memory bus and keeps them registered."""

    def __init__(self, bus: MemoryBus, registry: Hosts, hosts: Sequence[Host], *, beat_s: float = 3.0) -> None:
        self._bus = bus
        self._registry = registry
        self._beat_s = beat_s
        self.hosts = {host.name: host for host in hosts}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every host and report it, side by side: their rows are written together."""
        async with asyncio.TaskGroup() as starts:
            for host in list(self.hosts.values()):
                starts.create_task(self.start_host(host))
        self._keep(asyncio.create_task(self._beat()))

    async def start_host(self, host: Host) -> None:
        """Start one host and make it reachable; again, after ``lose``."""
        self.hosts[host.name] = host
        host.connect(self._bus.publish, lambda: self._keep(asyncio.create_task(self._report(host))))
        await host.start()
        self._bus.attach(host)
        await self._report(host)

    async def lose(self, name: str) -> None:
        """Make a host unreachable as if its agent had been killed."""
        self._bus.detach(name)
        del self.hosts[name]
        await self._registry.gone(name)

    async def stop(self) -> None:
        """Stop all hosts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for host in self.hosts.values():
            self._bus.detach(host.name)
            await host.stop()

    async def _report(self, host: Host) -> None:
        await self._registry.registered(await host.registration())

    async def _beat(self) -> None:
        while True:
            for name in self.hosts:
                self._registry.seen(name)
            await clock.sleep(self._beat_s)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
