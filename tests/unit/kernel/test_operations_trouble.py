"""What becomes of operations in trouble: hosts away, refusals, deadlines, undos that fail, alarms."""

import asyncio
import re

import pytest

from pileus.kernel import errors
from pileus.kernel.agent.host import Host
from pileus.kernel.operations import alarms, begin, patience, steps

from .toy import BuildTower, EnsureBlock, Errand, build_row


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


async def test_while_it_tries_again_an_operation_says_why_how_often_and_when_next(site):
    refusing = True

    def refuse(command):
        if isinstance(command, EnsureBlock) and refusing:
            raise errors.Unavailable("The lock /run/yard/lock is taken.")

    site.yard.before = refuse
    await site.start_worker()
    id = await site.begin(Errand("t"))
    for _ in range(500):
        row = await site.db.read(alarms.get_operation, id)
        if row.tries >= 2:
            break
        await asyncio.sleep(0.01)
    assert row.last_refusal == "The lock (a file of the host) is taken."
    assert row.next_at > row.created_at
    (step,) = [step for step in await site.db.read(alarms.list_steps, id) if step.error]
    assert step.error == "The lock /run/yard/lock is taken."
    refusing = False
    assert (await site.ended(id)).state == "succeeded"
    row = await site.db.read(alarms.get_operation, id)
    assert row.next_at is None


async def test_what_an_undo_waits_for_is_told_too(site, monkeypatch):
    monkeypatch.setattr(steps, "UNDO_PATIENCE_S", 0.5)
    site.at = {"before finish": errors.Conflict("no ground left"), "undo base": RuntimeError("stuck fast")}
    await site.start_worker()
    id = await build_row(site.db, "t")
    row = await site.ended(id, "stuck")
    assert row.last_refusal == "RuntimeError: stuck fast"
    assert row.tries >= 1


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


async def test_what_a_driver_goes_on_refusing_is_given_up(site, monkeypatch):
    """A host that is away is waited for; one that answers that it cannot is asked for a while only."""
    monkeypatch.setattr(patience, "REFUSALS_S", 0.3)

    def refuse(command) -> None:
        if isinstance(command, EnsureBlock):
            raise errors.Unavailable("the daemon does not start")

    site.yard.before = refuse
    await site.start_worker()
    row = await site.ended(await site.begin(Errand("t")))
    assert row.state == "failed"
    assert row.error.startswith("the daemon does not start (gave up after ")


async def test_what_will_not_get_better_is_not_tried_again(site):
    def refuse(command) -> None:
        raise errors.Failed("The program 'dnsmasq' is not on this host.")

    site.yard.before = refuse
    await site.start_worker()
    row = await site.ended(await site.begin(Errand("t", undo=False)))
    assert row.error == "The program 'dnsmasq' is not on this host."
    assert site.yard.calls == ["EnsureBlock t"]


async def test_the_log_says_once_what_is_tried_again(site, caplog):
    words = ["no room just now"]

    def refuse(command) -> None:
        raise errors.Unavailable(words[0])

    site.yard.before = refuse
    worker = await site.start_worker()
    id = await site.begin(Errand("t", undo=False))

    def told() -> list[str]:
        return [one.getMessage() for one in caplog.records if "tries again" in one.getMessage()]

    async def tried(times: int) -> None:
        for _ in range(1000):
            if (await site.db.read(alarms.get_operation, id)).tries >= times:
                return
            worker._host_came()
            await asyncio.sleep(0.005)
        raise AssertionError("it is not tried again")

    await tried(3)
    assert len(told()) == 1
    assert "no room just now" in told()[0]
    words[0] = "the disk is broken"
    await tried(6)
    assert len(told()) == 2
    site.yard.before = None
    worker._host_came()
    assert (await site.ended(id)).state == "succeeded"


async def test_who_looks_sees_what_is_tried_again(site):
    def refuse(command) -> None:
        raise errors.Unavailable("no room just now")

    site.yard.before = refuse
    worker = await site.start_worker()
    id = await site.begin(Errand("t", undo=False))
    for _ in range(500):
        if trouble := alarms.trouble_of(await site.db.read(alarms.get_operation, id)):
            break
        await asyncio.sleep(0.005)
    assert re.fullmatch(r"failed (once|\d+ times), last: no room just now; next try at \d\d:\d\d:\d\d UTC", trouble)
    site.yard.before = None
    worker._host_came()
    assert (await site.ended(id)).state == "succeeded"
    assert alarms.trouble_of(await site.db.read(alarms.get_operation, id)) is None
