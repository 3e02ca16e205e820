"""What an operation promises: each step once, all of it or nothing, whatever crashes."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from pileus.kernel import clock, errors
from pileus.kernel.agent.host import Host
from pileus.kernel.history import HistorySettings
from pileus.kernel.operations import OperationRow, StepRow, alarms, begin, history
from pileus.kernel.operations.results import result_type
from pileus.kernel.testing.interruptions import Crash

from .toy import ALL, STEPS, UNDOS, BuildTower, Choose, EnsureBlock, Errand, Typed, build_row


async def test_runs_to_its_end(site):
    await site.start_worker()
    row = await site.ended(await build_row(site.db, "t"))
    assert (row.state, row.error, row.live_resource, row.lease_owner) == ("succeeded", None, None, None)
    assert site.blocks == ALL
    assert await site.world() == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}
    trace = await site.db.read(lambda tx: list(tx.scalars(select(StepRow).order_by(StepRow.position))))
    assert [step.name for step in trace] == STEPS[:-1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_resumes_after_a_crash(site, step, when):
    site.at = {f"{when} {step}": Crash()}
    first = await site.start_worker()
    id = await build_row(site.db, "t")
    await site.until(f"{when} {step}")
    await first.kill()
    await site.start_worker()
    assert (await site.ended(id)).state == "succeeded"
    assert site.blocks == ALL
    assert await site.world() == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_failure_leaves_nothing(site, step, when):
    site.at = {f"{when} {step}": errors.Conflict("no ground left")}
    await site.start_worker()
    row = await site.ended(await build_row(site.db, "t"))
    if (when, step) == ("after", "finish"):
        assert row.state == "succeeded", "what is concluded stays so"
        return
    assert (row.state, row.error) == ("failed", "no ground left")
    assert site.blocks == []
    assert await site.world() == {"towers": {"t": ("ERROR", None)}, "claims": 0}


@pytest.mark.parametrize("undo", UNDOS)
async def test_crash_while_unwinding(site, undo):
    site.at = {"before finish": errors.Conflict("no ground left"), f"undo {undo}": Crash()}
    first = await site.start_worker()
    id = await build_row(site.db, "t")
    await site.until(f"undo {undo}")
    await first.kill()
    built = [call for call in site.yard.calls if call.startswith("EnsureBlock ")]
    await site.start_worker()
    row = await site.ended(id)
    assert (row.state, row.error) == ("failed", "no ground left")
    assert site.blocks == []
    assert [call for call in site.yard.calls if call.startswith("EnsureBlock ")] == built, "nothing is built again"
    assert await site.world() == {"towers": {"t": ("ERROR", None)}, "claims": 0}


async def test_undoes_in_the_order_of_the_text(site):
    site.at = {"before finish": errors.Conflict("no")}
    await site.start_worker()
    await site.ended(await build_row(site.db, "t"))
    assert [event[5:] for event in site.events if event.startswith("undo ")] == UNDOS


async def test_a_rolled_back_request_begins_nothing(site):
    await site.start_worker()

    def transaction(tx):
        begin(tx, None, "tower.build", "tower/t", BuildTower("t"))
        raise errors.Invalid("changed my mind")

    with pytest.raises(errors.Invalid):
        await site.db.write(transaction)
    await asyncio.sleep(0.1)
    assert await site.db.read(lambda tx: list(tx.scalars(select(OperationRow)))) == []
    assert site.events == []


async def test_failures_of_branches_undo_both(site):
    site.at = {"after side 0": errors.Conflict("side 0 fell over")}
    await site.start_worker()
    row = await site.ended(await build_row(site.db, "t"))
    assert (row.state, row.error) == ("failed", "side 0 fell over")
    assert site.blocks == []


async def test_attempts_undo_only_themselves(site):
    def refuse(command):
        if command.id == "t-north" and isinstance(command, EnsureBlock):
            raise errors.Conflict("The north is full.")

    site.yard.before = refuse
    await site.start_worker()
    row = await site.ended(await site.begin(Choose("t", ["north", "south"])))
    assert row.state == "succeeded"
    assert site.blocks == ["t-south"]
    assert "EnsureBlockGone t-north" in site.yard.calls


@pytest.mark.parametrize("event", ["before north", "after north", "undo north", "undone north", "before south"])
async def test_attempts_survive_a_crash(site, event):
    def refuse(command):
        if command.id == "t-north" and isinstance(command, EnsureBlock):
            raise errors.Conflict("The north is full.")

    site.yard.before = refuse if event != "after north" else None
    site.at = {event: Crash()}
    first = await site.start_worker()
    id = await site.begin(Choose("t", ["north", "south"]))
    await site.until(event)
    await first.kill()
    await site.start_worker()
    assert (await site.ended(id)).state == "succeeded"
    assert site.blocks == (["t-south"] if event != "after north" else ["t-north"])


async def test_all_attempts_may_fail(site):
    def refuse(command):
        if isinstance(command, EnsureBlock):
            raise errors.Conflict(f"No room for {command.id}.")

    site.yard.before = refuse
    await site.start_worker()
    row = await site.ended(await site.begin(Choose("t", ["north", "south"])))
    assert (row.state, row.error) == ("failed", "No room for t-north. No room for t-south.")
    assert site.blocks == []


async def test_results_come_back_as_declared(site):
    site.at = {"before second": Crash()}
    first = await site.start_worker()
    id = await site.begin(Typed())
    await site.until("before second")
    await first.kill()
    await site.start_worker()
    assert (await site.ended(id)).error is None


async def test_old_operations_are_forgotten_live_ones_never(site, monkeypatch):
    await site.start_worker()
    done = await site.begin(Errand("a"))
    await site.ended(done)
    site.bus.detach("fake-1")
    live = await site.begin(Errand("b"))
    later = clock.now() + timedelta(days=30)
    monkeypatch.setattr(history.clock, "now", lambda: later)
    assert await site.db.write(history.forget, HistorySettings(), 10) == 1
    monkeypatch.undo()
    left = await site.db.read(lambda tx: list(tx.scalars(select(OperationRow.id))))
    assert left == [live]
    assert await site.db.read(alarms.list_steps, done) == []
    site.bus.attach(Host("fake-1", [site.yard]))
    await site.ended(live)


def test_step_functions_must_be_importable():
    def step(tx) -> "NotThere":  # noqa: F821
        return None

    with pytest.raises(TypeError, match="returns a type that cannot be looked up"):
        result_type(step)
