"""Logging in, rescoping, validating, and how access ends at once."""

from datetime import timedelta

import pytest

from pileus.kernel import clock
from pileus.kernel.testing import client, running
from pileus.services.identity.app.memory import Memory
from pileus.services.identity.app.validation import Tokens
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of

TOKENS = "/identity/v3/auth/tokens"
DEMO = {"project": {"name": "demo", "domain": {"name": "Default"}}}


async def authenticate(cloud, body):
    async with client(cloud) as http:
        return await http.post(TOKENS, json=body)


async def is_good(cloud, token):
    async with client(cloud, token) as http:
        return (await http.get("/identity/v3/auth/projects")).status_code == 200


async def make_user(admin, name="alice", password="secret", **more):
    answer = await admin.post("users", json={"user": {"name": name, "password": password, **more}})
    assert answer.status_code == 201, answer.text
    return answer.json()["user"]


async def id_of(http, plural, name):
    return (await http.get(plural, params={"name": name})).json()[plural][0]["id"]


async def grant(admin, user_id, project="demo", role="member"):
    project_id, role_id = await id_of(admin, "projects", project), await id_of(admin, "roles", role)
    answer = await admin.put(f"projects/{project_id}/users/{user_id}/roles/{role_id}")
    assert answer.status_code == 204, answer.text
    return project_id, role_id


async def test_a_project_token_shows_who_where_what_and_the_catalog(cloud):
    answer = await authenticate(cloud, auth_body("demo", password_of(cloud, "demo"), DEMO))
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert token["project"]["name"] == "demo"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["methods"] == ["password"]
    assert token["catalog"][0]["endpoints"][0]["url"] == "http://cloud.test/identity"
    assert token["expires_at"] > token["issued_at"]


async def test_catalog_follows_the_name_under_which_the_cloud_is_reached(cloud):
    async with client(cloud, Host="cloud.example:8443", **{"X-Forwarded-Proto": "https"}) as http:
        answer = await http.post(TOKENS, json=auth_body("demo", password_of(cloud, "demo"), DEMO))
    assert answer.json()["token"]["catalog"][0]["endpoints"][0]["url"] == "https://cloud.example:8443/identity"


@pytest.mark.parametrize(
    ("scope", "member"),
    [
        ({"domain": {"id": "default"}}, "domain"),
        ({"system": {"all": True}}, "system"),
        ({"project": {"name": "admin", "domain": {"id": "default"}}}, "project"),
    ],
)
async def test_scopes(cloud, scope, member):
    token = (await authenticate(cloud, auth_body("admin", password_of(cloud, "admin"), scope))).json()["token"]
    assert [name for name in ("domain", "system", "project") if name in token] == [member]
    assert "admin" in {role["name"] for role in token["roles"]}


@pytest.mark.parametrize("scope", [None, "unscoped", {"unscoped": {}}])
async def test_unscoped_tokens_have_no_roles_and_no_catalog(cloud, scope):
    token = (await authenticate(cloud, auth_body("demo", password_of(cloud, "demo"), scope))).json()["token"]
    assert not {"roles", "catalog", "project"} & token.keys()


async def test_a_default_project_is_the_scope_when_none_is_asked_for(cloud, admin):
    project = await id_of(admin, "projects", "demo")
    user = await make_user(admin, default_project_id=project)
    await grant(admin, user["id"])
    token = (await authenticate(cloud, auth_body("alice", "secret"))).json()["token"]
    assert token["project"]["id"] == project
    token = (await authenticate(cloud, auth_body("alice", "secret", "unscoped"))).json()["token"]
    assert "project" not in token


async def test_unknown_user_and_wrong_password_are_told_alike(cloud):
    wrong = await authenticate(cloud, auth_body("demo", "wrong", DEMO))
    nobody = await authenticate(cloud, auth_body("nobody", "wrong", DEMO))
    nowhere = await authenticate(cloud, auth_body("demo", "wrong", DEMO, domain="none"))
    assert wrong.status_code == nobody.status_code == nowhere.status_code == 401
    assert wrong.json() == nobody.json() == nowhere.json()


