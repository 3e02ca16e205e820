"""Virtual time: what a simulation relies on."""

import asyncio
from random import Random

import pytest

from pileus.kernel.testing.virtual import Process, Stalled, VirtualLoop


def test_time_jumps_to_the_next_timer():
    loop = VirtualLoop(Random(1))

    async def story() -> float:
        await asyncio.sleep(86400)
        return loop.time()

    assert loop.run_until_complete(story()) == 86400


def test_a_killed_process_runs_nothing_more_not_even_its_finally():
    loop, process, said = VirtualLoop(Random(1)), Process("worker"), []

    async def work() -> None:
        try:
            said.append("begun")
            await asyncio.sleep(10)
            said.append("gone on")
        finally:
            said.append("cleaned up")

    async def story() -> None:
        loop.spawn(process, work())
        await asyncio.sleep(1)
        loop.kill(process)
        await asyncio.sleep(100)

    loop.run_until_complete(story())

    assert said == ["begun"]


def test_a_process_that_was_stopped_goes_on_late_without_having_noticed():
    loop, process, said = VirtualLoop(Random(1)), Process("worker"), []

    async def work() -> None:
        await asyncio.sleep(10)
        said.append(loop.time())

    async def story() -> None:
        loop.spawn(process, work())
        await asyncio.sleep(5)
        loop.freeze(process)
        await asyncio.sleep(60)
        assert said == []
        loop.thaw(process)
        await asyncio.sleep(1)

    loop.run_until_complete(story())

    assert said == [65]


def test_processes_take_turns_by_chance_and_each_keeps_its_own_order():
    def order(seed: int) -> str:
        loop, said = VirtualLoop(Random(seed)), []

        async def work(name: str) -> None:
            for number in range(8):
                said.append(f"{name}{number}")
                await asyncio.sleep(0)

        async def story() -> None:
            await asyncio.gather(*(loop.spawn(Process(name), work(name)) for name in "abc"))

        loop.run_until_complete(story())
        for name in "abc":
            assert [one for one in said if one[0] == name] == [f"{name}{number}" for number in range(8)]
        return " ".join(said)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(20)}) > 10


def test_what_can_never_happen_is_said_at_once():
    loop = VirtualLoop(Random(1))

    with pytest.raises(Stalled, match="no timer"):
        loop.run_until_complete(asyncio.Event().wait())


def test_blocking_work_is_done_without_a_thread():
    loop = VirtualLoop(Random(1))

    assert loop.run_until_complete(asyncio.wait_for(_off_thread(), 10)) == 42


async def _off_thread() -> int:
    return await asyncio.to_thread(lambda: 42)
