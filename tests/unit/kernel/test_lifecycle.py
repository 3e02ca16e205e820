"""Verbs: from which states, under which label, to which end."""

import pytest

from pileus.kernel.db import open_database
from pileus.kernel.errors import NotFound
from pileus.kernel.lifecycle import Lifecycle, WrongState

from .toy import TowerRow

TOWER = Lifecycle(TowerRow, "tower")
PAINT = TOWER.verb("paint", {"ACTIVE"}, "painting", "PAINTED")
SHAKE = TOWER.verb("shake", {"ACTIVE", "PAINTED"}, "shaking")


@pytest.fixture
async def db(tmp_path):
    db = open_database(f"sqlite:///{tmp_path}/x.db")
    await db.create_schema()
    await db.write(lambda tx: tx.add(TowerRow(id="t", status="ACTIVE", task_state=None)))
    yield db
    await db.close()


async def state(db):
    return await db.read(lambda tx: (tx.get_one(TowerRow, "t").status, tx.get_one(TowerRow, "t").task_state))


async def test_a_verb_claims_and_ends(db):
    await db.write(PAINT.begin, "t")
    assert await state(db) == ("ACTIVE", "painting")
    assert await db.write(PAINT.finish, "t")
    assert await state(db) == ("PAINTED", None)


async def test_a_verb_without_end_keeps_the_state(db):
    await db.write(SHAKE.begin, "t")
    await db.write(SHAKE.finish, "t")
    assert await state(db) == ("ACTIVE", None)


async def test_failure_takes_the_label_away_and_may_set_more(db):
    await db.write(PAINT.begin, "t")
    await db.write(PAINT.fail, "t", status="ERROR", fault="out of paint")
    assert await state(db) == ("ERROR", None)
    with pytest.raises(
        WrongState, match="Cannot 'paint' tower t while it is in state ERROR; it can be done in: ACTIVE"
    ):
        await db.write(PAINT.begin, "t")


async def test_only_one_verb_at_a_time(db):
    await db.write(PAINT.begin, "t")
    with pytest.raises(WrongState, match="Cannot 'shake' tower t while it is painting"):
        await db.write(SHAKE.begin, "t")
    assert not await db.write(SHAKE.finish, "t"), "a verb that does not hold the label ends nothing"
    assert await state(db) == ("ACTIVE", "painting")


async def test_nothing_there(db):
    with pytest.raises(NotFound, match="Tower x could not be found"):
        await db.write(PAINT.begin, "x")


async def test_rows_in_the_session_follow(db):
    def transaction(tx):
        row = tx.get_one(TowerRow, "t")
        PAINT.begin(tx, "t", fault="none")
        return row.task_state, row.fault

    assert await db.write(transaction) == ("painting", "none")


def test_the_table_can_be_printed():
    assert list(TOWER.table()) == [
        ("paint", "ACTIVE", "painting", "PAINTED"),
        ("shake", "ACTIVE, PAINTED", "shaking", "as it was"),
    ]
    assert PAINT.allowed("ACTIVE")
    assert not PAINT.allowed("ACTIVE", "shaking")
