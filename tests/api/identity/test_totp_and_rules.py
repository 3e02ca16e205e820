"""Passcodes, rules that ask for more than one method, and the receipts in between."""

import asyncio
from datetime import UTC, datetime

import pytest

from pileus.kernel import clock
from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of
from tests.api.identity.passcodes import SECRET, passcode

TOKENS = "/identity/v3/auth/tokens"


@pytest.fixture(autouse=True)
def noon():
    """Let time stand still in the middle of a window, so that no window ends within a test."""

    class Still(clock.SystemClock):
        moment = datetime.now(UTC).replace(second=15)

        def now(self):
            return self.moment

    before = clock.use(Still())
    yield Still.moment.timestamp()
    clock.use(before)


def totp(code, name="demo"):
    return {"methods": ["totp"], "totp": {"user": {"name": name, "domain": {"id": "default"}, "passcode": code}}}


def both(password, code, name="demo"):
    identity = auth_body(name, password)["auth"]["identity"]
    return {**totp(code, name), **identity, "methods": ["password", "totp"]}


async def post(cloud, identity, receipt=None):
    headers = {"Openstack-Auth-Receipt": receipt} if receipt else {}
    async with client(cloud) as http:
        return await http.post(TOKENS, json={"auth": {"identity": identity}}, headers=headers)


async def password_only(cloud, name="demo"):
    return await post(cloud, auth_body(name, password_of(cloud, name))["auth"]["identity"])


@pytest.fixture
async def enrolled(cloud, demo):
    answer = await demo.post("credentials", json={"credential": {"type": "totp", "blob": SECRET}})
    assert answer.status_code == 201, answer.text
    return answer.json()["credential"]["id"]


async def ask_for_both(admin, rules=(("password", "totp"),), **more):
    user = (await admin.get("users?name=demo")).json()["users"][0]["id"]
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [list(rule) for rule in rules], **more}
    answer = await admin.patch(f"users/{user}", json={"user": {"options": options}})
    assert answer.status_code == 200, answer.text
    return user


