"""How contents are sealed, and how keys are rotated: by whom it is interrupted it goes on."""

import asyncio

import pytest
from sqlalchemy import select

from pileus.cli import key_manager
from pileus.cli.main import parser
from pileus.cli.state import Cloud, State
from pileus.kernel.config import Configuration
from pileus.kernel.errors import Unavailable
from pileus.kernel.testing import running
from pileus.services.key_manager import public
from pileus.services.key_manager.drivers.simple_crypto import SimpleCrypto
from pileus.services.key_manager.model import ProjectKey, Secret
from pileus.services.key_manager.service import SERVICE
from pileus.services.key_manager.store import keys
from tests.api.object_store.conftest import TOKENS


@pytest.fixture
def driver(tmp_path) -> SimpleCrypto:
    return SimpleCrypto(Configuration(tmp_path))


def test_what_is_sealed_opens_only_where_it_belongs(driver, tmp_path):
    key = driver.make_key(b"p1")
    sealed = driver.seal(key, b"p1", b"hunter2", b"secret 1")
    assert b"hunter2" not in sealed
    assert driver.open(key, b"p1", sealed, b"secret 1") == b"hunter2"
    assert driver.seal(key, b"p1", b"hunter2", b"secret 1") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    wrong = ((b"p2", sealed, b"secret 1"), (b"p1", sealed, b"another"), (b"p1", changed, b"secret 1"))
    for project, content, secret in wrong:
        with pytest.raises(Unavailable, match="damaged or was moved"):
            driver.open(key, project, content, secret)


def test_master_keys_are_the_clouds_users_alone(driver, tmp_path):
    folder = tmp_path / "key_manager" / "master-keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {len(path.read_bytes()) for path in folder.iterdir()} == {32}


def test_a_new_master_key_seals_project_keys_anew(driver, tmp_path):
    key = driver.make_key(b"p1")
    sealed = driver.seal(key, b"p1", b"hunter2", b"s")
    assert driver.reseal_key(key, b"p1") is None
    SimpleCrypto(Configuration(tmp_path)).rotate_master_key()  # another process
    anew = driver.reseal_key(key, b"p1")
    assert anew is not None
    assert driver.reseal_key(anew, b"p1") is None
    assert driver.open(anew, b"p1", sealed, b"s") == driver.open(key, b"p1", sealed, b"s") == b"hunter2"
    for path in (tmp_path / "key_manager" / "master-keys").iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match="restore it from a backup"):
        SimpleCrypto(Configuration(tmp_path)).open(anew, b"p1", sealed, b"s")


def fill(tx, count: int) -> None:
    for number in range(count):
        row = Secret(id=f"s{number:03}", project_id=f"p{number % 2}")
        tx.add(row)
        tx.flush()
        keys.keep_content(tx, row, f"content {number}".encode(), "text/plain")


def state(tx) -> tuple[set[bytes], int, int]:
    rows = tx.scalars(select(Secret)).all()
    contents = {keys.content_of(tx, row) for row in rows}
    known = tx.scalars(select(ProjectKey)).all()
    return contents, len(known), len({row.key_id for row in rows} & {key.id for key in known if key.active})


async def test_rotation_goes_on_where_it_was_interrupted(tmp_path):
    expected = {f"content {number}".encode() for number in range(keys.CHUNK + 10)}
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        await runtime.reconcilers.stop()
        await runtime.db.write(fill, len(expected))
        assert await runtime.db.read(state) == (expected, 2, 2)
        public.rotate_master_key(runtime)
        assert await runtime.db.write(public.rotate_project_keys, runtime) == 2
        assert await runtime.db.write(keys.reseal_some) == keys.CHUNK
        contents, known, _ = await runtime.db.read(state)
        assert (contents, known) == (expected, 4)
        assert await runtime.db.write(keys.forget_keys) == 0  # both old keys still seal something
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:  # killed in the middle; its reconciler goes on
        for _ in range(300):
            if (await runtime.db.read(state))[1] == 2:
                break
            await asyncio.sleep(0.1)
        assert await runtime.db.read(state) == (expected, 2, 2)


async def test_one_projects_keys_are_rotated_alone(tmp_path):
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        await runtime.reconcilers.stop()
        await runtime.db.write(fill, 4)
        assert await runtime.db.write(public.rotate_project_keys, runtime, "p1") == 1
        assert await runtime.db.write(keys.reseal_some) == 2
        assert await runtime.db.write(keys.forget_keys) == 1


async def test_the_command_rotates_every_key(tmp_path, capsys):
    State(tmp_path).save(Cloud(fake=True))
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        await runtime.db.write(fill, 3)
        before = {path.name: path.read_bytes() for path in (tmp_path / "key_manager" / "master-keys").iterdir()}
    words = parser().parse_args(["key-manager", "rotate-keys", "--state", str(tmp_path)])
    await asyncio.to_thread(key_manager.run, words)
    assert "2 project keys were replaced, 3 secrets are sealed with the new ones" in capsys.readouterr().out
    assert len(list((tmp_path / "key_manager" / "master-keys").iterdir())) == len(before) + 1
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        assert await runtime.db.read(state) == ({b"content 0", b"content 1", b"content 2"}, 2, 2)
        newest = runtime.part(keys.Stores).drivers["simple_crypto"]
        sealed = await runtime.db.read(lambda tx: [row.sealed for row in tx.scalars(select(ProjectKey))])
        assert {newest.keys.of(one) for one in sealed} == {newest.keys.newest}
