"""Rules for accounts and passwords: each in force where it is set, and users who are exempt."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from pileus.kernel import clock
from pileus.kernel.clock import SystemClock
from pileus.kernel.config import ConfigError
from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login


class Later(SystemClock):
    """The machine's clock, moved."""

    ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


@pytest.fixture
def later():
    """Return ``pass_by(**timedelta)``."""
    moved = Later()
    before = clock.use(moved)

    def pass_by(**how_long):
        moved.ahead += timedelta(**how_long)

    yield pass_by
    clock.use(before)


class Cloud:
    """A cloud with rules, and its admin."""

    def __init__(self, runtime, http):
        self.runtime, self.http = runtime, http

    async def make(self, name="alice", password="first-1", **more):
        answer = await self.http.post("users", json={"user": {"name": name, "password": password, **more}})
        assert answer.status_code == 201, answer.text
        return answer.json()["user"]

    async def show(self, user):
        return (await self.http.get(f"users/{user['id']}")).json()["user"]

    async def update(self, user, **what):
        answer = await self.http.patch(f"users/{user['id']}", json={"user": what})
        assert answer.status_code == 200, answer.text
        return answer.json()["user"]

    async def log_in(self, password="first-1", name="alice"):
        async with client(self.runtime) as http:
            return await http.post("/identity/v3/auth/tokens", json=auth_body(name, password))

    async def change(self, user, old, new):
        async with client(self.runtime) as http:
            body = {"user": {"original_password": old, "password": new}}
            answer = await http.post(f"/identity/v3/users/{user['id']}/password", json=body)
            return answer.status_code

    async def renew(self):
        self.http.headers["X-Auth-Token"] = await login(self.runtime, "admin")


@pytest.fixture
async def rules(tmp_path, later):
    """Return ``make(**security_compliance)``: a cloud with these rules, as a context."""

    @asynccontextmanager
    async def make(**given):
        # The limit of log-ins is far away: what refuses here are the rules of passwords.
        far = {"user_burst": 1000, "source_burst": 1000}
        settings = {"identity": {"password_hash_rounds": 4, "security_compliance": given, "log_ins": far}}
        async with running(tmp_path, [SERVICE], settings) as runtime, client(runtime) as http:
            http.base_url = "http://cloud.test/identity/v3/"
            cloud = Cloud(runtime, http)
            await cloud.renew()
            yield cloud

    return make


async def test_wrong_passwords_lock_a_user_out_for_a_while(rules, later):
    async with rules(lockout_failure_attempts=2, lockout_duration=60) as cloud:
        user = await cloud.make()
        assert (await cloud.log_in("wrong")).status_code == 401
        assert (await cloud.log_in()).status_code == 201
        assert (await cloud.log_in("wrong")).status_code == 401
        wrong = await cloud.log_in("wrong")
        locked = await cloud.log_in()
        assert (wrong.status_code, locked.status_code) == (401, 401)
        assert locked.json() == wrong.json()
        assert await cloud.change(user, "first-1", "second-2") == 401
        later(seconds=61)
        assert (await cloud.log_in("wrong")).status_code == 401
        assert (await cloud.log_in()).status_code == 201


async def test_guesses_at_the_self_service_count_too(rules):
    async with rules(lockout_failure_attempts=2) as cloud:
        user = await cloud.make()
        for _ in range(2):
            assert await cloud.change(user, "wrong", "second-2") == 401
        assert (await cloud.log_in()).status_code == 401


async def test_however_many_guesses_race_no_more_are_answered(rules):
    async with rules(lockout_failure_attempts=3) as cloud:
        await cloud.make()
        answers = await asyncio.gather(*(cloud.log_in(f"guess-{n}") for n in range(30)))
        assert {answer.status_code for answer in answers} == {401}
        assert (await cloud.log_in()).status_code == 401
        right = await asyncio.gather(*(cloud.log_in() for _ in range(10)))
        assert {answer.status_code for answer in right} == {401}


async def test_right_passwords_side_by_side_lock_nobody_out(rules):
    async with rules(lockout_failure_attempts=2) as cloud:
        await cloud.make()
        answers = await asyncio.gather(*(cloud.log_in() for _ in range(10)))
        assert {answer.status_code for answer in answers} == {201}


async def test_an_administrator_unlocks_by_enabling(rules):
    async with rules(lockout_failure_attempts=1) as cloud:
        user = await cloud.make()
        await cloud.log_in("wrong")
        assert (await cloud.log_in()).status_code == 401
        await cloud.update(user, enabled=True)
        assert (await cloud.log_in()).status_code == 201