async def test_a_passcode_is_a_way_in(cloud, enrolled):
    answer = await post(cloud, totp(passcode()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["token"]["methods"] == ["totp"]
    assert answer.json()["token"]["user"]["name"] == "demo"


async def test_a_passcode_counts_once(cloud, enrolled):
    code = passcode()
    assert (await post(cloud, totp(code))).status_code == 201
    assert (await post(cloud, totp(code))).status_code == 401
    assert (await post(cloud, both(password_of(cloud, "demo"), code))).status_code == 401


async def test_of_many_that_show_a_passcode_at_once_one_is_let_in(cloud, enrolled):
    code = passcode()
    answers = await asyncio.gather(*(post(cloud, totp(code)) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401, 401]


async def test_the_passcode_before_counts_but_not_after_a_later_one(cloud, enrolled, noon):
    statuses = [(await post(cloud, totp(passcode(at=noon + late)))).status_code for late in (-30, 0, -30, 0)]
    assert statuses == [201, 201, 401, 401]


@pytest.mark.parametrize("ago", [-30, 60, 3600])
async def test_passcodes_of_other_times_are_refused(cloud, enrolled, noon, ago):
    assert (await post(cloud, totp(passcode(at=noon - ago)))).status_code == 401


@pytest.mark.parametrize("code", ["", "000000000", "abcdef", "१२३४५६", "12345"])
async def test_what_is_no_passcode_is_refused(cloud, enrolled, code):
    assert (await post(cloud, totp(code))).status_code == 401


async def test_a_wrong_password_spends_no_passcode(cloud, enrolled):
    code = passcode()
    assert (await post(cloud, both("wrong", code))).status_code == 401
    assert (await post(cloud, both(password_of(cloud, "demo"), code))).status_code == 201


async def test_who_has_no_secret_and_who_is_not_there_are_told_alike(cloud, enrolled):
    answers = [await post(cloud, totp("123456", name)) for name in ("demo", "alt_demo", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert answers[0].json() == answers[1].json() == answers[2].json()


@pytest.mark.parametrize("blob", ["", "not base32!", "1", "é"])
async def test_a_credential_that_holds_no_secret_lets_nobody_in(cloud, demo, blob):
    assert (await demo.post("credentials", json={"credential": {"type": "totp", "blob": blob}})).status_code == 201
    assert (await post(cloud, totp("123456"))).status_code == 401


@pytest.mark.parametrize("part", [{}, {"user": {}}, {"user": {"id": "x"}}, {"user": {"id": "x", "passcode": 123456}}])
async def test_a_malformed_passcode_is_400(cloud, part):
    assert (await post(cloud, {"methods": ["totp"], "totp": part})).status_code == 400


async def test_a_new_secret_has_passcodes_of_its_own(cloud, demo, enrolled):
    assert (await post(cloud, totp(passcode()))).status_code == 201
    assert (await demo.delete(f"credentials/{enrolled}")).status_code == 204
    assert (await post(cloud, totp(passcode()))).status_code == 401
    await demo.post("credentials", json={"credential": {"type": "totp", "blob": SECRET}})
    assert (await post(cloud, totp(passcode()))).status_code == 201


async def test_half_of_what_the_rules_ask_for_earns_a_receipt(cloud, admin, enrolled):
    user = await ask_for_both(admin)
    answer = await password_only(cloud)
    assert answer.status_code == 401
    assert answer.json()["required_auth_methods"] == [["password", "totp"]]
    receipt = answer.json()["receipt"]
    assert receipt["methods"] == ["password"]
    assert receipt["user"] == {"id": user, "name": "demo", "domain": {"id": "default", "name": "Default"}}
    assert receipt["expires_at"] > receipt["issued_at"]
    done = await post(cloud, totp(passcode()), answer.headers["openstack-auth-receipt"])
    assert done.status_code == 201, done.text
    assert set(done.json()["token"]["methods"]) == {"password", "totp"}


async def test_both_at_once_need_no_receipt(cloud, admin, enrolled):
    await ask_for_both(admin)
    assert (await post(cloud, both(password_of(cloud, "demo"), passcode()))).status_code == 201


async def test_a_token_of_a_token_keeps_what_was_proven(cloud, admin, enrolled):
    before = await login(cloud, "demo")
    await ask_for_both(admin)
    full = (await post(cloud, both(password_of(cloud, "demo"), passcode()))).headers["x-subject-token"]
    assert (await post(cloud, {"methods": ["token"], "token": {"id": full}})).status_code == 201
    refused = await post(cloud, {"methods": ["token"], "token": {"id": before}})
    assert refused.status_code == 401
    assert refused.json()["receipt"]["methods"] == ["token", "password"]


async def test_a_receipt_is_for_its_user_only_and_no_token(cloud, admin, enrolled):
    await ask_for_both(admin)
    receipt = (await password_only(cloud)).headers["openstack-auth-receipt"]
    other = auth_body("alt_demo", password_of(cloud, "alt_demo"))["auth"]["identity"]
    assert (await post(cloud, other, receipt)).status_code == 401
    async with client(cloud, receipt) as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 401
    assert (await post(cloud, {"methods": ["token"], "token": {"id": receipt}})).status_code == 404
    assert (await post(cloud, totp(passcode()), await login(cloud, "alt_demo"))).status_code == 401


@pytest.mark.parametrize("harm", [lambda t: t[:-4], lambda t: "A" + t[1:], lambda t: t * 50, lambda t: "x"])
async def test_a_harmed_receipt_is_refused(cloud, admin, enrolled, harm):
    await ask_for_both(admin)
    receipt = (await password_only(cloud)).headers["openstack-auth-receipt"]
    assert (await post(cloud, totp(passcode()), harm(receipt))).status_code == 401


async def test_a_changed_password_ends_receipts(cloud, admin, enrolled):
    user = await ask_for_both(admin)
    receipt = (await password_only(cloud)).headers["openstack-auth-receipt"]
    await admin.patch(f"users/{user}", json={"user": {"password": "another"}})
    assert (await post(cloud, totp(passcode()), receipt)).status_code == 401


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"multi_factor_auth_enabled": False}, 201),
        ({"multi_factor_auth_rules": []}, 201),
        ({"multi_factor_auth_rules": [["password"], ["totp"]]}, 201),
        ({"multi_factor_auth_rules": [["magic"]]}, 201),
        ({"multi_factor_auth_rules": [["magic", "totp"]]}, 401),
    ],
)
async def test_rules_that_ask_for_nothing_more_lock_nobody_out(cloud, admin, options, status):
    await ask_for_both(admin, **options)
    assert (await password_only(cloud)).status_code == status


async def test_wrong_passcodes_lock_a_user_out_as_wrong_passwords_do(tmp_path):
    table = {"identity": {"security_compliance": {"lockout_failure_attempts": 3, "lockout_duration": 600}}}
    async with running(tmp_path, [SERVICE], table) as cloud:
        async with client(cloud, await login(cloud, "demo")) as http:
            body = {"credential": {"type": "totp", "blob": SECRET}}
            assert (await http.post("/identity/v3/credentials", json=body)).status_code == 201
        for _ in range(3):
            assert (await post(cloud, totp("000000"))).status_code == 401
        assert (await post(cloud, totp(passcode()))).status_code == 401
        assert (await password_only(cloud)).status_code == 401
        assert (await password_only(cloud, "alt_demo")).status_code == 201
