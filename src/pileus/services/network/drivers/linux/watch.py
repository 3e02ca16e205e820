"""DHCP servers that die by themselves are started again at once.

One rule: only a process that nobody told to end is missed. The kernel tells of an end by a process descriptor, so
nothing is polled and a recycled process id deceives nobody.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 60.0
HEALTHY_S = 30.0
"""Who lived this long is started again without the pause that its last death earned."""

Revive = Callable[[str], Awaitable[int | None]]
"""Starts a network's server again, unless it is no longer wanted; returns its process id."""


class Watch:
    """The servers of one agent, by network."""

    def __init__(self, revive: Revive) -> None:
        self._revive = revive
        self._watched: dict[str, tuple[int, int]] = {}
        self._pauses: dict[str, float] = {}
        self._reviving: dict[str, asyncio.Task[None]] = {}

    def watch(self, network_id: str, pid: int | None) -> None:
        """Watch a server from now on, in place of an earlier one of its network."""
        loop = asyncio.get_running_loop()
        if pid is not None and self._watched.get(network_id, (0, 0))[0] == pid:
            return
        self.forget(network_id)
        if pid is None:
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._died(network_id, loop.time())
            return
        self._watched[network_id] = pid, handle
        loop.add_reader(handle, self._died, network_id, loop.time())

    def forget(self, network_id: str) -> None:
        """Watch no longer: the server is about to be stopped, or the agent is."""
        watched = self._watched.pop(network_id, None)
        if watched is not None:
            asyncio.get_running_loop().remove_reader(watched[1])
            os.close(watched[1])
        task = self._reviving.pop(network_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def forget_all(self) -> None:
        for network_id in [*self._watched, *self._reviving]:
            self.forget(network_id)

    def _died(self, network_id: str, since: float) -> None:
        loop = asyncio.get_running_loop()
        self.forget(network_id)
        if loop.time() - since > HEALTHY_S:
            self._pauses.pop(network_id, None)
        pause_s = self._pauses.get(network_id, FIRST_PAUSE_S)
        self._pauses[network_id] = min(pause_s * 2, LAST_PAUSE_S)
        log.warning("the DHCP server of network %s died; it is started again in %.1f s", network_id, pause_s)
        self._reviving[network_id] = loop.create_task(self._start_again(network_id, pause_s))

    async def _start_again(self, network_id: str, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        try:
            pid = await self._revive(network_id)
        except Exception:
            log.exception("the DHCP server of network %s could not be started again", network_id)
            pid = None
        with suppress(KeyError):
            del self._reviving[network_id]
        self.watch(network_id, pid)
