"""Operations that take turns: those on different parts side by side, those on the whole by themselves."""

import asyncio
from datetime import timedelta

import pytest

from pileus.kernel import clock
from pileus.kernel.operations import OperationRow, alarms, begin, find_live

from .toy import Chore, given_up


@pytest.fixture(autouse=True)
def _nothing_given_up():
    given_up.clear()


class Gates:
    """Holds each chore at its host until it is let go."""

    def __init__(self, site) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self._changed = asyncio.Condition()
        site.yard.before = self._before

    async def _before(self, command) -> None:
        if command.id not in self.asked:
            self.asked.append(command.id)
            async with self._changed:
                self._changed.notify_all()
        if (gate := self.gates.get(command.id)) is not None:
            await gate.wait()

    def hold(self, *names: str) -> None:
        for name in names:
            self.gates[name] = asyncio.Event()

    def let_go(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()

    async def until(self, *names: str) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: set(names) <= set(self.asked))


async def do(site, kind: str, name: str, room: str = "", **options) -> str:
    input = Chore("h", name, room)
    return await site.db.write(lambda tx: begin(tx, None, f"house.{kind}", "house/h", input, **options))


async def waits(site) -> dict[str, list[str]]:
    """Return what each live operation waits for."""
    rows = await site.db.read(alarms.list_operations)
    found = await site.db.read(alarms.waited_for, [row.id for row in rows])
    return {row.id: [one.id for one in found.get(row.id, [])] for row in rows}


async def test_different_parts_side_by_side_the_same_part_in_turn(site):
    gates = Gates(site)
    gates.hold("a1", "b1")
    await site.start_worker(poll_s=60)
    a1, b1, a2 = (
        await do(site, "paint", "a1", "a"),
        await do(site, "paint", "b1", "b"),
        await do(site, "paint", "a2", "a"),
    )
    await gates.until("a1", "b1")
    assert await waits(site) == {a1: [], b1: [], a2: [a1]}
    gates.let_go("a1")
    assert (await site.ended(a2)).state == "succeeded"
    assert (await site.row(b1)).state == "running"
    gates.let_go("b1")
    assert (await site.ended(b1)).state == "succeeded"


async def test_the_whole_waits_for_all_and_all_wait_for_it(site):
    gates = Gates(site)
    gates.hold("a", "b", "whole")
    await site.start_worker(poll_s=60)
    a, b = await do(site, "paint", "a", "a"), await do(site, "paint", "b", "b")
    whole, late = await do(site, "move", "whole"), await do(site, "paint", "late", "c")
    assert await waits(site) == {a: [], b: [], whole: [a, b], late: [whole]}
    await gates.until("a", "b")
    gates.let_go("a")
    await site.ended(a)
    assert await waits(site) == {b: [], whole: [b], late: [whole]}
    gates.let_go("b")
    await gates.until("whole")
    assert "late" not in gates.asked
    gates.let_go("whole")
    assert (await site.ended(late)).state == "succeeded"
    assert gates.asked == ["a", "b", "whole", "late"]
    assert await site.db.read(find_live, "house/h") is None


async def test_what_waits_survives_kill_9(site):
    gates = Gates(site)
    gates.hold("first")
    worker = await site.start_worker()
    first, second, third = [
        await do(site, kind, name) for kind, name in (("move", "first"), ("move", "second"), ("sell", "third"))
    ]
    await gates.until("first")
    await worker.kill()
    await site.start_worker(poll_s=60)
    gates.let_go("first")
    for id in (first, second, third):
        assert (await site.ended(id)).state == "succeeded"
    assert gates.asked == ["first", "second", "third"]


async def test_the_time_of_a_kind_begins_with_its_turn(site):
    gates = Gates(site)
    gates.hold("first")
    await site.start_worker(poll_s=60)
    first, second = await do(site, "move", "first"), await do(site, "move", "second")
    await gates.until("first")
    ahead, waiting = await site.row(first), await site.row(second)
    assert waiting.deadline - ahead.deadline == timedelta(seconds=30), "those before it may take all their time"
    gates.let_go("first")
    row = await site.ended(second)
    assert row.deadline < waiting.deadline
    assert row.deadline - row.finished_at <= timedelta(seconds=30)


async def test_what_waits_for_too_long_is_given_up_and_says_for_what(site):
    gates = Gates(site)
    gates.hold("first")
    await site.start_worker(poll_s=0.05)
    first, second, third = [await do(site, "move", name) for name in ("first", "second", "third")]
    await gates.until("first")

    def be_late(tx) -> None:
        tx.get_one(OperationRow, second).deadline = clock.now() - timedelta(seconds=1)

    await site.db.write(be_late)
    row = await site.ended(second)
    assert row.state == "failed"
    assert f"it waited for house.move ({first})" in row.error
    assert ("second", row.error) in given_up
    assert "second" not in gates.asked
    gates.let_go("first")
    assert (await site.ended(third)).state == "succeeded", "the others go on"


async def test_what_is_to_be_undone_does_not_wait_for_its_turn(site):
    gates = Gates(site)
    gates.hold("a", "b")
    await site.start_worker(poll_s=60)
    a, b = await do(site, "paint", "a", "a"), await do(site, "paint", "b", "b")
    waiting, deed = await do(site, "move", "waiting"), await do(site, "sell", "deed")
    await gates.until("a", "b")
    last = await do(site, "move", "last", supersede=True)
    assert (await site.ended(waiting)).error == "superseded by house.move"
    gates.let_go("a", "b")
    for id in (a, b):
        assert (await site.ended(id)).error == "superseded by house.move"
    for id in (deed, last):
        assert (await site.ended(id)).state == "succeeded"
    assert gates.asked == ["a", "b", "deed", "last"]
    assert site.blocks == ["deed", "last"]


async def test_what_has_failed_makes_way(site):
    input = Chore("h", "nowhere", host="nowhere")
    failing = await site.db.write(lambda tx: begin(tx, None, "house.move", "house/h", input))
    await site.db.write(lambda tx: setattr(tx.get_one(OperationRow, failing), "deadline", clock.now()))
    await site.start_worker(poll_s=60)
    after = await do(site, "move", "after")
    assert (await site.ended(after)).state == "succeeded"


async def test_turns_hold_for_requests_at_the_same_moment(site):
    ids = await asyncio.gather(*(do(site, "move", f"m{n}") for n in range(8)))
    rows = [await site.row(id) for id in ids]
    assert sorted(row.turn for row in rows) == list(range(1, 9))
    gates = Gates(site)
    await site.start_worker()
    for id in ids:
        await site.ended(id)
    assert gates.asked == [f"m{n}" for n in sorted(range(8), key=lambda n: rows[n].turn)]
