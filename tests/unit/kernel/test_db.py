"""A unit of work is a plain function; these are the promises of the engines that run it."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, func, insert, null, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.util import await_only

from pileus.kernel.db import ByteString, Row, Tx, after_commit, open_database
from pileus.kernel.db.violations import violation_of
from pileus.kernel.errors import Invalid


class Thing(Row):
    __tablename__ = "test_things"
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    at: Mapped[datetime | None]
    ordered: Mapped[str | None] = mapped_column(ByteString(1024), unique=True)


def add(tx: Tx, id: str, fail: bool = False) -> str:
    tx.add(Thing(id=id))
    tx.flush()
    if fail:
        raise ValueError(id)
    return id


def count(tx: Tx) -> int:
    return tx.scalar(select(func.count()).select_from(Thing)) or 0


@pytest.fixture(
    params=[
        "thread",
        "inline",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
async def db(request, tmp_path: Path):
    if request.param in ("postgresql", "mariadb"):
        database = open_database(request.getfixturevalue(f"{request.param}_url"))
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


def add_next(tx: Tx) -> str:
    return add(tx, f"{count(tx):04}")


async def test_a_key_that_another_took_at_the_same_moment_is_chosen_again(server_url):
    """An engine that finds no other sign of the collision only says that the key is there."""
    database = open_database(server_url)
    await database.create_schema()
    seen: list[int] = []

    def overtaken(tx: Tx) -> str:
        seen.append(tx.scalar(select(1)) or 0)  # from here on its snapshot is as old as this
        if len(seen) == 1:
            await_only(database.write(add, "0000"))
        return add_next(tx)

    try:
        assert await database.write(overtaken) == "0001"
        assert await database.read(count) == 2
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("work", "kind", "columns"),
    [
        (lambda tx: [add(tx, "a"), tx.expunge_all(), add(tx, "a")], "unique", {"id"}),
        (lambda tx: tx.execute(insert(Thing).values(id="a", data=null())), "null", {"data"}),
    ],
)
async def test_which_columns_a_constraint_names(db, work, kind, columns):
    with pytest.raises(IntegrityError) as failure:
        await db.write(work)
    violation = violation_of(failure.value)
    assert violation.kind == kind
    assert set(violation.columns) <= columns
    assert violation.columns or kind == "unique", "MariaDB names the key, not its columns"


ALIKE = ["a", "A", "a ", "\u00e4", "a\u0308", "\u00df", "ss", "\U0001f327", "\U0001f328"]
"""Texts that some collation or other takes for the same."""


async def test_text_is_compared_byte_by_byte(db):
    for text in ALIKE:
        await db.write(lambda tx, text=text: tx.add(Thing(id=text, ordered=text)))
    for text in ALIKE:
        for column in (Thing.id, Thing.ordered):
            query = select(Thing.id).where(column == text)
            assert await db.read(lambda tx, query=query: list(tx.scalars(query))) == [text]
    names = await db.read(lambda tx: list(tx.scalars(select(Thing.ordered).order_by(Thing.ordered))))
    assert names == sorted(ALIKE, key=str.encode)


async def test_moments_keep_their_microseconds_and_json_its_size(db):
    moment = datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC)
    data = {"text": "\U0001f327\x01'\\" * 20_000, "numbers": [2**53, 0.1], "none": None}
    await db.write(lambda tx: tx.add(Thing(id="x", at=moment, data=data)))
    found = await db.read(lambda tx: tx.get_one(Thing, "x"))
    assert (found.at, found.data) == (moment, data)
    later = select(Thing.id).where(Thing.at > moment - timedelta(microseconds=1), Thing.at < moment)
    assert await db.read(lambda tx: list(tx.scalars(later))) == []


async def test_text_that_is_too_long_is_refused_not_cut(db):
    if db.__class__.__name__ == "SQLite":
        pytest.skip("SQLite keeps texts of any length")
    with pytest.raises(Invalid, match="too long"):
        await db.write(add, "x" * 101)
    assert await db.read(count) == 0


async def test_text_that_an_engine_cannot_hold_is_refused_in_words(db):
    if db.__class__.__name__ != "Networked" or db.kind.driver != "postgresql+psycopg":
        await db.write(add, "a\x00b")
        assert await db.read(lambda tx: tx.get(Thing, "a\x00b")) is not None
        return
    with pytest.raises(Invalid, match="NUL"):
        await db.write(add, "a\x00b")
    assert await db.read(count) == 0


async def test_a_read_sees_one_moment(db):
    """Within a read nothing changes, however many commit meanwhile."""
    await db.write(add, "0")

    async def grow() -> None:
        for n in range(1, 40):
            await db.write(add, str(n))

    def twice(tx: Tx) -> tuple[int, int]:
        first = count(tx)
        time.sleep(0.002)
        tx.expire_all()
        return first, len(tx.scalars(select(Thing)).all())

    async def look() -> list[tuple[int, int]]:
        return [await db.read(twice) for _ in range(20)]

    _, *seen = await asyncio.gather(grow(), look(), look())
    assert all(first == second for pairs in seen for first, second in pairs)


async def test_of_two_that_each_saw_the_other_missing_one_is_run_again(db):
    """Write skew: two transactions read both rows and each removes one of them, as long as both are there."""
    for round in range(5):
        a, b = f"a{round}", f"b{round}"
        await db.write(add, a)
        await db.write(add, b)

        def leave(tx: Tx, id: str, names: tuple[str, str] = (a, b)) -> None:
            there = tx.scalars(select(Thing).where(Thing.id.in_(names))).all()
            if len(there) == 2:
                tx.delete(next(thing for thing in there if thing.id == id))

        await asyncio.gather(db.write(leave, a), db.write(leave, b))
        assert await db.read(count) == round + 1


async def test_data_survives_a_new_engine(tmp_path):
    first = open_database(f"sqlite:///{tmp_path}/p.db")
    await first.create_schema()
    await first.write(add, "x")
    await first.close()
    second = open_database(f"sqlite:///{tmp_path}/p.db")
    assert await second.read(count) == 1
    await second.close()
