"""``pileus identity``: operators mend the administrator, reset passwords, unlock people and rotate keys."""

import argparse
import io
import json
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from pileus.cli import identity
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem
from pileus.kernel.db import Row, Tx
from pileus.kernel.testing import client, running
from pileus.services.identity.app.administration import SEALED
from pileus.services.identity.model import Assignment, Credential
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of

STRICT = {"identity": {"security_compliance": {"lockout_failure_attempts": 2, "lockout_duration": 3600}}}
TOML = "[identity]\npassword_hash_rounds = 4\n[identity.security_compliance]\nlockout_failure_attempts = 2\n"


@pytest.fixture
def state(tmp_path) -> Path:
    """The directory of a cloud with a lockout rule."""
    State(tmp_path).save(Cloud(fake=True))
    (tmp_path / "pileus.toml").write_text(TOML)
    return tmp_path


def say(state: Path, verb: str, user: str | None = None, *, generate: bool = False, credentials: bool = False) -> None:
    """Run the command in a thread, for it has an event loop of its own; raise what it raises."""
    words = argparse.Namespace(state=state, verb=verb, user=user, generate=generate, credentials=credentials)
    raised: list[Problem] = []

    def run() -> None:
        try:
            identity.run(words)
        except Problem as problem:
            raised.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


async def status(cloud, user: str, password: str, scope=None) -> int:
    async with client(cloud) as http:
        return (await http.post("/identity/v3/auth/tokens", json=auth_body(user, password, scope))).status_code


def sealed(tx: Tx, id: str) -> str | None:
    return tx.scalar(select(Credential.sealed).where(Credential.id == id))


async def test_a_locked_user_is_listed_and_unlocked_while_the_cloud_runs(state, capsys):
    async with running(state, [SERVICE], STRICT) as cloud:
        say(state, "locked")
        assert "Nobody is locked out" in capsys.readouterr().out
        for _ in range(2):
            await status(cloud, "demo", "wrong")
        right = password_of(cloud, "demo")
        assert await status(cloud, "demo", right) == 401
        say(state, "locked")
        told = capsys.readouterr().out
        assert "demo" in told
        assert "locked after 2 wrong passwords" in told
        assert "alt_demo" not in told
        say(state, "unlock", "demo")
        assert "demo may log in again" in capsys.readouterr().out
        assert await status(cloud, "demo", right) == 201


async def test_a_password_is_reset_and_tokens_end(state, capsys, monkeypatch):
    async with running(state, [SERVICE], STRICT) as cloud:
        token = await login(cloud, "admin")
        monkeypatch.setattr("sys.stdin", io.StringIO("a new secret\n"))
        say(state, "set-password", "admin@Default")
        assert "a new secret" not in capsys.readouterr().out
        assert await status(cloud, "admin", "a new secret") == 201
        async with client(cloud, token) as http:
            assert (await http.get("/identity/v3/users")).status_code == 401
    kept = json.loads((state / "credentials.json").read_text())
    assert kept["admin"]["password"] == "a new secret"


async def test_the_administrator_is_put_back(state, capsys):
    async with running(state, [SERVICE], STRICT) as cloud:
        say(state, "bootstrap")
        assert capsys.readouterr().out == "Nothing was missing.\n"
        await cloud.db.write(lambda tx: tx.execute(delete(Assignment)))
        async with client(cloud, await login(cloud, "demo", scope="unscoped")) as http:
            assert (await http.get("/identity/v3/auth/projects")).json()["projects"] == []
        say(state, "bootstrap", generate=True)
        told = capsys.readouterr().out
        assert told.count("gave user admin the role admin on the ") == 3
        password = told.splitlines()[0].removeprefix("password: ")
        assert await status(cloud, "admin", password, {"system": {"all": True}}) == 201
        assert password_of(cloud, "admin") == password
        say(state, "bootstrap")
        assert capsys.readouterr().out == "Nothing was missing.\n"


async def test_keys_rotate_and_nothing_is_lost(state, capsys):
    async with running(state, [SERVICE], STRICT) as cloud:
        token = await login(cloud, "demo")
        async with client(cloud, token) as http:
            http.base_url = "http://cloud.test/identity/v3/"
            body = {"credential": {"type": "totp", "blob": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}}
            made = (await http.post("credentials", json=body)).json()["credential"]
            before = await cloud.db.read(sealed, made["id"])
            say(state, "rotate-keys")
            say(state, "rotate-keys", credentials=True)
            assert "1 secrets are sealed with a new key" in capsys.readouterr().out
            assert (await http.get(f"credentials/{made['id']}")).json()["credential"]["blob"] == made["blob"]
        after = await cloud.db.read(sealed, made["id"])
        assert before != after
        assert (state / "identity" / "credential-keys" / "2").exists()
        async with client(cloud, await login(cloud, "demo")) as http:
            assert (await http.get("/identity/v3/auth/projects")).status_code == 200


def test_every_sealed_column_is_sealed_anew():
    columns = {
        (table.name, column.name)
        for table in Row.metadata.tables.values()
        for column in table.columns
        if table.name.startswith("identity_") and column.name.startswith("sealed")
    }
    assert columns == {(kind.__table__.name, column) for kind, column in SEALED}  # pyright: ignore


def test_wrong_words_are_answered(state):
    with pytest.raises(Problem, match="Whom is `unlock` for"):
        say(state, "unlock")
