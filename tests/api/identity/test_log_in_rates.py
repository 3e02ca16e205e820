"""Guessing is slow: what fails fills a bucket, of the user and of the address; what succeeds hardly does."""

import asyncio
from contextlib import asynccontextmanager

from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, password_of

SLOW = {"user_burst": 4, "user_per_minute": 1, "source_burst": 8, "source_per_minute": 1}


class Door:
    """Where users log in, each from an address."""

    def __init__(self, runtime):
        self.runtime = runtime

    async def try_to(self, name="demo", password=None, source="192.0.2.1", body=None):
        body = body or auth_body(name, password or password_of(self.runtime, name))
        async with client(self.runtime, **{"X-Forwarded-For": source}) as http:
            return await http.post("/identity/v3/auth/tokens", json=body)

    async def guess(self, times, name="demo", source="192.0.2.1"):
        return [(await self.try_to(name, "wrong", source)).status_code for _ in range(times)]


@asynccontextmanager
async def door(tmp_path, **log_ins):
    async with running(tmp_path, [SERVICE], {"identity": {"log_ins": {**SLOW, **log_ins}}}) as runtime:
        yield Door(runtime)


async def test_a_user_who_was_guessed_at_too_often_waits_and_is_told_how_long(tmp_path):
    async with door(tmp_path) as one:
        assert await one.guess(5) == [401, 401, 401, 401, 429]
        refused = await one.try_to()  # the right password tells nothing either
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert "Too many log-ins have failed" in refused.json()["error"]["message"]
        assert (await one.try_to("admin")).status_code == 201


async def test_names_that_are_not_there_are_limited_alike(tmp_path):
    async with door(tmp_path) as one:
        assert await one.guess(5, "nobody-of-that-name") == [401, 401, 401, 401, 429]


async def test_an_address_has_a_bucket_for_all_whom_it_tries(tmp_path):
    async with door(tmp_path) as one:
        for name in ("a", "b", "c", "d"):
            assert await one.guess(2, name) == [401, 401]
        assert (await one.try_to()).status_code == 429
        assert (await one.try_to(source="192.0.2.2")).status_code == 201


async def test_a_stranger_cannot_lock_a_user_out_where_it_logs_in(tmp_path):
    async with door(tmp_path) as one:
        assert (await one.try_to(source="192.0.2.9")).status_code == 201
        assert await one.guess(4) == [401, 401, 401, 429]  # the success has taken a little
        assert (await one.try_to(source="192.0.2.9")).status_code == 201
        assert await one.guess(4, source="192.0.2.9") == [401, 401, 401, 429]


async def test_log_ins_that_succeed_are_hardly_counted(tmp_path):
    async with door(tmp_path) as one:
        answers = await asyncio.gather(*(one.try_to() for _ in range(60)))
        assert {answer.status_code for answer in answers} == {201}


async def test_no_more_guesses_are_answered_however_many_race(tmp_path):
    async with door(tmp_path) as one:
        answers = await asyncio.gather(*(one.guess(1) for _ in range(20)), one.try_to())
        assert sum(answer == [401] for answer in answers[:-1]) == 4


async def test_changing_a_password_is_no_other_way_to_guess(tmp_path):
    async with door(tmp_path) as one:
        user_id = (await one.try_to()).json()["token"]["user"]["id"]
        body = {"user": {"original_password": "wrong", "password": "new"}}
        async with client(one.runtime, **{"X-Forwarded-For": "192.0.2.3"}) as http:
            answers = [await http.post(f"/identity/v3/users/{user_id}/password", json=body) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


async def test_an_operator_may_switch_the_limit_off(tmp_path):
    async with door(tmp_path, enabled=False) as one:
        assert set(await one.guess(10)) == {401}
