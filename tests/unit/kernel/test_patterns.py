"""Callers' regular expressions and sort keys: whatever they are, a request does bounded work."""

import time
from pathlib import Path

import pytest
from sqlalchemy import event, literal, select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row, Tx, open_database
from pileus.kernel.errors import Invalid
from pileus.kernel.patterns import LONGEST, pattern
from pileus.kernel.rest import Sieve, page, sort_order
from pileus.kernel.rest.paging import MAX_SORT_KEYS


class Named(Row):
    __tablename__ = "test_named"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
async def db(tmp_path: Path):
    database = open_database(f"sqlite:///{tmp_path}/p.db")
    await database.create_schema()
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("given", "text", "found"),
    [
        ("^web-[0-9]+$", "web-12", True),
        ("^web-[0-9]+$", "my-web-12", False),
        ("WEB", "my-web", True),
        ("ä.", "xÄy", True),
    ],
)
def test_a_pattern_is_found_anywhere_and_regards_no_case(given, text, found):
    assert pattern(given, "name").is_in(text) is found


def test_an_anchored_pattern_begins_where_the_text_does():
    wanted = pattern("10.0|10.1", "ip", anchored=True)
    assert wanted.is_in("10.1.0.1")
    assert not wanted.is_in("192.10.1.1")


@pytest.mark.parametrize("given", ["[", "a)|(b", r"(a)\1", "(?=a)b", r"\pL{500}", "(.?){900}", "a" * (LONGEST + 1)])
@pytest.mark.parametrize("anchored", [False, True])
def test_a_pattern_that_cannot_be_run_is_refused_with_its_parameter(given, anchored):
    with pytest.raises(Invalid, match="query parameters name"):
        pattern(given, "name", anchored=anchored)


async def test_the_database_matches_in_linear_time_too(db):
    def match(tx: Tx) -> bool | None:
        return tx.scalar(select(literal("a" * 60 + "!").regexp_match("(a+)+$")))

    started = time.process_time()
    assert not await db.read(match)
    assert time.process_time() - started < 1


def add_names(tx: Tx, names: list[str]) -> None:
    tx.add_all(Named(id=f"{at:04}", name=name) for at, name in enumerate(names))


async def test_a_sieve_pages_as_a_filter_of_the_database_does(db):
    await db.write(add_names, [f"{'web' if at % 3 else 'db'}-{at}" for at in range(30)])

    def pages(tx: Tx) -> list[list[str]]:
        found, marker = [], None
        while True:
            sieve = Sieve()
            sieve.add(Named.name, lambda name: (name,), pattern("^db-", "name"))
            order = [(Named.id, False)]
            rows, marker = page(tx, select(Named), Named, order=order, limit=4, marker=marker, plain=True, sieve=sieve)
            found.append([row.name for row in rows])
            if marker is None:
                return found

    assert await db.read(pages) == [
        ["db-0", "db-3", "db-6", "db-9"],
        ["db-12", "db-15", "db-18", "db-21"],
        ["db-24", "db-27"],
    ]


async def test_a_costly_pattern_ends_the_page_early(db, monkeypatch):
    await db.write(add_names, ["b" * 20] + ["a" * 20] * 19)
    monkeypatch.setattr(Sieve, "STEPS", 10 * Sieve.ROW)

    def first(tx: Tx, wanted: str, marker: str | None = None) -> tuple[list[str], str | None]:
        sieve = Sieve()
        sieve.add(Named.name, lambda name: (name,), pattern(wanted, "name"))
        rows, marker = page(tx, select(Named), Named, order=[(Named.id, False)], marker=marker, sieve=sieve)
        return [row.id for row in rows], marker

    found, marker = await db.read(first, "^b")
    assert found == ["0000"]
    assert marker is not None
    assert "0000" < marker < "0010"
    with pytest.raises(Invalid, match="narrow the list"):
        await db.read(first, "^b", marker)


async def test_a_sort_key_counts_once(db):
    await db.write(add_names, ["b", "a", "b", "a"])
    columns = {"name": Named.name, "title": Named.name, "id": Named.id}
    assert sort_order(["name", "title", "name", "id"], ["asc", "desc"], columns) == [
        (Named.name, False),
        (Named.id, True),
    ]


async def test_the_statement_of_a_page_grows_with_the_sort_keys_and_no_faster(db):
    await db.write(add_names, ["b", "a"])

    def size(tx: Tx, keys: int) -> int:
        lengths: list[int] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            lengths.append(len(statement))

        event.listen(tx.get_bind(), "before_cursor_execute", note)
        order = [(Named.name.concat(str(at)), bool(at % 2)) for at in range(keys)]
        page(tx, select(Named), Named, order=order, marker="0000")
        event.remove(tx.get_bind(), "before_cursor_execute", note)
        return max(lengths)

    two, six, ten = [await db.read(size, keys) for keys in (2, 6, 10)]
    assert ten - six < 1.2 * (six - two)


def test_more_sort_keys_than_a_statement_takes_are_refused():
    columns = {f"k{at}": Named.name.concat(str(at)) for at in range(MAX_SORT_KEYS + 1)}
    assert len(sort_order(list(columns)[:-1] * 50, [], columns)) == MAX_SORT_KEYS
    with pytest.raises(Invalid, match="at most 10 keys"):
        sort_order(list(columns), [], columns)
