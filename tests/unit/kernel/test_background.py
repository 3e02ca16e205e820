"""Background tasks: what has no end begins again when it fails."""

import asyncio

from pileus.kernel.errors import Unavailable
from pileus.kernel.testing import running


async def test_a_background_task_that_fails_begins_again(tmp_path, monkeypatch):
    monkeypatch.setattr("pileus.kernel.runtime.FIRST_PAUSE_S", 0.01)
    began: list[int] = []

    async def forever() -> None:
        began.append(1)
        if len(began) < 3:
            raise Unavailable("The database is away for a moment; try again shortly.")
        await asyncio.Event().wait()

    async with running(tmp_path, []) as runtime:
        task = runtime.keep(forever, "toy")
        for _ in range(200):
            if len(began) == 3:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

        assert len(began) == 3
        assert not task.done()
    assert task.cancelled()
