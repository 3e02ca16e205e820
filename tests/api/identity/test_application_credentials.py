"""Passwords for programs: as many roles as asked, no more than their user has, and only the requests allowed."""

from datetime import timedelta

import pytest

from pileus.kernel import clock
from pileus.kernel.testing import client

BASE = "/identity/v3"


@pytest.fixture
async def me(demo):
    return (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"][
        "user"
    ]["id"]


async def make(http, me, **more):
    body = {"application_credential": {"name": "ci", **more}}
    return await http.post(f"users/{me}/application_credentials", json=body)


async def log_in(cloud, **proof):
    body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": proof}}}
    async with client(cloud) as http:
        return await http.post(f"{BASE}/auth/tokens", json=body)


async def test_a_program_logs_in_with_it(cloud, demo, me):
    made = (await make(demo, me)).json()["application_credential"]
    answer = await log_in(cloud, id=made["id"], secret=made["secret"])
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert token["project"]["name"] == "demo"
    assert token["methods"] == ["application_credential"]
    assert token["application_credential"]["restricted"] is True
    by_name = await log_in(cloud, name="ci", user={"id": me}, secret=made["secret"])
    assert by_name.status_code == 201
    for wrong in (
        {"id": made["id"], "secret": "wrong"},
        {"id": "none", "secret": made["secret"]},
        {"name": "ci", "user": {"name": "nobody", "domain": {"id": "default"}}, "secret": made["secret"]},
    ):
        assert (await log_in(cloud, **wrong)).status_code == 401


async def test_it_has_the_roles_asked_for_only(cloud, demo, me):
    made = await make(demo, me, roles=[{"name": "reader"}], secret="s3cret")
    assert made.json()["application_credential"]["secret"] == "s3cret"
    token = (await log_in(cloud, id=made.json()["application_credential"]["id"], secret="s3cret")).json()["token"]
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert (await make(demo, me, name="more", roles=[{"name": "admin"}])).status_code == 400


async def test_a_restricted_one_makes_no_others_and_leaves_its_project_never(cloud, demo, me):
    made = (await make(demo, me)).json()["application_credential"]
    token = (await log_in(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    async with client(cloud, token) as http:
        http.base_url = f"http://cloud.test{BASE}/"
        assert (await make(http, me, name="two")).status_code == 403
        own = f"users/{me}/application_credentials/{made['id']}"
        assert (await http.delete(own)).status_code == 403
        assert (await http.get(own)).status_code == 200
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}}
        assert (await http.post("auth/tokens", json=body)).status_code == 403
    free = (await make(demo, me, name="free", unrestricted=True)).json()["application_credential"]
    token = (await log_in(cloud, id=free["id"], secret=free["secret"])).headers["x-subject-token"]
    async with client(cloud, token) as http:
        http.base_url = f"http://cloud.test{BASE}/"
        two = (await make(http, me, name="two")).json()["application_credential"]["id"]
        assert (await http.delete(f"users/{me}/application_credentials/{two}")).status_code == 204


async def test_it_ends_with_itself_and_with_the_role_it_rests_on(cloud, admin, demo, me):
    made = (await make(demo, me)).json()["application_credential"]
    token = (await log_in(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    async with client(cloud, token) as http:
        assert (await http.get(f"{BASE}/auth/projects")).status_code == 200
        path = f"users/{me}/application_credentials/{made['id']}"
        assert (await demo.delete(path)).status_code == 204
        assert (await http.get(f"{BASE}/auth/projects")).status_code == 401
        assert (await demo.get(path)).status_code == 404
    made = (await make(demo, me)).json()["application_credential"]
    project = (await admin.get("projects?name=demo")).json()["projects"][0]["id"]
    member = (await admin.get("roles?name=member")).json()["roles"][0]["id"]
    assert (await admin.delete(f"projects/{project}/users/{me}/roles/{member}")).status_code == 204
    assert (await log_in(cloud, id=made["id"], secret=made["secret"])).status_code == 401


async def test_access_rules_bound_it_to_some_requests(cloud, demo, me):
    rules = [{"service": "identity", "path": "/v3/auth/*", "method": "GET"}]
    made = (await make(demo, me, access_rules=rules)).json()["application_credential"]
    assert made["access_rules"][0]["path"] == "/v3/auth/*"
    token = (await log_in(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    async with client(cloud, token) as http:
        assert (await http.get(f"{BASE}/auth/projects")).status_code == 200
        assert (await http.get(f"{BASE}/users/{me}")).status_code == 401
        assert (await http.get(f"{BASE}/auth/projects/x")).status_code == 404
    listed = (await demo.get(f"users/{me}/access_rules")).json()["access_rules"]
    rule = f"users/{me}/access_rules/{listed[0]['id']}"
    assert (await demo.get(rule)).json()["access_rule"]["method"] == "GET"
    assert (await demo.delete(rule)).status_code == 403
    await demo.delete(f"users/{me}/application_credentials/{made['id']}")
    assert (await demo.delete(rule)).status_code == 204
    assert (await demo.get(rule)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": 5},
        {"roles": "member"},
        {"roles": [{"name": "none"}]},
        {"expires_at": "tomorrow"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"unrestricted": "yes"},
        {"access_rules": [{"service": "compute"}]},
        {"access_rules": [{"service": "compute", "path": "servers", "method": "GET"}]},
        {"access_rules": [{"service": "compute", "path": "/servers", "method": "LOOK"}]},
        {"access_rules": [{"id": "none"}]},
        {"colour": "red"},
    ],
)
async def test_malformed_ones_are_400(demo, me, wrong):
    assert (await make(demo, me, **wrong)).status_code == 400
    assert (await demo.get(f"users/{me}/application_credentials")).json()["application_credentials"] == []


async def test_names_are_unique_and_secrets_never_shown_again(demo, me):
    made = (await make(demo, me)).json()["application_credential"]
    assert (await make(demo, me)).status_code == 409
    shown = await demo.get(f"users/{me}/application_credentials?name=ci")
    assert made["secret"] not in shown.text
    assert "secret" not in shown.json()["application_credentials"][0]


async def test_nobody_makes_one_for_somebody_else(admin, demo, me):
    assert (await make(admin, me)).status_code == 403
    made = (await make(demo, me)).json()["application_credential"]
    other = (await admin.get("users?name=alt_demo")).json()["users"][0]["id"]
    assert (await demo.get(f"users/{other}/application_credentials")).status_code == 403
    assert (await admin.get(f"users/{other}/application_credentials/{made['id']}")).status_code == 404
    assert (await admin.delete(f"users/{me}/application_credentials/{made['id']}")).status_code == 204


async def test_its_tokens_end_with_it(cloud, demo, me):
    class Later(clock.SystemClock):
        late = timedelta()

        def now(self):
            return super().now() + self.late

    later = Later()
    before = clock.use(later)
    try:
        ends = (later.now() + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S")
        made = (await make(demo, me, expires_at=ends)).json()["application_credential"]
        token = (await log_in(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
        async with client(cloud, token) as http:
            assert (await http.get(f"{BASE}/auth/projects")).status_code == 200
            later.late = timedelta(seconds=61)
            assert (await http.get(f"{BASE}/auth/projects")).status_code == 401
        assert (await log_in(cloud, id=made["id"], secret=made["secret"])).status_code == 401
    finally:
        clock.use(before)
