"""A unit of work is a plain function; these are the promises of the engines that run it."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row, Tx, after_commit, open_database


class Thing(Row):
    __tablename__ = "test_things"
    id: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


def add(tx: Tx, id: str, fail: bool = False) -> str:
    tx.add(Thing(id=id))
    tx.flush()
    if fail:
        raise ValueError(id)
    return id


def count(tx: Tx) -> int:
    return tx.scalar(select(func.count()).select_from(Thing)) or 0


@pytest.fixture(params=["thread", "inline", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def db(request, tmp_path: Path):
    if request.param == "postgresql":
        database = open_database(request.getfixturevalue("postgresql_url"))
    else:
        database = open_database(f"sqlite:///{tmp_path}/p.db", inline=request.param == "inline")
    await database.create_schema()
    yield database
    await database.close()


async def test_one_failing_request_does_not_touch_the_others_in_its_batch(db):
    outcomes = await asyncio.gather(*(db.write(add, str(n), n % 3 == 0) for n in range(30)), return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [n % 3 == 0 for n in range(30)]
    assert await db.read(count) == 20


async def test_a_violated_constraint_is_that_requests_own(db):
    outcomes = await asyncio.gather(*(db.write(add, str(n // 2)) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, IntegrityError) for outcome in outcomes) == 10
    assert await db.read(count) == 10


async def test_callbacks_run_only_after_a_commit(db):
    seen: list[str] = []

    def work(tx: Tx, id: str, fail: bool) -> None:
        after_commit(tx, lambda: seen.append(id))
        add(tx, id, fail)

    await db.write(work, "kept", False)
    with pytest.raises(ValueError, match="lost"):
        await db.write(work, "lost", True)
    assert seen == ["kept"]


async def test_a_read_changes_nothing(db):
    with contextlib.suppress(OperationalError):
        await db.read(add, "x")
    assert await db.read(count) == 0


def double_check(tx: Tx, id: str) -> None:
    if count(tx) == 0:
        add(tx, id)


async def test_of_many_that_check_and_then_add_one_wins(db):
    await asyncio.gather(*(db.write(double_check, str(n)) for n in range(8)))
    assert await db.read(count) == 1


async def test_data_survives_a_new_engine(tmp_path):
    first = open_database(f"sqlite:///{tmp_path}/p.db")
    await first.create_schema()
    await first.write(add, "x")
    await first.close()
    second = open_database(f"sqlite:///{tmp_path}/p.db")
    assert await second.read(count) == 1
    await second.close()