@pytest.mark.parametrize("scope", [
    {"project": {"name": "admin", "domain": {"id": "default"}}},
    {"project": {"id": "none"}},
    {"domain": {"id": "default"}},
    {"system": {"all": True}},
])  # fmt: skip
async def test_a_scope_without_a_role_is_refused(cloud, scope):
    answer = await authenticate(cloud, auth_body("demo", password_of(cloud, "demo"), scope))
    assert answer.status_code == 401
    assert "no role" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"identity": {}},
        {"identity": {"methods": []}},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": "password", "password": {"user": {"name": "a"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": "a"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": "b"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": "a", "password": 5}}}},
        {"identity": {"methods": ["token"], "token": {}}},
        {"identity": {"methods": ["application_credential"], "application_credential": {"secret": "x"}}},
    ],
)
async def test_a_malformed_log_in_is_400(cloud, auth):
    assert (await authenticate(cloud, {"auth": auth})).status_code == 400


@pytest.mark.parametrize("body", [{}, [], None, {"auth": None}])
async def test_a_log_in_without_auth_is_400(cloud, body):
    assert (await authenticate(cloud, body)).status_code == 400


@pytest.mark.parametrize("scope", [{}, {"project": {}}, {"project": {"name": "x"}}, {"system": {"all": 1}}, "all"])
async def test_a_malformed_scope_is_400(cloud, scope):
    answer = await authenticate(cloud, auth_body("demo", password_of(cloud, "demo"), scope))
    assert answer.status_code == 400


async def test_an_unknown_method_is_401(cloud):
    assert (await authenticate(cloud, {"auth": {"identity": {"methods": ["magic"]}}})).status_code == 401


async def test_a_token_of_a_token_ends_no_later_and_remembers_its_origin(cloud):
    first = await login(cloud, "admin")
    old = (await validate(cloud, first, first)).json()["token"]
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": first}}, "scope": DEMO}}
    new = (await authenticate(cloud, body)).json()["token"]
    assert new["expires_at"] == old["expires_at"]
    assert set(new["methods"]) == {"password", "token"}
    assert new["audit_ids"][1] == old["audit_ids"][0] != new["audit_ids"][0]
    assert new["project"]["name"] == "demo"


async def rescope(cloud, token, scope):
    identity = {"methods": ["token"], "token": {"id": token}}
    return await authenticate(cloud, {"auth": {"identity": identity, "scope": scope}})


async def test_a_token_of_the_system_makes_none_of_a_project_or_domain(cloud):
    system = await login(cloud, "admin", scope={"system": {"all": True}})
    for scope in ({"project": {"name": "admin", "domain": {"id": "default"}}}, {"domain": {"id": "default"}}):
        assert (await rescope(cloud, system, scope)).status_code == 403
    assert (await rescope(cloud, system, "unscoped")).status_code == 201
    assert (await rescope(cloud, system, {"system": {"all": True}})).status_code == 201


async def test_rescoping_can_be_forbidden(tmp_path):
    async with running(tmp_path, [SERVICE], {"identity": {"allow_rescope_scoped_token": False}}) as cloud:
        scoped = await login(cloud, "demo")
        assert (await rescope(cloud, scoped, DEMO)).status_code == 403
        assert (await rescope(cloud, scoped, "unscoped")).status_code == 403
        answer = await authenticate(cloud, auth_body("demo", password_of(cloud, "demo"), "unscoped"))
        assert (await rescope(cloud, answer.headers["x-subject-token"], DEMO)).status_code == 201


async def validate(cloud, token, subject, query="", method="GET"):
    async with client(cloud, token) as http:
        return await http.request(method, TOKENS + query, headers={"X-Subject-Token": subject})


