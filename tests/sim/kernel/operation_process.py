"""A real process that runs operations until none is live, or until it kills itself at a given event."""

import asyncio
import os
import signal
from pathlib import Path

from pileus.kernel.errors import Conflict
from pileus.kernel.operations import alarms
from pileus.kernel.operations.owner import is_dead
from tests.unit.kernel.site import Site
from tests.unit.kernel.toy import build_row


def run(folder: str, kill_at: str, fail_at: str, new: bool) -> None:
    """Resume what is there, after beginning to build a tower if ``new``."""
    asyncio.run(_run(Path(folder), kill_at, fail_at, new))


async def _run(folder: Path, kill_at: str, fail_at: str, new: bool) -> None:
    def strike(event: str, op: object) -> None:
        if event == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if event == fail_at:
            raise Conflict("no ground left")

    site = Site(folder, f"sqlite:///{folder}/toy.db")
    await site.db.create_schema()
    worker = await site.start_worker(observe=strike, is_dead=is_dead)
    if new:
        await build_row(site.db, "t")
    async with asyncio.timeout(20):
        while await site.db.read(alarms.list_operations):  # noqa: ASYNC110 (another process may end it)
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.2)  # the end is written before it is observed: let the worker come to "after finish"
    await worker.stop()
    await site.db.close()
