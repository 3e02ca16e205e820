"""Listings follow the order of bytes, roll up at delimiters and cost few statements."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from pileus.kernel.db import Row, Tx
from pileus.services.object_store import store
from pileus.services.object_store.model import AccountRow, ContainerRow, ObjectRow
from pileus.services.object_store.store import Listing, Subdir

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def tx() -> Iterator[Tx]:
    engine = create_engine("sqlite://")
    Row.metadata.create_all(engine)
    with Session(engine) as tx:
        yield tx


@pytest.fixture
def container(tx: Tx) -> ContainerRow:
    return store.insert_container(tx, store.ensure_account(tx, "AUTH_a", NOW), "box", NOW)


def add(tx: Tx, container: ContainerRow, *names: str, size: int = 1, segments: list | None = None) -> None:
    tx.add_all(
        ObjectRow(
            container_id=container.id,
            name=name,
            size=size,
            own_bytes=0 if segments else size,
            etag="e",
            content_type="t",
            updated_at=NOW,
            headers={},
            blob=None,
            segments=segments,
        )
        for name in names
    )
    tx.flush()


def names(tx: Tx, container: ContainerRow, limit: int = 100, **options) -> list[str]:
    return [row.name for row in store.list_objects(tx, container, Listing(limit, **options))]


def test_names_come_in_the_order_of_utf8_bytes(tx: Tx, container: ContainerRow) -> None:
    unsorted = ["b", "a", "Z", "é", "z", "\U0001f600", "\uff5e"]
    add(tx, container, *unsorted)
    assert names(tx, container) == sorted(unsorted, key=str.encode)
    assert names(tx, container, reverse=True) == sorted(unsorted, key=str.encode, reverse=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"marker": "b"}, ["c", "d"]),
        ({"end_marker": "c"}, ["a", "b"]),
        ({"marker": "a", "end_marker": "d"}, ["b", "c"]),
        ({"limit": 2}, ["a", "b"]),
        ({"limit": 0}, []),
        ({"reverse": True, "marker": "c"}, ["b", "a"]),
        ({"reverse": True, "end_marker": "b"}, ["d", "c"]),
        ({"prefix": "b"}, ["b"]),
        ({"prefix": "x"}, []),
    ],
)
def test_markers_and_limits(tx: Tx, container: ContainerRow, options: dict, expected: list[str]) -> None:
    add(tx, container, "a", "b", "c", "d")
    assert names(tx, container, **options) == expected


TREE = ["a", "photos/2025/1.jpg", "photos/2025/2.jpg", "photos/2026/1.jpg", "photos/me.jpg", "photos/", "z"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"delimiter": "/"}, ["a", "photos/", "z"]),
        ({"delimiter": "/", "reverse": True}, ["z", "photos/", "a"]),
        ({"delimiter": "/", "marker": "photos/"}, ["z"]),
        ({"delimiter": "/", "marker": "a", "limit": 1}, ["photos/"]),
        ({"delimiter": "/", "prefix": "photos/"}, ["photos/", "photos/2025/", "photos/2026/", "photos/me.jpg"]),
        ({"delimiter": "/", "prefix": "photos/2025/"}, ["photos/2025/1.jpg", "photos/2025/2.jpg"]),
        ({"delimiter": "/", "prefix": "photos/", "marker": "photos/2025/"}, ["photos/2026/", "photos/me.jpg"]),
        ({"delimiter": "2025/"}, ["a", "photos/", "photos/2025/", "photos/2026/1.jpg", "photos/me.jpg", "z"]),
        ({"prefix": "photos/", "path": "photos/", "delimiter": "/"}, ["photos/me.jpg"]),
    ],
)
def test_delimiters_roll_up(tx: Tx, container: ContainerRow, options: dict, expected: list[str]) -> None:
    add(tx, container, *TREE)
    assert names(tx, container, **options) == expected


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_pages_join_to_the_whole(tx: Tx, container: ContainerRow, page: int, reverse: bool) -> None:
    add(tx, container, *[f"{folder}/{i}" for folder in "abc" for i in range(40)], "b", "c.txt")
    whole = names(tx, container, delimiter="/", reverse=reverse)
    paged: list[str] = []
    while part := names(tx, container, page, delimiter="/", reverse=reverse, marker=paged[-1] if paged else ""):
        paged += part
    assert paged == whole
    assert sorted(whole) == ["a/", "b", "b/", "c.txt", "c/"]


def test_rolling_up_takes_few_statements(tx: Tx, container: ContainerRow) -> None:
    add(tx, container, *[f"small{i:03}/x" for i in range(500)], *[f"big/{i:05}" for i in range(3000)])
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(tx.get_bind(), "before_cursor_execute", count)
    assert len(names(tx, container, 10000, delimiter="/")) == 501
    assert statements <= 4


def test_usage_counts_large_objects_once(tx: Tx, container: ContainerRow) -> None:
    add(tx, container, "seg1", "seg2", size=10)
    add(tx, container, "whole", size=20, segments=[{"path": "/box/seg1"}, {"path": "/box/seg2"}])
    assert store.container_usage(tx, container) == store.Usage(3, 20)
    account = tx.get_one(AccountRow, container.account_id)
    assert store.account_usage(tx, account) == store.Usage(3, 20, 1)
    [(listed, usage)] = store.list_containers(tx, account, Listing(10))
    assert (listed.name, usage) == ("box", store.Usage(3, 20))


def test_containers_roll_up_too(tx: Tx) -> None:
    account = store.ensure_account(tx, "AUTH_a", NOW)
    for name in ("a-1", "a-2", "b"):
        store.insert_container(tx, account, name, NOW)
    found = store.list_containers(tx, account, Listing(10, delimiter="-"))
    assert found[0] == Subdir("a-")
    assert not isinstance(found[1], Subdir)
    assert found[1][0].name == "b"


def test_deleting_an_account_discards_its_bytes(tx: Tx, container: ContainerRow) -> None:
    add(tx, container, "x")
    store.find(tx, "AUTH_a", "box", "x").object.blob = "hash/version"
    tx.flush()
    account = tx.get_one(AccountRow, container.account_id)
    assert [store.delete_some_of_account(tx, account, 100) for _ in range(3)] == [False, False, True]
    assert store.list_discards(tx, 10) == ["hash/version"]
    assert store.find(tx, "AUTH_a", "box", "x") == (None, None, None)


@pytest.mark.parametrize(
    ("prefix", "after"), [("a", "b"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("\ud7ff", "\ue000")]
)
def test_successor(prefix: str, after: str | None) -> None:
    assert store.successor(prefix) == after