async def test_validation(cloud):
    admin, demo = await login(cloud, "admin"), await login(cloud, "demo")
    shown = await validate(cloud, admin, demo)
    assert shown.status_code == 200
    assert shown.json()["token"]["user"]["name"] == "demo"
    assert shown.headers["x-subject-token"] == demo
    assert "catalog" in shown.json()["token"]
    assert "catalog" not in (await validate(cloud, admin, demo, "?nocatalog")).json()["token"]
    head = await validate(cloud, admin, demo, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert (await validate(cloud, demo, demo)).status_code == 200
    assert (await validate(cloud, demo, admin)).status_code == 403
    assert (await validate(cloud, admin, "nonsense")).status_code == 404
    assert (await validate(cloud, admin, "")).status_code == 400
    assert (await validate(cloud, "nonsense", demo)).status_code == 401


@pytest.fixture
def later():
    """A clock that can be put forward."""

    class Later(clock.SystemClock):
        late = timedelta()

        def now(self):
            return super().now() + self.late

    mine = Later()
    before = clock.use(mine)
    yield mine
    clock.use(before)


async def test_a_token_that_has_ended_is_shown_to_those_who_ask_for_it_for_a_while(cloud, later):
    token = await login(cloud, "demo")
    assert await is_good(cloud, token)
    later.late = timedelta(seconds=3601)
    admin = await login(cloud, "admin")
    assert not await is_good(cloud, token)
    assert (await validate(cloud, admin, token)).status_code == 404
    for _ in range(2):
        assert (await validate(cloud, admin, token, "?allow_expired=1")).json()["token"]["user"]["name"] == "demo"
        assert (await validate(cloud, admin, token)).status_code == 404
    assert not await is_good(cloud, token)
    assert (await rescope(cloud, token, DEMO)).status_code == 404
    later.late = timedelta(seconds=3601 + 172800)
    admin = await login(cloud, "admin")
    assert (await validate(cloud, admin, token, "?allow_expired=1")).status_code == 404


async def test_what_was_revoked_is_not_shown_as_ended(cloud, later):
    token = await login(cloud, "demo")
    assert (await validate(cloud, token, token, method="DELETE")).status_code == 204
    later.late = timedelta(seconds=3601)
    admin = await login(cloud, "admin")
    assert (await validate(cloud, admin, token, "?allow_expired=1")).status_code == 404


async def test_a_revoked_token_is_dead_at_once_and_others_live(cloud):
    admin, one, other = await login(cloud, "admin"), await login(cloud, "demo"), await login(cloud, "demo")
    assert await is_good(cloud, one)
    assert (await validate(cloud, one, one, method="DELETE")).status_code == 204
    assert not await is_good(cloud, one)
    assert await is_good(cloud, other)
    assert (await validate(cloud, admin, one)).status_code == 404
    assert (await validate(cloud, admin, one, method="DELETE")).status_code == 404


@pytest.mark.parametrize("harm", [lambda t: t[:-4], lambda t: "A" + t[1:], lambda t: t + "A" * 4000, lambda t: "é"])
async def test_harmed_tokens_are_401(cloud, harm):
    token = harm(await login(cloud))
    async with client(cloud) as http:
        answer = await http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token.encode()})
    assert answer.status_code == 401


async def test_a_token_of_another_cloud_is_401(cloud, tmp_path_factory):
    async with running(tmp_path_factory.mktemp("other"), [SERVICE]) as other:
        token = await login(other)
    assert not await is_good(cloud, token)


async def test_disabling_or_removing_a_user_ends_its_tokens_at_once(cloud, admin):
    user = await make_user(admin)
    await grant(admin, user["id"])
    token = (await authenticate(cloud, auth_body("alice", "secret", DEMO))).headers["x-subject-token"]
    assert await is_good(cloud, token)
    assert (await admin.patch(f"users/{user['id']}", json={"user": {"enabled": False}})).status_code == 200
    assert not await is_good(cloud, token)
    assert (await authenticate(cloud, auth_body("alice", "secret", DEMO))).status_code == 401
    await admin.patch(f"users/{user['id']}", json={"user": {"enabled": True}})
    assert not await is_good(cloud, token)
    token = (await authenticate(cloud, auth_body("alice", "secret", DEMO))).headers["x-subject-token"]
    assert (await admin.delete(f"users/{user['id']}")).status_code == 204
    assert not await is_good(cloud, token)


