"""Trusts: demo lets alt_demo act for it, no further and no longer than it said."""

import pytest

from pileus.kernel.testing import client
from pileus.services.identity.testing import auth_body, login, password_of

BASE = "/identity/v3"


async def who(cloud, name):
    token = await login(cloud, name)
    async with client(cloud, token) as http:
        answer = await http.get(f"{BASE}/auth/tokens", headers={"X-Subject-Token": token})
    return answer.json()["token"]


@pytest.fixture
async def body(cloud):
    trustor, trustee = await who(cloud, "demo"), await who(cloud, "alt_demo")
    return {
        "trustor_user_id": trustor["user"]["id"],
        "trustee_user_id": trustee["user"]["id"],
        "project_id": trustor["project"]["id"],
        "impersonation": True,
        "roles": [{"name": "member"}],
    }


async def make(http, body, **more):
    return await http.post("OS-TRUST/trusts", json={"trust": {**body, **more}})


async def use(cloud, trust, user="alt_demo"):
    scope = {"OS-TRUST:trust": {"id": trust["id"]}}
    async with client(cloud) as http:
        return await http.post(f"{BASE}/auth/tokens", json=auth_body(user, password_of(cloud, user), scope))


async def is_good(cloud, token):
    async with client(cloud, token) as http:
        return (await http.get(f"{BASE}/auth/projects")).status_code == 200


@pytest.mark.parametrize("impersonation", [True, False])
async def test_the_trustee_acts_with_the_trustors_role(cloud, demo, body, impersonation):
    made = await make(demo, body, impersonation=impersonation)
    assert made.status_code == 201
    trust = made.json()["trust"]
    assert [role["name"] for role in trust["roles"]] == ["member"]
    token = (await use(cloud, trust)).json()["token"]
    assert token["project"]["name"] == "demo"
    assert token["user"]["name"] == ("demo" if impersonation else "alt_demo")
    assert token["OS-TRUST:trust"]["trustee_user"]["id"] == body["trustee_user_id"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}


async def test_what_a_trust_lends_sees_and_removes_no_application_credentials(cloud, demo, body):
    me = body["trustor_user_id"]
    made = await demo.post(
        f"users/{me}/application_credentials",
        json={
            "application_credential": {"name": "c", "access_rules": [{"service": "x", "path": "/", "method": "GET"}]}
        },
    )
    kept = made.json()["application_credential"]
    paths = [
        "application_credentials",
        f"application_credentials/{kept['id']}",
        "access_rules",
        f"access_rules/{kept['access_rules'][0]['id']}",
    ]
    trust = (await make(demo, body)).json()["trust"]
    async with client(cloud, (await use(cloud, trust)).headers["x-subject-token"]) as http:
        for path in paths:
            assert (await http.get(f"{BASE}/users/{me}/{path}")).status_code == 403, path
            assert (await demo.get(f"users/{me}/{path}")).status_code == 200, path
        for path in (paths[1], paths[3]):
            assert (await http.delete(f"{BASE}/users/{me}/{path}")).status_code == 403, path


@pytest.mark.parametrize("unrestricted", [True, False])
async def test_an_application_credential_has_nothing_to_do_with_trusts(cloud, demo, body, unrestricted):
    made = await demo.post(
        f"users/{body['trustor_user_id']}/application_credentials",
        json={"application_credential": {"name": "c", "unrestricted": unrestricted}},
    )
    given = {name: made.json()["application_credential"][name] for name in ("id", "secret")}
    identity = {"methods": ["application_credential"], "application_credential": given}
    trust = (await make(demo, body)).json()["trust"]
    path = f"OS-TRUST/trusts/{trust['id']}"
    async with client(cloud) as http:
        token = (await http.post(f"{BASE}/auth/tokens", json={"auth": {"identity": identity}})).headers
        http.headers["X-Auth-Token"] = token["x-subject-token"]
        http.base_url = f"http://cloud.test{BASE}/"
        assert (await make(http, body)).status_code == 403
        role = trust["roles"][0]["id"]
        listed = f"OS-TRUST/trusts?trustor_user_id={body['trustor_user_id']}"
        for one in (listed, path, f"{path}/roles", f"{path}/roles/{role}"):
            assert (await http.get(one)).status_code == 403, one
            assert (await demo.get(one)).status_code == 200, one
        assert (await http.delete(path)).status_code == 403
    assert (await demo.delete(path)).status_code == 204


