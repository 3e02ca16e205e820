"""How many guests may boot at once. One rule: a boot holds its place only while it is busy, never longer than needed.

Under emulation a booting guest takes a whole core; ten at a time make each ten times slower and some time out.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from pileus.kernel import clock
from pileus.services.compute.drivers.qemu.process import GuestProcess

_LEAST_S, _MOST_S, _LOOK_S, _IDLE_SHARE = 1.5, 15.0, 0.5, 0.5


class BootSlots:
    """Places for booting guests; `take` waits for one, and gives it back by itself once the guest has calmed down."""

    def __init__(self, count: int) -> None:
        self._places = asyncio.Semaphore(count)
        self._watchers: set[asyncio.Task[None]] = set()

    async def take(self, process: GuestProcess) -> None:
        await self._places.acquire()
        watcher = asyncio.create_task(self._hold(process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _hold(self, process: GuestProcess) -> None:
        try:
            began = clock.monotonic()
            before = _cpu_s(process.pid)
            while clock.monotonic() - began < _MOST_S and not process.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.ended.wait(), _LOOK_S)
                used = _cpu_s(process.pid)
                calm = used - before < _IDLE_SHARE * _LOOK_S
                before = used
                if calm and clock.monotonic() - began > _LEAST_S:
                    return
        finally:
            self._places.release()

    async def close(self) -> None:
        for watcher in list(self._watchers):
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)


def _cpu_s(pid: int) -> float:
    """Return the processor time a process has used, 0 when it is gone (proc(5), fields 14 and 15)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
