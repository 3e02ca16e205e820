"""Many who want the last piece at once: nobody gets what is not there, on every engine."""

import asyncio

import pytest

from pileus.kernel import ids
from pileus.kernel.db import Database, open_database
from pileus.kernel.errors import Conflict
from pileus.services.placement import public
from pileus.services.placement.public import Stock


async def race(database: Database) -> None:
    host = ids.new_id()
    await database.write(public.ensure_provider, host, "host", {"VCPU": Stock(4)})

    async def take() -> bool:
        try:
            await database.write(public.claim, ids.new_id(), {host: {"VCPU": 1}}, project_id="p", user_id="u")
        except Conflict:
            return False
        return True

    outcomes = await asyncio.gather(*(take() for _ in range(8)))
    assert sorted(outcomes) == [False] * 4 + [True] * 4
    assert await database.read(public.usage, host) == {"VCPU": 4}


@pytest.fixture
async def embedded(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/test.db")
    await database.create_schema()
    yield database
    await database.close()


async def test_nobody_overbooks_on_sqlite(embedded):
    await race(embedded)


async def test_nobody_overbooks_on_a_server(server_url):
    database = open_database(server_url)
    await database.create_schema()
    try:
        await race(database)
    finally:
        await database.close()