async def test_a_user_exempt_from_lockout_is_never_locked(rules):
    async with rules(lockout_failure_attempts=1) as cloud:
        await cloud.make(options={"ignore_lockout_failure_attempts": True})
        await cloud.log_in("wrong")
        assert (await cloud.log_in()).status_code == 201


async def test_names_that_do_not_exist_are_refused_alike(rules):
    async with rules(lockout_failure_attempts=1) as cloud:
        await cloud.make()
        first, again = await cloud.log_in("x", "nobody"), await cloud.log_in("x", "nobody")
        known = await cloud.log_in("wrong")
        assert first.json() == again.json() == known.json()


async def test_passwords_expire_and_the_user_may_still_change_them(rules, later):
    async with rules(password_expires_days=10) as cloud:
        user = await cloud.make()
        ends = datetime.fromisoformat(user["password_expires_at"])
        assert timedelta(days=9, hours=23) < ends - clock.now() <= timedelta(days=10)
        document = (await cloud.log_in()).json()["token"]
        assert document["user"]["password_expires_at"] == user["password_expires_at"]
        later(days=10, seconds=1)
        refused = await cloud.log_in()
        assert refused.status_code == 401
        assert f"expired and needs to be changed for user: {user['id']}" in refused.json()["error"]["message"]
        assert "expired" not in (await cloud.log_in("wrong")).text
        assert await cloud.change(user, "first-1", "second-2") == 204
        assert (await cloud.log_in("second-2")).status_code == 201


async def test_a_user_exempt_from_expiry_has_a_password_without_end(rules, later):
    async with rules(password_expires_days=10) as cloud:
        exempt = await cloud.make(options={"ignore_password_expiry": True})
        assert exempt["password_expires_at"] is None
        other = await cloud.make("bob")
        await cloud.update(other, options={"ignore_password_expiry": True})
        later(days=11)
        assert (await cloud.log_in()).status_code == 201
        assert (await cloud.log_in(name="bob")).status_code == 201


async def test_users_are_found_by_when_their_passwords_expire(rules):
    async with rules(password_expires_days=10) as cloud:
        await cloud.make()
        for order, days, found in (
            ("lt", 9, []),
            ("lt", 11, ["alice"]),
            ("gt", 9, ["alice"]),
            ("gte", 11, []),
            ("neq", 1, ["alice"]),
        ):
            moment = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
            answer = await cloud.http.get("users", params={"password_expires_at": f"{order}:{moment}"})
            assert [row["name"] for row in answer.json()["users"]] == found, order
        for wrong in ("lt:tomorrow", "before:2030-01-01T00:00:00Z", "lt"):
            assert (await cloud.http.get("users", params={"password_expires_at": wrong})).status_code == 400


async def test_the_last_passwords_cannot_be_chosen_again(rules):
    async with rules(unique_last_password_count=3) as cloud:
        user = await cloud.make(password="one")
        for old, new in (("one", "two"), ("two", "three")):
            assert await cloud.change(user, old, new) == 204
        for again in ("one", "two", "three"):
            assert await cloud.change(user, "three", again) == 400
        assert await cloud.change(user, "three", "four") == 204
        assert await cloud.change(user, "four", "one") == 204
        await cloud.update(user, password="one")
        assert (await cloud.log_in("one")).status_code == 201


async def test_passwords_must_be_strong(rules):
    wanted = "at least seven letters and a digit"
    async with rules(password_regex=r"^(?=.*\d)(?=.*[a-zA-Z]).{7,}$", password_regex_description=wanted) as cloud:
        user = await cloud.make(password="abcdef1")
        weak = await cloud.http.post("users", json={"user": {"name": "bob", "password": "short1"}})
        assert weak.status_code == 400
        assert wanted in weak.json()["error"]["message"]
        assert (await cloud.http.patch(f"users/{user['id']}", json={"user": {"password": "weak"}})).status_code == 400
        assert await cloud.change(user, "abcdef1", "weak") == 400
        assert await cloud.change(user, "abcdef1", "abcdef2") == 204
        told = (await cloud.http.get("domains/default/config/security_compliance")).json()["config"]
        assert told["security_compliance"]["password_regex_description"] == wanted


async def test_a_password_must_be_kept_for_some_days(rules, later):
    async with rules(minimum_password_age=2) as cloud:
        user = await cloud.make(password="one")
        assert await cloud.change(user, "one", "two") == 204
        assert await cloud.change(user, "two", "three") == 400
        await cloud.update(user, password="reset")
        assert await cloud.change(user, "reset", "four") == 204
        later(days=2, seconds=1)
        assert await cloud.change(user, "four", "five") == 204


