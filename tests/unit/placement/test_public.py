"""What compute relies on: hosts are kept as told, judged in words, and never overbooked."""

import pytest

from pileus.kernel import ids
from pileus.kernel.db import open_database
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.placement import public
from pileus.services.placement.public import Stock

HOST = {"VCPU": Stock(4, allocation_ratio=2.0), "MEMORY_MB": Stock(4096, reserved=512), "DISK_GB": Stock(100)}
SMALL = {"VCPU": 1, "MEMORY_MB": 1024, "DISK_GB": 10}


@pytest.fixture
async def db(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/test.db")
    await database.create_schema()
    yield database
    await database.close()


async def add_host(db, name="host1", stocks=HOST, traits=("HW_CPU_X86_AVX2",), **more):
    uuid = ids.new_id()
    await db.write(public.ensure_provider, uuid, name, stocks, traits, **more)
    return uuid


async def take(db, consumer, host, **amounts):
    await db.write(public.claim, consumer, {host: amounts}, project_id="p", user_id="u")


async def test_a_host_that_fits_shows_what_is_free(db):
    await add_host(db)
    (found,) = await db.read(public.candidates, SMALL)
    assert found.fits
    assert found.name == "host1"
    assert found.free == {"VCPU": 8, "MEMORY_MB": 3584, "DISK_GB": 100}
    assert "HW_CPU_X86_AVX2" in found.traits


async def test_each_shortage_is_named_with_its_figures(db):
    host = await add_host(db)
    await take(db, "c1", host, VCPU=2, MEMORY_MB=3000)
    wanted = {"VCPU": 7, "MEMORY_MB": 1024, "DISK_GB": 10, "VGPU": 1}
    (found,) = await db.read(public.candidates, wanted, required=["CUSTOM_FAST"], forbidden=["HW_CPU_X86_AVX2"])
    assert found.lacks == (
        "7 VCPU (6 of 8 free)",
        "1024 MEMORY_MB (584 of 3584 free)",
        "1 VGPU (it offers none)",
        "the trait CUSTOM_FAST",
        "freedom from the trait HW_CPU_X86_AVX2",
    )


async def test_aggregates_bound_the_choice(db):
    group = ids.new_id()
    await add_host(db, "in", aggregates=[group])
    await add_host(db, "out")
    found = await db.read(public.candidates, SMALL, member_of=[[group, ids.new_id()]])
    assert [(candidate.name, candidate.fits) for candidate in found] == [("in", True), ("out", False)]


async def test_a_claim_beyond_what_is_free_changes_nothing(db):
    host = await add_host(db)
    await take(db, "c1", host, MEMORY_MB=3000)
    with pytest.raises(Conflict, match="only 584 of 3584 are free"):
        await take(db, "c2", host, VCPU=1, MEMORY_MB=1000)
    assert await db.read(public.usage, host) == {"MEMORY_MB": 3000}
    assert await db.read(public.held_by, "c2") == {}


async def test_a_claim_replaces_what_its_consumer_held(db):
    host, other = await add_host(db), await add_host(db, "host2")
    await take(db, "c1", host, MEMORY_MB=3000)
    await take(db, "c1", host, MEMORY_MB=3584)
    await take(db, "c1", other, MEMORY_MB=100, VCPU=1)
    assert await db.read(public.usage, host) == {}
    assert await db.read(public.held_by, "c1") == {other: {"MEMORY_MB": 100, "VCPU": 1}}


async def test_release_gives_everything_back_and_may_be_repeated(db):
    host = await add_host(db)
    await take(db, "c1", host, **SMALL)
    await db.write(public.release, "c1")
    await db.write(public.release, "c1")
    assert await db.read(public.usage, host) == {}


@pytest.mark.parametrize(
    ("stock", "amount"), [(Stock(10, min_unit=2), 1), (Stock(10, max_unit=4), 5), (Stock(10, step_size=3), 4)]
)
async def test_units_are_kept(db, stock, amount):
    host = await add_host(db, stocks={"VCPU": stock})
    (found,) = await db.read(public.candidates, {"VCPU": amount})
    assert not found.fits
    with pytest.raises(Conflict):
        await take(db, "c1", host, VCPU=amount)


async def test_telling_the_same_again_changes_nothing_and_new_facts_count(db):
    host = await add_host(db)
    await db.write(public.ensure_provider, host, "host1", HOST, ["HW_CPU_X86_AVX2"])
    more = {**HOST, "CUSTOM_GPU": Stock(2)}
    await db.write(public.ensure_provider, host, "host1", more, ["CUSTOM_FAST"])
    (found,) = await db.read(public.candidates, {"CUSTOM_GPU": 1}, required=["CUSTOM_FAST"])
    assert found.fits
    with pytest.raises(Invalid):
        await db.write(public.ensure_provider, host, "host1", HOST, ["NOT_A_TRAIT"])


async def test_what_is_held_stays_counted_when_a_host_no_longer_offers_it(db):
    host = await add_host(db, stocks={**HOST, "VGPU": Stock(2)})
    await take(db, "c1", host, VGPU=1)
    await db.write(public.ensure_provider, host, "host1", HOST)
    (found,) = await db.read(public.candidates, {"VGPU": 1})
    assert not found.fits
    assert await db.read(public.usage, host) == {"VGPU": 1}


async def test_a_host_goes_only_when_nothing_is_held_of_it(db):
    host = await add_host(db)
    await take(db, "c1", host, **SMALL)
    with pytest.raises(Conflict):
        await db.write(public.remove_provider, host)
    await db.write(public.release, "c1")
    await db.write(public.remove_provider, host)
    await db.write(public.remove_provider, host)
    assert await db.read(public.candidates, SMALL) == []


async def test_claims_of_unknown_hosts_and_classes_are_refused(db):
    host = await add_host(db)
    with pytest.raises(Invalid):
        await take(db, "c1", ids.new_id(), VCPU=1)
    with pytest.raises(Conflict):
        await take(db, "c1", host, VGPU=1)
    with pytest.raises(Conflict):
        await db.write(public.claim, "c1", {}, project_id="p", user_id="u")
