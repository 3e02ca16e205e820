"""Every endpoint of every service: nobody without a token gets in, and what is another project's is not there."""

import uuid

import httpx
import pytest

from pileus.kernel.policy import Policy
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login
from tests.everywhere import MARK, Way, picture, put_everywhere, same_but_for, ways
from tests.personas import allowed, by_rule, document

THERE, NOWHERE = "5eed0000-0000-4000-8000-00000000000a", "5eed0000-0000-4000-8000-00000000000b"


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path) as runtime:
        yield runtime


async def ask(http: httpx.AsyncClient, way: Way, id: str) -> httpx.Response:
    return await http.request(way.method, way.path(id), json=way.body, headers=way.headers)


async def test_nobody_gets_in_without_a_token(cloud):
    guarded = [way for way in ways() if way.endpoint.route.rule is not None]
    assert len(guarded) > 600
    async with client(cloud) as http:
        answers = {way.name: (await ask(http, way, NOWHERE)).status_code for way in guarded}
    assert {name: status for name, status in answers.items() if status != 401} == {}


SAYING_SO = {"key_manager"}
"""Services that answer 403 for another project's thing, as upstream's: its ids are random, and nothing else is told."""


async def test_what_is_another_projects_is_not_there(cloud):
    """An answer about a thing of another project is that about a thing that does not exist."""
    await cloud.reconcilers.stop()  # they would mend the things below
    owner, project = uuid.uuid4().hex, uuid.uuid4().hex
    tables = await cloud.db.write(put_everywhere, THERE, project, owner)
    before = await cloud.db.read(picture, tables)
    failed, shown, told_apart = [], [], []
    async with client(cloud, await login(cloud, "demo")) as http:
        for way in ways():
            there, nowhere = await ask(http, way, THERE), await ask(http, way, NOWHERE)
            if there.status_code >= 500 or nowhere.status_code >= 500:
                failed.append(f"{way.name}: {there.text[:200]}")
            if MARK in there.text or project in there.text:
                shown.append(f"{way.name}: {there.text[:200]}")
            alike = there.status_code == nowhere.status_code
            alike = alike and same_but_for(there.content, nowhere.content, (THERE, NOWHERE))
            alike = alike or (way.service.type in SAYING_SO and (there.status_code, nowhere.status_code) == (403, 404))
            if way.names_something and not alike:
                told_apart.append(f"{way.name}: {there.text[:200]} but {nowhere.text[:200]}")
    after = await cloud.db.read(picture, tables)
    assert len(tables) > 50
    assert failed == []
    assert shown == []
    assert told_apart == []
    assert [name for name in tables if not before[name] <= after[name]] == []


BY_READERS = {
    "os_compute_api:extensions",  # what was removed and answers 410, whatever is sent
    "os_compute_api:images",  # handed on to the image service, whose rules judge
    "volume_extension:volume_image_metadata:show",  # an action that only shows
}
"""Rules of requests that are no GET and are open to readers nevertheless."""


def test_readers_change_nothing():
    policy, readers = Policy(), {"project reader", "domain reader", "system reader"}
    changing = [way for way in ways() if way.method not in ("GET", "HEAD") and not way.endpoint.route.reads]
    rules = {way.endpoint.route.rule for way in changing if way.endpoint.route.rule is not None}
    assert len(rules) > 200
    assert {rule.name for rule in rules if allowed(policy, rule) & readers} == BY_READERS


def test_the_table_names_every_rule():
    table = document()
    assert [name for name in by_rule() if f"| `{name}` |" not in table] == []
