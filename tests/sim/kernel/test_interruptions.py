"""The walk over every interruption finds what is wrong with an operation, and nothing wrong with a right one."""

from contextlib import asynccontextmanager

import msgspec
import pytest

from pileus.kernel.operations import Operation, begin, operation
from pileus.kernel.testing.interruptions import Case, walk
from tests.unit.kernel.site import Site
from tests.unit.kernel.toy import EnsureBlock, EnsureBlockGone, build_row


class Careless(msgspec.Struct, frozen=True):
    flaw: str


@operation("toy.careless", input=Careless)
async def careless(op: Operation, input: Careless) -> None:
    """Two blocks, with a flaw."""
    number = len(memory)
    memory.append("ran")
    name = f"a{number}" if input.flaw == "depends on when it runs" else "a"
    undo = None if input.flaw == "forgets an undo" else EnsureBlockGone(id=name)
    await op.command("a", "fake-1", EnsureBlock(id=name), undo=undo)
    await op.command("b", "fake-1", EnsureBlock(id="b"), undo=EnsureBlockGone(id="b"))


memory: list[str] = []


@pytest.fixture
def make(tmp_path):
    count = iter(range(1000))

    @asynccontextmanager
    async def make():
        folder = tmp_path / str(next(count))
        folder.mkdir()
        memory.clear()
        site = Site(folder, f"sqlite:///{folder}/toy.db")
        await site.db.create_schema()
        site.worker = await site.start_worker(poll_s=5)
        yield site
        await site.worker.stop()
        await site.db.close()

    return make


async def test_a_right_operation_passes(make):
    async def act(site):
        await build_row(site.db, "t", blocks=1)

    async def check(site, case: Case):
        world = await site.world()
        if case.undone:
            assert site.blocks == []
            assert world == {"towers": {"t": ("ERROR", None)}, "claims": 0}
        else:
            assert site.blocks == ["t-base", "t-side0", "t-spire"]
            assert world == {"towers": {"t": ("ACTIVE", None)}, "claims": 1}

    cases = await walk(make, act, check, ["tower.build"])
    assert len(cases) > 25


@pytest.mark.parametrize("flaw", ["forgets an undo", "depends on when it runs"])
async def test_a_flaw_is_found(make, flaw):
    async def act(site):
        await site.db.write(begin, None, "toy.careless", "tower/t", Careless(flaw))

    async def check(site, case: Case):
        assert len(site.blocks) == (0 if case.undone else 2)

    with pytest.raises(AssertionError, match=r"at toy\.careless"):
        await walk(make, act, check, ["toy.careless"])


async def test_the_kinds_must_have_run(make):
    async def act(site):
        await site.db.write(begin, None, "toy.careless", "tower/t", Careless(""))

    async def check(site, case: Case):
        return None

    with pytest.raises(AssertionError, match=r"the act ran no operation of tower\.build"):
        await walk(make, act, check, ["tower.build"])
