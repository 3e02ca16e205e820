"""Who may run an operation, and when: leases, one at a time, one after another, waiting for each other."""

import asyncio

import msgspec
import pytest

from pileus.kernel import errors
from pileus.kernel.operations import begin, steps
from pileus.kernel.operations.journal import Fenced, Journal, Step
from pileus.kernel.operations.listeners import Claimed
from pileus.kernel.operations.owner import is_dead, new_owner

from .toy import ALL, BuildTower, Delegate, Errand, Follow, build_row


async def test_one_live_operation_per_resource(site):
    site.yard.before = lambda command: asyncio.sleep(0.2)
    await site.start_worker()
    id = await build_row(site.db, "t")
    with pytest.raises(errors.Conflict, match=rf"Tower t is busy: operation tower.build \({id}\)"):
        await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))
    await site.ended(id)
    await site.db.write(begin, None, "tower.build", "tower/t", BuildTower("t"))


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


async def test_what_a_stale_worker_stumbles_over_is_no_defect(site):
    """The work of its step fails over what the worker has written that runs the operation now."""
    id = await build_row(site.db, "t")
    row = await site.row(id)
    facts = {name: getattr(row, name) for name in ("kind", "resource", "input", "state", "deadline", "created_at")}
    stale = Claimed(id=id, epoch=row.epoch + 1, owner="somebody else", lease_expires_at=row.deadline, **facts)

    def stumble(tx):
        raise ValueError("the row is there already")

    with pytest.raises(Fenced):
        await Journal(site.db, stale).commit(Step("claim", 0, "started"), stumble, (), str)
    held = msgspec.structs.replace(stale, epoch=row.epoch, owner=row.lease_owner)
    with pytest.raises(ValueError, match="there already"):
        await Journal(site.db, held).commit(Step("claim", 0, "started"), stumble, (), str)


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


async def test_an_operation_waits_for_another(site):
    site.yard.before = lambda command: asyncio.sleep(0.05)
    await site.start_worker()
    first = await site.begin(Errand("a"))
    assert (await site.ended(await site.begin(Follow(first)))).state == "succeeded"
    failing = await site.begin(Errand("b", host="nowhere", timeout_s=0.1))
    row = await site.ended(await site.begin(Follow(failing)))
    assert row.state == "failed"
    assert row.error.startswith("Host nowhere is not reachable")


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


def test_dead_owners_are_known_by_process():
    mine = new_owner()
    assert not is_dead(mine)
    host, boot, namespace, pid, started, number = mine.split("/")
    assert is_dead("/".join((host, boot, namespace, pid, str(int(started) - 1), number)))
    assert is_dead("/".join((host, "another-boot", namespace, pid, started, number)))
    assert not is_dead("/".join(("elsewhere", boot, namespace, "1", "1", number))), "only its lease tells"
