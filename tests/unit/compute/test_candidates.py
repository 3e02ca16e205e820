"""The hosts a boot looks at: few, whatever the size of the fleet, and as good as all of them."""

import statistics
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pileus.kernel import ids
from pileus.kernel.agent.hosts import HostRow
from pileus.kernel.db import Database, Tx, open_database, schema
from pileus.services.compute import inventory
from pileus.services.compute.model import Aggregate, AggregateHost, Host
from pileus.services.compute.operations import candidates
from pileus.services.compute.operations.candidates import best_host
from pileus.services.compute.scheduler import Demand, NoValidHost
from pileus.services.placement import public as placement
from pileus.services.placement.public import Stock

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SMALL = {"VCPU": 1, "MEMORY_MB": 2048, "DISK_GB": 10}


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(f"sqlite:///{tmp_path}/fleet.db")
    await schema.bring_up(database)
    yield database
    await database.close()


def add_host(tx: Tx, number: int, vcpus: int, memory_mib: int, disk_gib: int, **more: Any) -> str:
    name = f"h{number:04}"
    tx.add(
        HostRow(name=name, state=more.pop("state", "up"), boot_id="b", services=["compute"], facts={},
                registered_at=NOW, last_seen_at=NOW, changed_at=NOW)
    )  # fmt: skip
    tx.add(Host(name=name, id=f"{number:032x}", number=number, created_at=NOW, updated_at=NOW, **more))
    stocks = {"VCPU": Stock(vcpus), "MEMORY_MB": Stock(memory_mib), "DISK_GB": Stock(disk_gib)}
    placement.ensure_provider(tx, f"{number:032x}", name, stocks)
    return name


def mixed_fleet(tx: Tx, count: int) -> None:
    """Three kinds of hosts: rich in processors, in memory, in disk."""
    kinds = [(64, 128 << 10, 2000), (16, 512 << 10, 1000), (32, 128 << 10, 8000)]
    for number in range(1, count + 1):
        add_host(tx, number, *kinds[number % 3])


FLAVORS = [
    {"VCPU": 1, "MEMORY_MB": 2 << 10, "DISK_GB": 20},
    {"VCPU": 8, "MEMORY_MB": 16 << 10, "DISK_GB": 80},
    {"VCPU": 2, "MEMORY_MB": 64 << 10, "DISK_GB": 100},
    {"VCPU": 4, "MEMORY_MB": 8 << 10, "DISK_GB": 1200},
]


def fullness(tx: Tx) -> list[float]:
    """Return how full each host is, 0 to 1, its classes taken together."""
    return [
        statistics.mean(r.used[name] / r.capacity[name] for name in r.capacity) for r in inventory.rooms(tx).values()
    ]


def fill(tx: Tx) -> tuple[int, int, float, float]:
    """Boot servers of the flavors in turn until none finds a host.

    Return how many had a place when the first was refused, and in the end; how unevenly the hosts were filled after
    100 servers; how full they were in the end.
    """
    placed, turn, first, uneven, refused = 0, 0, 0, 0.0, set[int]()
    while len(refused) < len(FLAVORS):
        turn += 1
        kind = turn % len(FLAVORS)
        if kind in refused:
            continue
        try:
            host = best_host(tx, Demand(FLAVORS[kind]))
        except NoValidHost:
            first = first or placed
            refused.add(kind)
            continue
        inventory.claim(tx, ids.new_id(), host.id, FLAVORS[kind], "p", "u")
        placed += 1
        if placed == 100:
            uneven = statistics.pstdev(fullness(tx))
    return first, placed, uneven, statistics.mean(fullness(tx))


def fill_and_undo(tx: Tx) -> tuple[int, int, float, float]:
    point = tx.begin_nested()
    found = fill(tx)
    point.rollback()
    tx.expunge_all()
    return found


async def test_a_sample_fills_a_mixed_fleet_as_the_whole_does(db, monkeypatch):
    """As many servers find a place, spread as evenly, as when every host is weighed for each."""
    await db.write(mixed_fleet, 30)
    first, placed, uneven, full = await db.write(fill_and_undo)
    monkeypatch.setattr(candidates, "SAMPLES", ())
    first_of_all, placed_of_all, uneven_of_all, full_of_all = await db.write(fill_and_undo)
    assert first_of_all > 100
    assert first >= first_of_all * 0.97
    assert placed >= placed_of_all * 0.95
    assert uneven <= uneven_of_all * 1.1
    assert full >= full_of_all * 0.98


