"""Every list of every service: a marker that is another project's is answered as one of nothing."""

import uuid

import pytest
from sqlalchemy import update

from pileus.kernel.db import Row, Tx
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login
from tests.everywhere import put_everywhere, same_but_for, ways

THERE, NOWHERE = "5eed0000-0000-4000-8000-00000000000a", "5eed0000-0000-4000-8000-00000000000b"
MARKERS = ("marker={id}", "marker={id}&all_tenants=1", "sort_key=id&marker={id}", "page_reverse=1&marker={id}")


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path) as runtime:
        yield runtime


def _hide(tx: Tx) -> None:
    """Make private what may be public, in whatever words its service says so."""
    for table in Row.metadata.sorted_tables:
        for name, value in (("is_public", False), ("shared", False), ("visibility", "private")):
            if name in table.columns:
                tx.execute(update(table).where(table.columns[name].is_not(None)).values({name: value}))


async def test_a_foreign_marker_is_answered_like_one_of_nothing(cloud):
    await cloud.reconcilers.stop()
    tables = await cloud.db.write(put_everywhere, THERE, uuid.uuid4().hex, uuid.uuid4().hex)
    await cloud.db.write(_hide)
    lists = [way for way in ways() if way.method == "GET" and not way.names_something]
    told_apart, took = [], 0
    async with client(cloud, await login(cloud, "demo")) as http:
        for way in lists:
            for query in MARKERS:
                answers = []
                for id in (THERE, NOWHERE):
                    path = f"{way.template}?{query.format(id=id)}"
                    answers.append(await http.get(path, headers=way.headers))
                there, nowhere = answers
                took += there.status_code in (400, 404)
                alike = same_but_for(there.content, nowhere.content, (THERE, NOWHERE))
                if there.status_code != nowhere.status_code or not alike:
                    told_apart.append(f"GET {way.template}?{query}: {there.text[:200]} but {nowhere.text[:200]}")
    assert len(tables) > 50
    assert took > 60
    assert told_apart == []
