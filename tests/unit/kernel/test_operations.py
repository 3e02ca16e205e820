"""What an operation promises: exactly once, undone on failure, one at a time, never forgotten."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from pileus.kernel import clock, errors
from pileus.kernel.agent.host import Host
from pileus.kernel.operations import OperationRow, StepRow, alarms, begin, history, patience, steps
from pileus.kernel.operations.owner import is_dead, new_owner
from pileus.kernel.operations.results import result_type
from pileus.kernel.testing.interruptions import Crash

from .site import Site
from .toy import STEPS, UNDOS, BuildTower, Choose, Delegate, EnsureBlock, Errand, Follow, Typed, build_row


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path, f"sqlite:///{tmp_path}/toy.db")
    await site.db.create_schema()
    yield site
    for worker in site.workers:
        await worker.stop()
    await site.db.close()


ALL = ["t-base", "t-side0", "t-side1", "t-spire"]


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


async def test_one_live_operation_per_resource(site):
    site.yard.before = lambda command: asyncio.sleep(0.2)
    await site.start_worker()
    id = await build_row(site.db, "t")
    with pytest.raises(errors.Conflict, match=rf"Tower t is busy: operation tower.build \({id}\)"):
        await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))
    await site.ended(id)
    await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))


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


async def test_an_absent_host_is_waited_for(site):
    site.bus.detach("fake-1")
    await site.start_worker()
    id = await build_row(site.db, "t")
    for _ in range(500):
        trace = await site.db.read(alarms.list_steps, id)
        if len(trace) > 1 and trace[1].error:
            break
        await asyncio.sleep(0.01)
    assert (trace[1].name, trace[1].state, trace[1].finished_at) == ("base", "started", None)
    assert trace[1].error == "Host fake-1 is not reachable: its agent is not running or not connected."
    site.bus.attach(Host("fake-1", [site.yard]))
    assert (await site.ended(id)).state == "succeeded"


async def test_a_host_that_stays_away_fails_the_step_in_time(site):
    await site.start_worker()
    id = await site.begin(Errand("t", host="nowhere", timeout_s=0.3))
    row = await site.ended(id)
    assert row.state == "failed"
    assert row.error.startswith("Host nowhere is not reachable: its agent is not running or not connected. (gave up")


async def test_a_refusal_of_the_host_is_not_tried_again(site):
    def refuse(command):
        if isinstance(command, EnsureBlock):
            raise errors.OutOfSpace("The yard is full.")

    site.yard.before = refuse
    await site.start_worker()
    row = await site.ended(await site.begin(Errand("t")))
    assert (row.state, row.error) == ("failed", "The yard is full.")
    assert [call for call in site.yard.calls if call.startswith("EnsureBlock ")] == ["EnsureBlock t"]


async def test_a_defect_in_a_driver_is_named(site):
    def stumble(command):
        raise KeyError("mortar")

    site.yard.before = stumble
    await site.start_worker()
    id = await site.begin(Errand("t", undo=False))
    assert (await site.ended(id)).error == "KeyError: 'mortar'"


async def test_the_deadline_ends_the_way_forward(site):
    site.yard.before = lambda command: asyncio.sleep(0.3)
    await site.start_worker()
    id = await site.begin(Errand("t", deadline=True))
    row = await site.ended(id)
    assert row.state == "failed"
    assert row.error.startswith("Host fake-1 did not answer EnsureBlock")
    assert row.error.endswith("that was the time limit of toy.short")
    assert site.blocks == []


async def test_an_undo_that_cannot_be_done_becomes_an_alarm_then_is_mended(site, monkeypatch):
    monkeypatch.setattr(steps, "UNDO_PATIENCE_S", 0.3)
    site.at = {"before finish": errors.Conflict("no ground left"), "undo base": RuntimeError("stuck fast")}
    await site.start_worker()
    id = await build_row(site.db, "t")
    row = await site.ended(id, "stuck")
    assert row.error == "no ground left"
    assert "tower.build on tower/t: step 'base' cannot be undone: RuntimeError: stuck fast" in row.alarm
    assert f"pileus operations retry {id}" in row.alarm
    assert [row.id for row in await site.db.read(lambda tx: alarms.list_operations(tx, stuck=True))] == [id]
    with pytest.raises(errors.Conflict, match="is busy"):
        await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))
    del site.at["undo base"]
    await site.db.write(alarms.retry, id)
    row = await site.ended(id)
    assert (row.state, row.error, row.alarm) == ("failed", "no ground left", None)
    assert site.blocks == []
    assert await site.world() == {"towers": {"t": ("ERROR", None)}, "claims": 0}
    with pytest.raises(errors.Conflict, match="is not stuck but failed"):
        await site.db.write(alarms.retry, id)


async def test_a_hopeless_operation_can_be_abandoned(site, monkeypatch):
    monkeypatch.setattr(steps, "UNDO_PATIENCE_S", 0.2)
    site.at = {"before finish": errors.Conflict("no ground left"), "undo base": RuntimeError("stuck fast")}
    await site.start_worker()
    id = await build_row(site.db, "t")
    await site.ended(id, "stuck")
    assert await site.db.write(alarms.abandon, id) == ["claim", "base", "height"]
    row = await site.row(id)
    assert (row.state, row.live_resource) == ("failed", None)
    assert "abandoned by an operator; not undone: claim, base, height" in row.error
    assert (await site.world())["towers"] == {"t": ("ERROR", None)}


async def test_a_worker_that_lost_its_lease_writes_nothing_more(site, monkeypatch):
    """Two workers; the first freezes past its lease, the second takes over, the first wakes and is fenced."""
    monkeypatch.setattr(steps, "LEASE_MARGIN_S", 0)
    gate = asyncio.Event()

    async def freeze(command):
        if command.id == "t-base" and not gate.is_set():
            await gate.wait()

    site.yard.before = freeze
    first = await site.start_worker(lease_s=0.2, is_dead=lambda owner: False)
    first._loops[1].cancel()  # its heartbeat has stopped
    id = await build_row(site.db, "t")
    await site.until("before base")
    second = await site.start_worker(is_dead=lambda owner: False)
    for _ in range(500):
        if (await site.row(id)).lease_owner == second.owner:
            break
        await asyncio.sleep(0.01)
    assert (await site.row(id)).epoch == 2
    gate.set()
    assert (await site.ended(id)).state == "succeeded"
    assert site.blocks == ALL
    assert await site.world() == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}


async def test_leases_are_kept_alive(site, monkeypatch):
    monkeypatch.setattr(steps, "LEASE_MARGIN_S", 0)
    site.yard.before = lambda command: asyncio.sleep(0.5)
    await site.start_worker(is_dead=lambda owner: False)
    await site.start_worker(lease_s=0.9, is_dead=lambda owner: False)
    row = await site.ended(await build_row(site.db, "t"))
    assert (row.state, row.epoch) == ("succeeded", 1), "the first never thought that the second had gone"


async def test_a_stopped_worker_hands_over_at_once(site):
    site.yard.before = lambda command: asyncio.sleep(0.2)
    first = await site.start_worker()
    id = await build_row(site.db, "t")
    await site.until("before base")
    await first.stop()
    assert (await site.row(id)).lease_owner is None
    await site.start_worker(is_dead=lambda owner: False)
    assert (await site.ended(id)).state == "succeeded"


async def test_a_delete_supersedes_a_build(site):
    gate = asyncio.Event()
    site.yard.before = lambda command: gate.wait() if command.id == "t-spire" and not gate.is_set() else None
    await site.start_worker()
    id = await build_row(site.db, "t")
    await site.until("before spire")
    asyncio.get_running_loop().call_later(0.1, gate.set)
    after = await site.begin(Errand("t"), supersede=True)
    row = await site.ended(after)
    first = await site.row(id)
    assert (first.state, first.error) == ("failed", "superseded by toy.errand")
    assert first.finished_at <= row.finished_at
    assert row.state == "succeeded"
    assert site.blocks == ["t"], "the build is undone before the errand runs"
    assert (await site.world())["claims"] == 0


async def test_a_successor_holds_the_resource_too(site):
    site.yard.before = lambda command: asyncio.sleep(0.2)
    await site.start_worker()
    await build_row(site.db, "t")
    await site.until("before base")
    after = await site.begin(Errand("t"), supersede=True)
    for options in ({}, {"supersede": True}):
        with pytest.raises(errors.Conflict, match="Tower t is busy"):
            await site.begin(Errand("t"), **options)
    assert (await site.ended(after)).state == "succeeded"


async def test_operations_of_one_request_run_in_order(site):
    site.yard.before = lambda command: asyncio.sleep(0.05)
    await site.start_worker()

    def transaction(tx):
        first = begin(tx, None, "toy.errand", "tower/a", Errand("a"))
        second = begin(tx, None, "toy.errand", "tower/b", Errand("b"), after=first)
        return begin(tx, None, "toy.errand", "tower/c", Errand("c"), after=second)

    await site.ended(await site.db.write(transaction))
    assert site.yard.calls == ["EnsureBlock a", "EnsureBlock b", "EnsureBlock c"]


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


async def test_an_operation_waits_for_another(site):
    site.yard.before = lambda command: asyncio.sleep(0.05)
    await site.start_worker()
    first = await site.begin(Errand("a"))
    assert (await site.ended(await site.begin(Follow(first)))).state == "succeeded"
    failing = await site.begin(Errand("b", host="nowhere", timeout_s=0.1))
    row = await site.ended(await site.begin(Follow(failing)))
    assert row.state == "failed"
    assert row.error.startswith("Host nowhere is not reachable")


async def test_results_come_back_as_declared(site):
    site.at = {"before second": Crash()}
    first = await site.start_worker()
    id = await site.begin(Typed())
    await site.until("before second")
    await first.kill()
    await site.start_worker()
    assert (await site.ended(id)).error is None


async def test_a_busy_worker_leaves_the_rest_for_later(site):
    site.yard.before = lambda command: asyncio.sleep(0.02)
    await site.start_worker(limit=2)
    ids = [await site.begin(Errand(f"t{n}")) for n in range(12)]
    for id in ids:
        assert (await site.ended(id)).state == "succeeded"


async def test_waiting_takes_nobody_s_place(site):
    """With room for one: what an operation has begun must run while it waits for it."""
    await site.start_worker(limit=1)
    ids = [await site.begin(Delegate(f"t{n}")) for n in range(3)]
    for id in ids:
        assert (await site.ended(id)).state == "succeeded"
    assert site.blocks == ["t0-part", "t1-part", "t2-part"]


async def test_old_operations_are_forgotten_live_ones_never(site, monkeypatch):
    await site.start_worker()
    done = await site.begin(Errand("a"))
    await site.ended(done)
    site.bus.detach("fake-1")
    live = await site.begin(Errand("b"))
    later = clock.now() + timedelta(days=30)
    monkeypatch.setattr(history.clock, "now", lambda: later)
    assert await site.db.write(history.forget) == 1
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


def test_dead_owners_are_known_by_process():
    mine = new_owner()
    assert not is_dead(mine)
    host, boot, namespace, pid, started, number = mine.split("/")
    assert is_dead("/".join((host, boot, namespace, pid, str(int(started) - 1), number)))
    assert is_dead("/".join((host, "another-boot", namespace, pid, started, number)))
    assert not is_dead("/".join(("elsewhere", boot, namespace, "1", "1", number))), "only its lease tells"


async def test_a_host_that_comes_back_is_not_kept_waiting(site, monkeypatch):
    monkeypatch.setattr(patience, "FIRST_DELAY_S", 20)
    site.bus.detach("fake-1")
    await site.start_worker()
    id = await build_row(site.db, "t")
    await site.until("before base")
    await asyncio.sleep(0.05)
    site.bus.attach(Host("fake-1", [site.yard]))
    site.bus.publish("host.up", "fake-1")
    assert (await site.ended(id)).state == "succeeded"


async def test_a_host_that_comes_back_ends_the_alarm(site, monkeypatch):
    monkeypatch.setattr(steps, "UNDO_PATIENCE_S", 0.2)

    def leave(event, op):
        if event == "before finish":
            site.bus.detach("fake-1")
            raise errors.Conflict("no ground left")

    await site.start_worker(observe=leave)
    id = await build_row(site.db, "t")
    row = await site.ended(id, "stuck")
    assert "Host fake-1 is not reachable" in row.alarm
    site.bus.attach(Host("fake-1", [site.yard]))
    site.bus.publish("host.up", "fake-1")
    assert (await site.ended(id)).state == "failed"
    assert site.blocks == []
