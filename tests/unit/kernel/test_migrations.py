"""The database's schema: made, migrated forward and back with its data, whatever happens in between."""

import asyncio
import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from pileus.kernel.db import Row, migrate, open_database, schema
from pileus.kernel.service import find_services

from .migration_process import run

REVISIONS = Path(__file__).parent / "revisions"
PEOPLE = [("1", "Ada King Lovelace"), ("2", "Björn Borg"), ("3", "Plato")]
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([run.__module__])


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def new_url(request, tmp_path: Path):
    """Return a function that returns the URL of a new database on one engine."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.db"
    module = sys.modules[f"tests.{request.param}"]
    server = request.getfixturevalue(f"{request.param}_server")
    prefix = f"m{abs(hash(tmp_path))}"
    return lambda name: module.create_database(server, f"{prefix}_{name}")


async def on(url: str, work: Any) -> Any:
    database = open_database(url)
    try:
        return await database.change_schema(work)
    finally:
        await database.close()


async def bring_up(url: str) -> None:
    database = open_database(url)
    await schema.bring_up(database, REVISIONS)
    await database.close()


def shape(connection: Connection) -> dict[str, Any]:
    """Return all that the engine knows of every table."""
    look = inspect(connection)
    return {
        name: {
            "columns": {c["name"]: (str(c["type"]), c["nullable"]) for c in look.get_columns(name)},
            "key": look.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted((str(i["name"]), i["column_names"], i["unique"]) for i in look.get_indexes(name)),
            "unique": sorted(sorted(u["column_names"]) for u in look.get_unique_constraints(name)),
            "foreign": sorted((f["constrained_columns"], f["referred_table"]) for f in look.get_foreign_keys(name)),
        }
        for name in look.get_table_names()
    }


def copied_chain(folder: Path, count: int) -> Path:
    """Return a folder with the first ``count`` revisions: an older version of the program."""
    older = folder / f"first{count}"
    older.mkdir(exist_ok=True)
    for path in sorted(REVISIONS.glob("0*.py"))[:count]:
        shutil.copy(path, older)
    return older


def populate(connection: Connection, folder: Path) -> None:
    migrate.upgrade(connection, folder, "0001_first")
    for id, name in PEOPLE:
        connection.execute(text("insert into test_people values (:id, :name, null)"), {"id": id, "name": name})
        connection.execute(text("insert into test_pets values (:id, :owner)"), {"id": int(id), "owner": id})


def people(connection: Connection) -> tuple[Any, ...]:
    columns = [column["name"] for column in inspect(connection).get_columns("test_people")]
    rows = connection.execute(text("select * from test_people order by id")).mappings().all()
    names = sorted({"full_name", "first_name", "last_name"} & set(columns))
    pets = connection.execute(text("select count(*) from test_pets")).scalar()
    return schema.stored(connection), [tuple(row[name] for name in names) for row in rows], pets


FIRST = ("0001_first", [("Ada King Lovelace",), ("Björn Borg",), ("Plato",)], 3)
BACK = ("0001_first", [("Ada King Lovelace",), ("Björn Borg",), (" Plato",)], 3)
LAST = ("0003_names_only_apart", [("Ada King", "Lovelace"), ("Björn", "Borg"), ("", "Plato")], 3)


def live(*arguments: Any) -> int | None:
    process = processes.Process(target=run, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


async def test_a_chain_ends_in_what_the_models_say(new_url, tmp_path):
    find_services()
    made = open_database(new_url("made"))
    ours = schema.tables()
    await made.change_schema(lambda connection: Row.metadata.create_all(connection, ours))
    wanted = await made.change_schema(shape)
    await made.close()
    if not schema.chain():  # before the first release: what would be written for it
        migrate.write("First release", tmp_path)
    folder = schema.FOLDER if schema.chain() else tmp_path
    url = new_url("migrated")
    await on(url, lambda connection: migrate.upgrade(connection, folder))
    found = await on(url, shape)
    del found[schema.TABLE]
    assert found == wanted, (
        "the revisions in src/pileus/migrations do not end in what the models say: run `pileus db revision TITLE` and "
        "commit what it writes"
    )


async def test_before_the_first_release_a_database_of_other_models_is_left_alone(new_url, tmp_path):
    empty = tmp_path / "none"
    empty.mkdir()
    url = new_url("other")
    await on(url, lambda connection: schema.create(connection, "unreleased_0123456789abcdef"))
    database = open_database(url)
    with pytest.raises(schema.WrongSchema, match="another development version of Pileus \\(unreleased_0123"):
        await schema.bring_up(database, empty)
    await database.close()


async def test_every_process_gives_the_models_the_same_name():
    programs = ["find_services(['identity'])", "import pileus.kernel.runtime", "import pileus.cli.server"]
    names = set()
    for program in programs:
        words = f"from pileus.kernel.service import find_services; {program}; from pileus.kernel.db import schema"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"{words}; print(schema.digest())", stdout=asyncio.subprocess.PIPE
        )
        names.add((await process.communicate())[0])
    assert len(names) == 1
    assert names != {b""}


async def test_data_goes_forward_and_back(new_url):
    url = new_url("data")
    await on(url, lambda connection: populate(connection, REVISIONS))
    before = await on(url, shape)
    assert await on(url, people) == FIRST
    assert len(await on(url, lambda connection: migrate.upgrade(connection, REVISIONS))) == 2
    assert await on(url, people) == LAST
    back = await on(url, lambda connection: migrate.downgrade(connection, "0001_first", REVISIONS))
    assert back == ["0003_names_only_apart", "0002_names_apart"]
    assert await on(url, people) == BACK
    after = await on(url, shape)
    assert after["test_people"] == before["test_people"]
    assert after.keys() == before.keys()


@pytest.mark.parametrize("direction", ["forward", "back"])
async def test_killed_before_any_change_it_is_finished_by_the_next(new_url, direction):
    back_to = "" if direction == "forward" else "0001_first"
    # Where the engine takes back a transaction every moment is like every other; MariaDB has to be met at each.
    step = 1 if new_url("first").startswith("mariadb") else 6
    kill_at = 0
    for kill_at in range(1, 100, step):
        url = new_url(f"k{kill_at}")
        await on(url, lambda connection: populate(connection, REVISIONS))
        if back_to:
            await on(url, lambda connection: migrate.upgrade(connection, REVISIONS))
        code = await asyncio.to_thread(live, url, str(REVISIONS), kill_at, back_to)
        assert code in (-9, 0)
        if back_to:
            await on(url, lambda connection: migrate.downgrade(connection, back_to, REVISIONS))
        else:
            await bring_up(url)
        assert await on(url, people) == (BACK if back_to else LAST), f"killed before change {kill_at}"
        if code == 0:
            break
    assert 8 < kill_at < 100


async def test_a_new_database_killed_while_it_is_made_is_made_by_the_next(new_url):
    find_services()
    for kill_at in (2, 4, 40, 150):
        url = new_url(f"n{kill_at}")
        assert await asyncio.to_thread(live, url, str(REVISIONS), kill_at) == -9
        await bring_up(url)
        assert await on(url, schema.stored) == "0003_names_only_apart"
        assert {"events", "operations"} <= set(await on(url, lambda c: inspect(c).get_table_names()))


@pytest.mark.parametrize("fresh", [True, False])
async def test_of_many_that_start_at_once_one_migrates(new_url, fresh, tmp_path):
    url = new_url("many")
    if not fresh:
        await on(url, lambda connection: populate(connection, REVISIONS))
    at = time.time() + 1.5
    started = [processes.Process(target=run, args=(url, str(REVISIONS), 0, "", at)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        await asyncio.to_thread(process.join, 60)
    assert [process.exitcode for process in started] == [0] * 4
    assert await on(url, schema.stored) == "0003_names_only_apart"
    if not fresh:
        assert await on(url, people) == LAST


async def test_a_database_of_a_newer_program_is_left_alone(new_url, tmp_path):
    url = new_url("newer")
    await on(url, lambda connection: populate(connection, REVISIONS))
    await on(url, lambda connection: migrate.upgrade(connection, REVISIONS))
    database = open_database(url)
    with pytest.raises(schema.WrongSchema, match="0003_names_only_apart, which this program does not know"):
        await schema.bring_up(database, copied_chain(tmp_path, 2))
    await database.close()
    assert await on(url, people) == LAST


async def test_a_start_with_nothing_to_migrate_asks_once_and_imports_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/p.db"
    await on(url, lambda connection: schema.create(connection, schema.head()))
    program = (
        "import asyncio, sys; from pileus.kernel.db import open_database, schema\n"
        f"asyncio.run(schema.bring_up(open_database({url!r}))); sys.exit('alembic' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0
