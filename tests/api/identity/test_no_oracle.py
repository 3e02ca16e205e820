"""What a refusal must not tell: whether a name exists, by its words or by what it costs."""

import bcrypt
import pytest
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from pileus.kernel.testing import client
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.testing import auth_body, password_of
from tests.api.identity.passcodes import SECRET
from tests.api.identity.test_totp_and_rules import post, totp


@pytest.fixture
def costs(monkeypatch):
    """The cost of each hash that is compared, in order."""
    found, real = [], bcrypt.checkpw

    def record(secret, hashed):
        found.append(int(hashed.split(b"$")[2]))
        return real(secret, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", record)
    return found


async def try_password(cloud, name, password="wrong", domain="default"):
    return await post(cloud, auth_body(name, password, domain=domain)["auth"]["identity"])


async def test_a_wrong_password_costs_the_same_for_all_and_for_nobody(cloud, admin, costs):
    for name, more in (("disabled", {"enabled": False}), ("empty", {"password": None})):
        assert (await admin.post("users", json={"user": {"name": name, "password": "x", **more}})).status_code == 201
    answers = []
    for name, password, domain in (
        ("demo", "wrong", "default"),
        ("nobody", "wrong", "default"),
        ("demo", "wrong", "nowhere"),
        ("disabled", "wrong", "default"),
        ("disabled", "x", "default"),
        ("empty", "wrong", "default"),
    ):
        costs.clear()
        answers.append(await try_password(cloud, name, password, domain))
        assert costs == [cloud.part(Passwords).rounds], name
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


async def test_a_wrong_passcode_costs_the_same_for_all_and_for_nobody(cloud, demo, monkeypatch):
    assert (await demo.post("credentials", json={"credential": {"type": "totp", "blob": SECRET}})).status_code == 201
    made, real = [], HOTP.generate
    monkeypatch.setattr(HOTP, "generate", lambda self, step: made.append(step) or real(self, step))
    counts, answers = [], []
    for name in ("demo", "alt_demo", "nobody"):
        made.clear()
        answers.append(await post(cloud, totp("000000", name)))
        counts.append(len(made))
    assert counts == [2, 2, 2]
    assert len({answer.content for answer in answers}) == 1


async def test_expired_and_scopes_are_told_only_to_who_proved_it(cloud):
    scope = {"project": {"name": "no-such-project", "domain": {"id": "default"}}}
    wrong = await try_password(cloud, "demo")
    identity = auth_body("demo", "wrong")["auth"]["identity"]
    async with client(cloud) as http:
        scoped = await http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
    assert wrong.content == scoped.content


@pytest.mark.parametrize(
    "name", ["jane\0", "\0", "x" * 65535, "\u202e", "\U0001f469\u200d", " ", "'; drop table --", "%"]
)
async def test_a_strange_name_is_refused_as_any_other_whatever_it_names(cloud, name):
    user = {"name": name, "domain": {"id": "default"}, "password": "wrong"}
    ordinary = await try_password(cloud, "nobody")
    for identity in (
        {"methods": ["password"], "password": {"user": user}},
        {"methods": ["password"], "password": {"user": {"id": name, "password": "wrong"}}},
        {"methods": ["password"], "password": {"user": user | {"name": "demo", "domain": {"name": name}}}},
        {"methods": ["password"], "password": {"user": user | {"name": "demo", "domain": {"id": name}}}},
        {"methods": ["totp"], "totp": {"user": {"name": name, "domain": {"id": "default"}, "passcode": "000000"}}},
        {"methods": ["application_credential"], "application_credential": {"id": name, "secret": "x"}},
        {
            "methods": ["application_credential"],
            "application_credential": {"name": name, "user": {"id": name}, "secret": "x"},
        },
    ):
        answer = await post(cloud, identity)
        assert (answer.status_code, answer.content) == (401, ordinary.content), identity


@pytest.mark.parametrize("scope", ["project", "domain"])
async def test_a_strange_scope_is_refused_as_any_other(cloud, scope):
    answers = []
    for name in ("nowhere", "no\0where", "x" * 65535):
        for named in ({"id": name}, {"name": name, "domain": {"id": name}}, {"name": name, "domain": {"name": name}}):
            body = auth_body("demo", password_of(cloud, "demo"), {scope: named})
            async with client(cloud) as http:
                answers.append(await http.post("/identity/v3/auth/tokens", json=body))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
