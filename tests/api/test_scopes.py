"""For which scopes a token is good: a domain's administrator administers that domain, and no cloud."""

from collections.abc import AsyncIterator

import httpx
import pytest

from pileus.kernel.policy import PROJECT
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import auth_body, login
from tests.everywhere import Way, ways

NOWHERE = "5eed0000-0000-4000-8000-00000000000b"


@pytest.fixture
async def cloud(tmp_path) -> AsyncIterator[Runtime]:
    async with running(tmp_path) as runtime:
        yield runtime


async def domain_admin(cloud: Runtime, admin: httpx.AsyncClient) -> tuple[str, str, str]:
    """Return a token for a new domain of a user who is admin there and nowhere else, the domain, and the user."""
    v3 = "/identity/v3"
    domain = (await admin.post(f"{v3}/domains", json={"domain": {"name": "acme"}})).json()["domain"]["id"]
    body = {"user": {"name": "boss", "password": "secret", "domain_id": domain}}
    user = (await admin.post(f"{v3}/users", json=body)).json()["user"]["id"]
    role = (await admin.get(f"{v3}/roles?name=admin")).json()["roles"][0]["id"]
    assert (await admin.put(f"{v3}/domains/{domain}/users/{user}/roles/{role}")).status_code == 204
    async with client(cloud) as http:
        auth = auth_body("boss", "secret", {"domain": {"id": domain}}, domain)
        answer = await http.post(f"{v3}/auth/tokens", json=auth)
    assert answer.status_code == 201, answer.text
    return answer.headers["x-subject-token"], domain, user


async def ask(http: httpx.AsyncClient, way: Way) -> httpx.Response:
    return await http.request(way.method, way.path(NOWHERE), json=way.body, headers=way.headers)


async def test_a_token_of_another_scope_is_refused_everywhere_with_the_scope_it_takes(cloud):
    async with client(cloud, await login(cloud, "admin")) as admin:
        of_domain, _, _ = await domain_admin(cloud, admin)
    tokens = {"a domain": of_domain, "the system": await login(cloud, "admin", scope={"system": {"all": True}})}
    guarded = [(way, rule) for way in ways() if (rule := way.endpoint.route.rule) is not None]
    of_projects = [way for way, rule in guarded if rule.scopes == PROJECT]
    assert len(of_projects) > 400
    wrong = []
    for held, token in tokens.items():
        async with client(cloud, token) as http:
            for way in of_projects:
                answer = await ask(http, way)
                said = f"with a token for {held}: it needs a token for a project" in answer.text
                if answer.status_code != 403 or not said:
                    wrong.append(f"{held}: {way.name}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []


async def test_the_admin_of_a_domain_sees_and_makes_nothing_in_the_cloud(cloud):
    async with client(cloud, await login(cloud, "admin")) as admin:
        token, domain, _ = await domain_admin(cloud, admin)
        before = [(await admin.get(path)).json() for path in ("/image/v2/images", "/networking/v2.0/networks")]
        async with client(cloud, token) as http:
            for method, path, body in (
                ("GET", "/compute/v2.1/servers?all_tenants=1", None),
                ("GET", "/compute/v2.1/os-hypervisors", None),
                ("GET", "/volume/v3/volumes/detail?all_tenants=1", None),
                ("GET", "/placement/resource_providers", None),
                ("POST", "/image/v2/images", {"name": "x"}),
                ("POST", "/networking/v2.0/networks", {"network": {"name": "x"}}),
                ("GET", f"/object-store/v1/AUTH_{domain}", None),
            ):
                answer = await http.request(method, path, json=body)
                assert answer.status_code == 403, f"{path}: {answer.text}"
        after = [(await admin.get(path)).json() for path in ("/image/v2/images", "/networking/v2.0/networks")]
    assert before == after


async def test_the_admin_of_a_domain_administers_that_domain_and_no_other(cloud):
    async with client(cloud, await login(cloud, "admin")) as admin:
        token, domain, boss = await domain_admin(cloud, admin)
        admin.base_url = "http://cloud.test/identity/v3/"
        stranger = (await admin.get("users?name=demo")).json()["users"][0]
        project = (await admin.get("projects?name=demo")).json()["projects"][0]["id"]
        roles = {row["name"]: row["id"] for row in (await admin.get("roles")).json()["roles"]}
        group = (await admin.post("groups", json={"group": {"name": "g"}})).json()["group"]["id"]
        async with client(cloud, token) as http:
            http.base_url = "http://cloud.test/identity/v3/"
            for method, path, body in (
                ("PATCH", f"users/{stranger['id']}", {"user": {"password": "mine"}}),
                ("DELETE", f"users/{stranger['id']}", None),
                ("GET", f"users/{stranger['id']}", None),
                ("POST", "users", {"user": {"name": "x", "domain_id": "default"}}),
                ("PATCH", f"groups/{group}", {"group": {"name": "h"}}),
                ("PUT", f"groups/{group}/users/{boss}", None),
                ("PATCH", f"projects/{project}", {"project": {"name": "mine"}}),
                ("PUT", f"projects/{project}/users/{boss}/roles/{roles['member']}", None),
                ("POST", "credentials", {"credential": {"type": "x", "blob": "x", "user_id": stranger["id"]}}),
                ("PUT", f"system/users/{boss}/roles/{roles['admin']}", None),
                # an admin of a project is the cloud's, so nobody makes oneself one
                ("PUT", f"domains/{domain}/users/{boss}/roles/{roles['admin']}", None),
            ):
                answer = await http.request(method, path, json=body)
                assert answer.status_code == 403, f"{method} {path}: {answer.text}"
            mine = {"project": {"name": "mine", "domain_id": domain}}
            own = (await http.post("projects", json=mine)).json()["project"]["id"]
            for method, path, body, status in (
                ("PATCH", f"users/{boss}", {"user": {"description": "x"}}, 200),
                ("PUT", f"projects/{own}/users/{boss}/roles/{roles['member']}", None, 204),
                ("PUT", f"projects/{own}/users/{boss}/roles/{roles['admin']}", None, 403),
                ("GET", "credentials", None, 200),
            ):
                answer = await http.request(method, path, json=body)
                assert answer.status_code == status, f"{method} {path}: {answer.text}"
            assert (await http.get("credentials")).json()["credentials"] == []
        assert (await admin.get(f"users/{stranger['id']}")).json()["user"] == stranger


async def test_nothing_is_made_without_an_owner(cloud):
    async with client(cloud, await login(cloud, "admin")) as admin:
        for path, body in (
            ("/image/v2/images", {"name": "x", "owner": None}),
            ("/networking/v2.0/networks", {"network": {"name": "x", "project_id": ""}}),
            ("/networking/v2.0/security-groups", {"security_group": {"name": "x", "tenant_id": ""}}),
        ):
            answer = await admin.post(path, json=body)
            assert answer.status_code == 400, path
            assert "owner" in answer.text, path
        image = (await admin.post("/image/v2/images", json={"name": "x"})).json()
        change = [{"op": "replace", "path": "/owner", "value": None}]
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        answer = await admin.patch(f"/image/v2/images/{image['id']}", json=change, headers=patch)
        assert answer.status_code == 400
        assert (await admin.get(f"/image/v2/images/{image['id']}")).json()["owner"] == image["owner"]