async def test_given_passwords_must_be_changed_before_the_first_use(rules):
    async with rules(change_password_upon_first_use=True, password_expires_days=5) as cloud:
        user = await cloud.make()
        assert (await cloud.log_in()).status_code == 401
        assert await cloud.change(user, "first-1", "second-2") == 204
        assert (await cloud.log_in("second-2")).status_code == 201
        await cloud.update(user, password="third-3")
        assert (await cloud.log_in("third-3")).status_code == 401
        await cloud.make("robot", options={"ignore_change_password_upon_first_use": True})
        assert (await cloud.log_in(name="robot")).status_code == 201


async def test_users_who_stay_away_count_as_disabled(rules, later):
    async with rules(disable_user_account_days_inactive=30) as cloud:
        away, here = await cloud.make(), await cloud.make("bob")
        await cloud.make("robot", options={"ignore_user_inactivity": True})
        later(days=20)
        assert (await cloud.log_in(name="bob")).status_code == 201
        await cloud.renew()
        later(days=10)
        await cloud.renew()
        assert (await cloud.log_in()).status_code == 401
        assert await cloud.change(away, "first-1", "second-2") == 401
        assert (await cloud.log_in(name="bob")).status_code == 201
        assert (await cloud.log_in(name="robot")).status_code == 201
        assert ((await cloud.show(away))["enabled"], (await cloud.show(here))["enabled"]) == (False, True)
        listed = (await cloud.http.get("users")).json()["users"]
        assert {row["name"] for row in listed if not row["enabled"]} == {"alice", "demo", "alt_demo"}
        assert (await cloud.update(away, enabled=True))["enabled"]
        assert (await cloud.log_in()).status_code == 201


async def test_a_locked_password_is_changed_by_administrators_only(rules):
    async with rules() as cloud:
        user = await cloud.make(options={"lock_password": True})
        assert await cloud.change(user, "first-1", "second-2") == 403
        await cloud.update(user, password="third-3")
        await cloud.update(user, options={"lock_password": None})
        assert (await cloud.show(user))["options"] == {}
        assert await cloud.change(user, "third-3", "second-2") == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"lockout_failure_attempts": 0},
        {"password_regex": "("},
        {"password_expires_days": "ten"},
        {"colour": "red"},
    ],
)
async def test_rules_that_mean_nothing_stop_the_start(rules, wrong):
    with pytest.raises(ConfigError, match="identity"):
        async with rules(**wrong):
            pytest.fail("the cloud started")


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"lock_password": "yes"},
        {"multi_factor_auth_rules": [[]]},
        {"multi_factor_auth_rules": [["password", "password"]]},
        {"multi_factor_auth_rules": [["password"], ["password"]]},
        {"multi_factor_auth_rules": ["password"]},
    ],
)
async def test_options_that_mean_nothing_are_400(rules, wrong):
    async with rules() as cloud:
        user = await cloud.make()
        assert (await cloud.http.patch(f"users/{user['id']}", json={"user": {"options": wrong}})).status_code == 400
        assert (await cloud.http.post("users", json={"user": {"name": "x", "options": wrong}})).status_code == 400
        assert (await cloud.show(user))["options"] == {}


@pytest.mark.parametrize("plural", ["projects", "domains", "roles"])
async def test_what_is_immutable_stays_as_it_is(rules, plural):
    noun = plural.removesuffix("s")
    async with rules() as cloud:
        body = {"name": "rock", "options": {"immutable": True}}
        made = (await cloud.http.post(plural, json={noun: body})).json()[noun]
        path = f"{plural}/{made['id']}"
        assert made["options"] == {"immutable": True}
        assert (await cloud.http.patch(path, json={noun: {"name": "sand"}})).status_code == 403
        assert (await cloud.http.patch(path, json={noun: {"options": {"colour": True}}})).status_code == 400
        assert (await cloud.http.delete(path)).status_code == 403
        assert (await cloud.http.get(path)).json()[noun]["name"] == "rock"
        both = await cloud.http.patch(path, json={noun: {"options": {"immutable": None}, "name": "sand"}})
        assert both.status_code == 403
        assert (await cloud.http.patch(path, json={noun: {"options": {"immutable": None}}})).status_code == 200
        freed = await cloud.http.patch(path, json={noun: {"enabled": False}})
        assert (freed.status_code, freed.json()[noun]["options"]) == (200, {})
        assert (await cloud.http.delete(path)).status_code == 204