@contextmanager
def rows_read(tx: Tx) -> Iterator[list[int]]:
    """Count the statements that run meanwhile, and the rows that their cursors give."""
    seen: list[int] = []

    def count(conn: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(1)

    connection = tx.connection()
    event.listen(connection, "after_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(connection, "after_cursor_execute", count)


async def test_a_boot_asks_as_little_of_a_large_fleet_as_of_a_small_one(db):
    looked: dict[int, int] = {}

    def measure(tx: Tx) -> int:
        made: list[Any] = []
        before = candidates.list_candidates
        with rows_read(tx) as statements:

            def counted(*args: Any, **more: Any) -> Any:
                found = before(*args, **more)
                made.extend(found)
                return found

            candidates.list_candidates = counted
            try:
                best_host(tx, Demand(SMALL))
            finally:
                candidates.list_candidates = before
        return len(made) * 1000 + len(statements)

    await db.write(mixed_fleet, 60)
    looked[60] = await db.write(measure)

    def grow(tx: Tx) -> None:
        for number in range(61, 601):
            add_host(tx, number, 64, 128 << 10, 2000)

    await db.write(grow)
    looked[600] = await db.write(measure)
    assert looked[600] <= looked[60]


@pytest.mark.parametrize(
    ("demand", "chosen"),
    [
        (Demand(SMALL), "h0001"),
        (Demand(SMALL, exclude=frozenset({"h0001"})), "h0002"),
        (Demand(SMALL, zone="east"), "h0004"),
        (Demand(SMALL, zone="nova", exclude=frozenset({"h0001"})), "h0002"),
        (Demand(SMALL, host="h0003"), "h0003"),
        (Demand(SMALL, same_as=frozenset({"h0004"})), "h0004"),
        (Demand(SMALL, group_policy="anti-affinity", group_hosts={"h0001": 1}), "h0002"),
        (Demand(SMALL, group_policy="affinity", group_hosts={"h0003": 1}), "h0003"),
        (Demand(SMALL, group_policy="soft-affinity", group_hosts={"h0004": 1}), "h0004"),
        (Demand(SMALL, group_policy="soft-anti-affinity", group_hosts={"h0001": 1, "h0002": 1}), "h0003"),
        (Demand(SMALL, extra_specs={"trait:CUSTOM_FAST": "required"}), "h0003"),
        (Demand(SMALL, extra_specs={"aggregate_instance_extra_specs:ssd": "true"}), "h0004"),
        (Demand({}), "h0001"),
    ],
)
async def test_the_narrowing_obeys_what_was_asked_for(db, demand, chosen):
    def fleet(tx: Tx) -> None:
        for number in (1, 2, 3, 4):
            add_host(tx, number, 8, (20 - number) << 10, 100)
        add_host(tx, 5, 8, 999 << 10, 999, state="down")
        add_host(tx, 6, 8, 999 << 10, 999, disabled=True)
        add_host(tx, 7, 8, 999 << 10, 999, forced_down=True)
        stocks = {"VCPU": Stock(8), "MEMORY_MB": Stock(17 << 10), "DISK_GB": Stock(100)}
        placement.ensure_provider(tx, f"{3:032x}", "h0003", stocks, ["CUSTOM_FAST"])
        tx.add(Aggregate(id=1, uuid="a", name="east", availability_zone="east", meta={"ssd": "true"}, created_at=NOW))
        tx.add(AggregateHost(aggregate_id=1, host="h0004"))

    await db.write(fleet)
    assert (await db.write(lambda tx: best_host(tx, demand))).name == chosen


async def test_a_host_hidden_behind_many_that_are_kept_for_others_is_found(db):
    def fleet(tx: Tx) -> None:
        tx.add(Aggregate(id=1, uuid="a", name="kept", meta={"filter_tenant_id": "theirs"}, created_at=NOW))
        for number in range(1, 41):
            name = add_host(tx, number, 64, 256 << 10, 1000)
            tx.add(AggregateHost(aggregate_id=1, host=name))
        add_host(tx, 41, 8, 16 << 10, 100)

    await db.write(fleet)
    assert (await db.write(lambda tx: best_host(tx, Demand(SMALL, project_id="mine")))).name == "h0041"


async def test_a_refusal_still_names_every_reason(db):
    def fleet(tx: Tx) -> None:
        for number in (1, 2, 3):
            add_host(tx, number, 8, 1024, 100)

    await db.write(fleet)
    with pytest.raises(NoValidHost, match="3 of 3 hosts lack 2048 MB of memory"):
        await db.write(lambda tx: best_host(tx, Demand(SMALL)))


async def test_what_is_kept_agrees_with_the_allocations_after_every_kind_of_change(db):
    from pileus.services.placement.store import allocations, providers

    def change(tx: Tx) -> dict[str, Callable[[], Any]]:
        add_host(tx, 1, 8, 16384, 100)
        add_host(tx, 2, 8, 16384, 100)
        first, second = f"{1:032x}", f"{2:032x}"
        placement.claim(tx, "c1", {first: {"VCPU": 2, "MEMORY_MB": 100}}, project_id="p", user_id="u")
        placement.claim(tx, "c2", {first: {"VCPU": 1}, second: {"VCPU": 3}}, project_id="p", user_id="u")
        placement.claim(tx, "c1", {first: {"VCPU": 4}}, project_id="p", user_id="u")
        placement.ensure_provider(tx, first, "h0001", {"VCPU": Stock(6), "MEMORY_MB": Stock(4096)})
        placement.release(tx, "c2")
        tx.flush()
        return allocations.sums(tx), providers.room(tx, None)  # type: ignore[return-value]

    sums, rooms = await db.write(change)
    assert sums == {(f"{1:032x}", "VCPU"): 4}
    kept = {(uuid, name): used for uuid, room in rooms.items() for name, (_, used) in room.items() if used}
    assert kept == sums
    found = await db.read(lambda tx: placement.roomiest(tx, {"VCPU": 2}, most=9))
    assert found == [f"{2:032x}", f"{1:032x}"]
    assert await db.read(lambda tx: placement.roomiest(tx, {"VCPU": 3}, most=9)) == [f"{2:032x}"]