async def test_losing_the_last_role_ends_a_token_at_once_and_a_new_role_counts_at_once(cloud, admin):
    user = await make_user(admin)
    project, role = await grant(admin, user["id"])
    token = (await authenticate(cloud, auth_body("alice", "secret", DEMO))).headers["x-subject-token"]
    manager = await id_of(admin, "roles", "manager")
    await admin.put(f"projects/{project}/users/{user['id']}/roles/{manager}")
    shown = (await validate(cloud, token, token)).json()["token"]
    assert "manager" in {role["name"] for role in shown["roles"]}
    for id in (role, manager):
        assert (await admin.delete(f"projects/{project}/users/{user['id']}/roles/{id}")).status_code == 204
    assert not await is_good(cloud, token)


@pytest.mark.parametrize("kind", ["project", "domain"])
async def test_disabling_a_project_or_domain_ends_its_tokens_at_once(cloud, admin, kind):
    domain = (await admin.post("domains", json={"domain": {"name": "d"}})).json()["domain"]["id"]
    body = {"project": {"name": "p", "domain_id": domain}}
    project = (await admin.post("projects", json=body)).json()["project"]["id"]
    user = await make_user(admin, domain_id=domain)
    role = await id_of(admin, "roles", "member")
    await admin.put(f"projects/{project}/users/{user['id']}/roles/{role}")
    auth = auth_body("alice", "secret", {"project": {"id": project}}, domain=domain)
    token = (await authenticate(cloud, auth)).headers["x-subject-token"]
    assert await is_good(cloud, token)
    target = f"projects/{project}" if kind == "project" else f"domains/{domain}"
    assert (await admin.patch(target, json={kind: {"enabled": False}})).status_code == 200
    assert not await is_good(cloud, token)
    assert (await authenticate(cloud, auth)).status_code == 401


async def test_a_changed_password_ends_the_tokens_and_counts_at_once(cloud, admin):
    user = await make_user(admin)
    await grant(admin, user["id"])
    token = (await authenticate(cloud, auth_body("alice", "secret", DEMO))).headers["x-subject-token"]
    async with client(cloud) as http:
        path = f"/identity/v3/users/{user['id']}/password"
        wrong = await http.post(path, json={"user": {"password": "new", "original_password": "x"}})
        assert wrong.status_code == 401
        assert await is_good(cloud, token)
        right = await http.post(path, json={"user": {"password": "new", "original_password": "secret"}})
        assert right.status_code == 204
        assert (await http.post(path, json={"user": {"password": "new"}})).status_code == 400
        nobody = await http.post(
            "/identity/v3/users/none/password", json={"user": {"password": "new", "original_password": "x"}}
        )
        assert nobody.status_code == 401
    assert not await is_good(cloud, token)
    assert (await authenticate(cloud, auth_body("alice", "secret", DEMO))).status_code == 401
    assert (await authenticate(cloud, auth_body("alice", "new", DEMO))).status_code == 201


async def test_rotating_keys_loses_no_session(cloud):
    token = await login(cloud)
    cloud.part(Tokens).keys.rotate()
    cloud.part(Memory).clear()
    assert await is_good(cloud, token)
    assert await is_good(cloud, await login(cloud))


@pytest.mark.parametrize("password", ["x" * 200, "nul\0inside", "ünïcødé" * 20, ""])
async def test_any_password_works_to_its_last_character(cloud, admin, password):
    await make_user(admin, password=password)
    assert (await authenticate(cloud, auth_body("alice", password))).status_code == 201
    assert (await authenticate(cloud, auth_body("alice", password + "x"))).status_code == 401


async def test_the_storage_header_of_old_clients_is_a_token_too(cloud):
    async with client(cloud, **{"X-Storage-Token": await login(cloud)}) as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 200


async def test_versions_are_open_to_all(cloud):
    async with client(cloud) as http:
        root = await http.get("/identity")
        assert root.status_code == 300
        assert root.json()["versions"]["values"][0]["id"].startswith("v3.")
        assert (await http.get("/identity/v3")).json()["version"]["status"] == "stable"
        assert (await http.get("/identity/v3/users")).status_code == 401


async def test_a_bad_service_token_is_refused_and_a_good_one_is_not(cloud):
    for second, status in ((await login(cloud, "admin"), 200), ("nonsense", 401)):
        async with client(cloud, await login(cloud), **{"X-Service-Token": second}) as http:
            assert (await http.get("/identity/v3/auth/projects")).status_code == status
