"""Whatever happens, and however much is logged: no password, token or key is ever in a log."""

import logging
from typing import Any

import pytest

from pileus.kernel.telemetry import JsonLines
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import auth_body, login, password_of

WRONG, GIVEN = "wr0ng-passw0rd-xyzzy", "g1ven-passw0rd-plugh"


class Lines(logging.Handler):
    """Keeps every line as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))


@pytest.fixture
def lines():
    handler, root = Lines(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


async def use_secrets(runtime: Any) -> set[str]:
    """Log in, fail to, make secrets of every kind, and break things around them; return every secret there was."""
    secrets = {WRONG, GIVEN, password_of(runtime, "demo")}
    async with client(runtime) as nobody:
        tokens = "/identity/v3/auth/tokens"
        assert (await nobody.post(tokens, json=auth_body("demo", WRONG))).status_code == 401
        assert (await nobody.post(tokens, json={"auth": {"identity": {"password": GIVEN}}})).status_code == 400
        assert (await nobody.post(tokens, content=f'{{"auth": {{"password": "{GIVEN}"'.encode())).status_code == 400
    admin_token, token = await login(runtime, "admin"), await login(runtime)
    secrets |= {admin_token, token}
    async with client(runtime, admin_token) as admin, client(runtime, token) as demo:
        me = (await demo.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})).json()["token"]["user"]
        made = await admin.post("/identity/v3/users", json={"user": {"name": "u", "password": GIVEN}})
        assert made.status_code == 201
        again = await admin.post("/identity/v3/users", json={"user": {"name": "u", "password": GIVEN}})
        assert again.status_code == 409
        credential = {"application_credential": {"name": "a"}}
        kept = await demo.post(f"/identity/v3/users/{me['id']}/application_credentials", json=credential)
        secrets.add(kept.json()["application_credential"]["secret"])
        pair = await demo.post("/compute/v2.1/os-keypairs", json={"keypair": {"name": "k"}})
        secrets.add(pair.json()["keypair"]["private_key"].splitlines()[2])
        for path in ("/volume/v3/volumes?limit=x", "/image/v2/images/nothing", "/nothing"):
            assert (await demo.get(path)).status_code in (400, 404)
        await demo.delete("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
    return secrets


async def test_no_secret_is_written(tmp_path, lines, monkeypatch):
    async with running(tmp_path) as runtime:
        secrets = await use_secrets(runtime)

        def broken(*_: Any) -> None:
            raise RuntimeError("a defect")

        token = await login(runtime)
        secrets.add(token)
        monkeypatch.setattr(runtime.app, "prepare", broken)
        async with client(runtime, token) as http:
            assert (await http.get("/compute/v2.1/servers")).status_code == 500
    text = "\n".join(lines.written)
    assert "a defect" in text, "the log was listened to"
    assert "/identity/v3/auth/tokens" in text
    for secret in secrets:
        assert secret not in text
