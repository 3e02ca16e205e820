"""The quick ways through the session give what SQLAlchemy's own give, whatever the transaction did before."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, create_engine, func, inspect, select, update
from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row, add_now, ask, delete_with, load, load_one, rows_with
from pileus.kernel.db.session import Session

NOON = datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=UTC)


class Part(Row):
    __tablename__ = "test_parts"
    # The key is not first and has two columns, one of them under another name than its attribute.
    size: Mapped[int]
    owner: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column("contents", default=dict)
    number: Mapped[int] = mapped_column("no", primary_key=True)
    at: Mapped[datetime | None]


_OF_OWNER = select(Part).where(Part.owner == bindparam("owner")).order_by(Part.number)
_COUNT = select(func.count()).where(Part.owner == bindparam("owner"))
NAMES = "size", "owner", "data", "number", "at"


@pytest.fixture
def tx() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Row.metadata.create_all(engine, [Row.metadata.tables["test_parts"]])
    with Session(engine, expire_on_commit=False) as session:
        session.add_all(Part(owner="a", number=n, size=10 * n, data={"n": [n]}, at=NOON if n else None) for n in (2, 0))
        session.add(Part(owner="b", number=2, size=1, data={}))
        session.commit()
        session.expunge_all()
        yield session
    engine.dispose()


def facts(rows: list[Part]) -> list[list[Any]]:
    return [[getattr(row, name) for name in NAMES] for row in rows]


def test_the_same_rows_as_the_sessions_own_loader(tx: Session):
    ours = facts(load(tx, Part, _OF_OWNER, {"owner": "a"}))
    tx.expunge_all()
    assert ours == facts(list(tx.scalars(_OF_OWNER, {"owner": "a"})))
    assert ours == [[0, "a", {"n": [0]}, 0, None], [20, "a", {"n": [2]}, 2, NOON]]
    assert load(tx, Part, _OF_OWNER, {"owner": "nobody"}) == []
    assert load_one(tx, Part, _OF_OWNER, {"owner": "nobody"}) is None


def test_a_row_is_there_once_whichever_way_it_comes(tx: Session):
    first = load(tx, Part, _OF_OWNER, {"owner": "a"})
    assert list(tx.scalars(_OF_OWNER, {"owner": "a"})) == first
    assert load(tx, Part, _OF_OWNER, {"owner": "a"}) == first
    assert rows_with(tx, Part.size, [0, 20], Part.number) == first
    assert tx.get(Part, ("a", 2)) is first[1]
    assert all(row in tx for row in first)


def test_changes_are_written_and_seen(tx: Session):
    part = load(tx, Part, _OF_OWNER, {"owner": "b"})[0]
    part.size, part.at = 7, NOON
    assert [row.size for row in load(tx, Part, select(Part).where(Part.size == bindparam("size")), {"size": 7})] == [7]
    tx.add(Part(owner="b", number=3, size=0))
    assert ask(tx, _COUNT, {"owner": "b"}).scalar_one() == 2
    tx.commit()
    tx.expunge_all()
    assert facts(load(tx, Part, _OF_OWNER, {"owner": "b"}))[0] == [7, "b", {}, 2, NOON]


def test_a_row_keeps_what_the_transaction_did_to_it(tx: Session):
    part = load(tx, Part, _OF_OWNER, {"owner": "b"})[0]
    with tx.no_autoflush:
        part.size = 7
        assert load(tx, Part, _OF_OWNER, {"owner": "b"})[0].size == 7
        assert tx.is_modified(part)


def test_an_expired_row_is_read_anew(tx: Session):
    part = load(tx, Part, _OF_OWNER, {"owner": "b"})[0]
    tx.execute(update(Part).where(Part.owner == "b").values(size=8), execution_options={"synchronize_session": False})
    assert load(tx, Part, _OF_OWNER, {"owner": "b"})[0].size == 1  # as with the session's own loader
    tx.expire(part)
    assert load(tx, Part, _OF_OWNER, {"owner": "b"}) == [part]
    assert part.size == 8


def test_a_deleted_row_is_not_found(tx: Session):
    tx.delete(load(tx, Part, _OF_OWNER, {"owner": "b"})[0])
    assert load(tx, Part, _OF_OWNER, {"owner": "b"}) == []
    assert delete_with(tx, Part.owner, ["a", "b"]) == 2
    assert load(tx, Part, _OF_OWNER, {"owner": "a"}) == []


def test_rows_of_a_closed_session_are_nobodys(tx: Session):
    part = load(tx, Part, _OF_OWNER, {"owner": "b"})[0]
    tx.close()
    assert inspect(part).detached
    assert part.size == 1
    assert load(tx, Part, _OF_OWNER, {"owner": "b"})[0] is not part


def test_the_connection_is_that_of_the_transaction(tx: Session):
    first = tx.connection()
    assert tx.connection() is first
    with tx.begin_nested():
        assert tx.connection() is first
    tx.commit()
    assert tx.connection().in_transaction()
    tx.rollback()
    tx.close()
    assert tx.connection().in_transaction()


def test_a_transaction_that_failed_hands_out_nothing(tx: Session):
    tx.connection()
    tx.add(Part(owner="b", number=2, size=1))
    with pytest.raises(IntegrityError):
        tx.flush()
    with pytest.raises(PendingRollbackError):
        tx.connection()
    tx.rollback()
    assert tx.connection().in_transaction()


def test_a_statement_of_the_session_own_kind_is_taken_as_it_is(tx: Session):
    statement: Select[Any] = select(Part).order_by(Part.owner, Part.number).limit(1)
    assert load_one(tx, Part, statement) is tx.get(Part, ("a", 0))


def test_new_rows_are_there_at_once_with_their_defaults(tx: Session):
    one, two = Part(owner="c", number=1, size=5), Part(owner="c", number=2, size=6, data={"x": 1}, at=NOON)
    add_now(tx, one, two)

    assert (one.data, one.at) == ({}, None)
    assert inspect(one).persistent
    assert not tx.dirty
    assert not tx.new
    assert tx.get(Part, ("c", 1)) is one
    one.size = 9
    tx.commit()
    tx.expunge_all()
    assert facts(load(tx, Part, _OF_OWNER, {"owner": "c"})) == [[9, "c", {}, 1, None], [6, "c", {"x": 1}, 2, NOON]]


def test_new_rows_come_after_what_was_not_written_yet(tx: Session):
    tx.delete(load(tx, Part, _OF_OWNER, {"owner": "b"})[0])
    add_now(tx, Part(owner="b", number=2, size=2))
    add_now(tx)
    assert [row.size for row in load(tx, Part, _OF_OWNER, {"owner": "b"})] == [2]


def test_a_new_row_whose_key_is_taken_or_unknown_is_refused(tx: Session):
    with pytest.raises(IntegrityError):
        add_now(tx, Part(owner="b", number=2, size=2))
    with pytest.raises(TypeError, match="no key"):
        add_now(tx, Part(owner="b", size=2))


def test_new_rows_are_gone_with_their_transaction(tx: Session):
    row = Part(owner="c", number=1, size=5)
    add_now(tx, row)
    tx.rollback()
    assert load(tx, Part, _OF_OWNER, {"owner": "c"}) == []