async def test_nobody_else_uses_it(cloud, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    assert (await use(cloud, trust, "admin")).status_code == 403
    assert (await use(cloud, trust, "demo")).status_code == 403
    assert (await use(cloud, {"id": "none"})).status_code == 403


async def test_removing_it_ends_its_tokens_at_once(cloud, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    token = (await use(cloud, trust)).headers["x-subject-token"]
    assert await is_good(cloud, token)
    path = f"OS-TRUST/trusts/{trust['id']}"
    assert (await demo.delete(path)).status_code == 204
    assert not await is_good(cloud, token)
    assert (await demo.get(path)).status_code == 404
    assert (await demo.delete(path)).status_code == 404


@pytest.mark.parametrize("person", ["trustor_user_id", "trustee_user_id"])
async def test_disabling_either_ends_it(cloud, admin, demo, body, person):
    trust = (await make(demo, body)).json()["trust"]
    token = (await use(cloud, trust)).headers["x-subject-token"]
    await admin.patch(f"users/{body[person]}", json={"user": {"enabled": False}})
    assert not await is_good(cloud, token)
    assert (await use(cloud, trust)).status_code == 401


async def test_it_ends_when_the_trustor_loses_the_role(cloud, admin, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    token = (await use(cloud, trust)).headers["x-subject-token"]
    role = trust["roles"][0]["id"]
    path = f"projects/{body['project_id']}/users/{body['trustor_user_id']}/roles/{role}"
    assert (await admin.delete(path)).status_code == 204
    assert not await is_good(cloud, token)
    assert (await use(cloud, trust)).status_code == 403


async def test_uses_are_counted(cloud, demo, body):
    trust = (await make(demo, body, remaining_uses=2)).json()["trust"]
    assert [(await use(cloud, trust)).status_code for _ in range(3)] == [201, 201, 403]
    assert (await demo.get(f"OS-TRUST/trusts/{trust['id']}")).json()["trust"]["remaining_uses"] == 0


async def test_its_token_makes_no_other_access(cloud, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    token = (await use(cloud, trust)).headers["x-subject-token"]
    async with client(cloud, token) as http:
        again = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
        assert (await http.post(f"{BASE}/auth/tokens", json=again)).status_code == 403
        path = f"{BASE}/users/{body['trustor_user_id']}/application_credentials"
        assert (await http.post(path, json={"application_credential": {"name": "x"}})).status_code == 403
        http.base_url = f"http://cloud.test{BASE}/"
        assert (await make(http, body)).status_code == 403


async def test_it_is_handed_on_as_far_as_it_says(cloud, demo, body):
    trust = (await make(demo, body, allow_redelegation=True, redelegation_count=1)).json()["trust"]
    token = (await use(cloud, trust)).headers["x-subject-token"]
    async with client(cloud, token) as http:
        http.base_url = f"http://cloud.test{BASE}/"
        handed = (await make(http, body)).json()["trust"]
    assert (handed["redelegated_trust_id"], handed["redelegation_count"]) == (trust["id"], 0)
    second = (await use(cloud, handed)).headers["x-subject-token"]
    async with client(cloud, second) as http:
        http.base_url = f"http://cloud.test{BASE}/"
        assert (await make(http, body)).status_code == 403
    assert (await demo.delete(f"OS-TRUST/trusts/{trust['id']}")).status_code == 204
    assert not await is_good(cloud, second)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"impersonation": "yes"}, 400),
        ({"impersonation": None}, 400),
        ({"trustor_user_id": None}, 400),
        ({"expires_at": "bad.123Z"}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"remaining_uses": 0}, 400),
        ({"remaining_uses": "x"}, 400),
        ({"roles": []}, 400),
        ({"roles": [{"name": "none"}]}, 404),
        ({"roles": [{"name": "admin"}]}, 403),
        ({"project_id": None}, 400),
        ({"project_id": "none"}, 404),
        ({"trustee_user_id": "none"}, 404),
        ({"allow_redelegation": True, "redelegation_count": 99}, 403),
    ],
)
async def test_malformed_and_excessive_trusts_are_refused(demo, body, change, status):
    assert (await make(demo, body, **change)).status_code == status
    listed = await demo.get(f"OS-TRUST/trusts?trustor_user_id={body['trustor_user_id']}")
    assert listed.json()["trusts"] == []


async def test_who_sees_it(cloud, admin, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    path = f"OS-TRUST/trusts/{trust['id']}"
    assert (await admin.get("OS-TRUST/trusts")).json()["trusts"][0]["id"] == trust["id"]
    assert (await demo.get("OS-TRUST/trusts")).status_code == 403
    assert (await demo.get(f"OS-TRUST/trusts?trustee_user_id={body['trustee_user_id']}")).status_code == 403
    assert (await demo.get(path)).json()["trust"]["id"] == trust["id"]
    role = trust["roles"][0]["id"]
    assert (await demo.get(f"{path}/roles")).json()["roles"][0]["id"] == role
    assert (await demo.head(f"{path}/roles/{role}")).status_code == 200
    assert (await demo.get(f"{path}/roles/none")).status_code in (403, 404)
    assert (await make(admin, body)).status_code == 403
    async with client(cloud, await login(cloud, "alt_demo")) as trustee:
        assert (await trustee.get(f"{BASE}/{path}")).status_code == 200
        assert (await trustee.delete(f"{BASE}/{path}")).status_code == 403


async def test_it_goes_with_its_people_and_its_project(admin, demo, body):
    trust = (await make(demo, body)).json()["trust"]
    assert (await admin.delete(f"users/{body['trustee_user_id']}")).status_code == 204
    assert (await admin.get(f"OS-TRUST/trusts/{trust['id']}")).status_code == 404
