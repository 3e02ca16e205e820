"""Who may do what: admin, a domain's manager and reader, the system's reader, and people with a project only."""

import pytest

from pileus.kernel.testing import client
from pileus.services.identity.testing import auth_body

READS = ["users", "groups", "projects", "domains", "roles", "services", "endpoints", "role_assignments"]


async def id_of(http, plural, name):
    return (await http.get(plural, params={"name": name})).json()[plural][0]["id"]


@pytest.fixture
async def persona(cloud, admin):
    """Return ``make(role, where)``: a session of a new user with one role on the system, a domain or a project."""
    sessions = []
    domain = (await admin.post("domains", json={"domain": {"name": "acme"}})).json()["domain"]["id"]

    async def make(role, where):
        body = {"user": {"name": f"{role}-{where}", "password": "secret", "domain_id": domain}}
        user = (await admin.post("users", json=body)).json()["user"]["id"]
        project = await id_of(admin, "projects", "demo")
        place = {"system": "system", "domain": f"domains/{domain}", "project": f"projects/{project}"}[where]
        role_id = await id_of(admin, "roles", role)
        assert (await admin.put(f"{place}/users/{user}/roles/{role_id}")).status_code == 204
        scope = {"system": {"all": True}} if where == "system" else {where: {"id": place.rpartition("/")[2]}}
        http = client(cloud)
        sessions.append(http)
        auth = auth_body(f"{role}-{where}", "secret", scope, domain)
        answer = await http.post("/identity/v3/auth/tokens", json=auth)
        assert answer.status_code == 201, answer.text
        http.headers["X-Auth-Token"] = answer.headers["x-subject-token"]
        http.base_url = "http://cloud.test/identity/v3/"
        return http, domain, user

    yield make
    for session in sessions:
        await session.aclose()


async def test_the_systems_reader_sees_all_and_changes_nothing(persona, admin):
    http, domain, _ = await persona("reader", "system")
    for plural in READS:
        answer = await http.get(plural)
        assert answer.status_code == 200, plural
    assert len((await http.get("users")).json()["users"]) == 4
    assert (await http.post("users", json={"user": {"name": "x", "domain_id": domain}})).status_code == 403
    assert (await http.delete(f"domains/{domain}")).status_code == 403


async def test_a_domains_manager_manages_that_domain_only(persona, admin):
    http, domain, _ = await persona("manager", "domain")
    assert (await http.post("users", json={"user": {"name": "x"}})).status_code == 403
    made = await http.post("users", json={"user": {"name": "x", "domain_id": domain}})
    assert made.status_code == 201
    assert made.json()["user"]["domain_id"] == domain
    user = made.json()["user"]["id"]
    assert (await http.post("users", json={"user": {"name": "x", "domain_id": "default"}})).status_code == 403
    assert {row["domain_id"] for row in (await http.get("users")).json()["users"]} == {domain}
    assert {row["id"] for row in (await http.get("domains")).json()["domains"]} == {domain}
    project = (await http.post("projects", json={"project": {"name": "p", "domain_id": domain}})).json()["project"][
        "id"
    ]
    member, admin_role = await id_of(admin, "roles", "member"), await id_of(admin, "roles", "admin")
    assert (await http.put(f"projects/{project}/users/{user}/roles/{member}")).status_code == 204
    assert (await http.put(f"projects/{project}/users/{user}/roles/{admin_role}")).status_code == 403
    foreign = await id_of(admin, "projects", "demo")
    assert (await http.put(f"projects/{foreign}/users/{user}/roles/{member}")).status_code == 403
    stranger = await id_of(admin, "users", "demo")
    for answer in (
        await http.get(f"users/{stranger}"),
        await http.patch(f"users/{stranger}", json={"user": {"enabled": False}}),
        await http.delete(f"users/{stranger}"),
        await http.delete(f"projects/{foreign}"),
        await http.post("roles", json={"role": {"name": "r"}}),
        await http.post("domains", json={"domain": {"name": "d"}}),
        await http.get("services"),
    ):
        assert answer.status_code == 403
    assert (await http.delete(f"users/{user}")).status_code == 204


async def test_a_domains_reader_reads_that_domain_only(persona, admin):
    http, _, user = await persona("reader", "domain")
    assert (await http.get("users")).status_code == 200
    assert (await http.get(f"users/{user}")).status_code == 200
    assert (await http.post("users", json={"user": {"name": "x"}})).status_code == 403
    assert (await http.delete(f"users/{user}")).status_code == 403


async def test_a_domains_administrator_has_no_business_outside_it(persona, admin):
    http, domain, user = await persona("admin", "domain")
    assert {row["domain_id"] for row in (await http.get("users")).json()["users"]} == {domain}
    assert {row["id"] for row in (await http.get("domains")).json()["domains"]} == {domain}
    assert (await http.patch(f"users/{user}", json={"user": {"description": "x"}})).status_code == 200
    for method, path in (
        ("GET", "endpoints"),
        ("GET", "OS-EP-FILTER/endpoint_groups"),
        ("GET", "policies"),
        ("GET", f"roles?domain_id={domain}"),
        ("DELETE", "regions/RegionOne"),
        ("DELETE", "services/none"),
        ("PUT", "limits/none"),
        ("PATCH", f"domains/{domain}"),
        ("GET", f"domains/{domain}/config"),
    ):
        body = {"domain": {"description": "x"}} if method == "PATCH" else None
        answer = await http.request(method, path, json=body)
        assert answer.status_code == (405 if method == "PUT" else 403), path
    assert (await admin.get("regions/RegionOne")).status_code == 200


async def test_a_role_of_a_domain_is_judged_by_rules_of_its_own(persona, admin):
    http, domain, _ = await persona("manager", "domain")
    plain, own = await id_of(admin, "roles", "member"), {"role": {"name": "own", "domain_id": domain}}
    of_domain = (await admin.post("roles", json=own)).json()["role"]["id"]
    assert (await http.get(f"roles/{plain}")).status_code == 200
    for path in (f"roles/{of_domain}", f"roles?domain_id={domain}", f"roles/{await id_of(admin, 'roles', 'admin')}"):
        assert (await http.get(path)).status_code == 403
    assert (await admin.get(f"roles/{of_domain}")).status_code == 200


async def test_a_role_of_a_domain_is_given_in_that_domain_only(persona, admin):
    _, domain, user = await persona("reader", "domain")
    role = (await admin.post("roles", json={"role": {"name": "own", "domain_id": domain}})).json()["role"]["id"]
    body = {"project": {"name": "inside", "domain_id": domain}}
    inside = (await admin.post("projects", json=body)).json()["project"]["id"]
    outside = await id_of(admin, "projects", "demo")
    assert (await admin.put(f"projects/{inside}/users/{user}/roles/{role}")).status_code == 204
    assert (await admin.put(f"projects/{outside}/users/{user}/roles/{role}")).status_code == 403
    assert (await admin.put(f"system/users/{user}/roles/{role}")).status_code == 400
    given = (await admin.get("role_assignments", params={"role.id": role})).json()["role_assignments"]
    assert [row["scope"]["project"]["id"] for row in given] == [inside]


async def test_groups_and_members_are_judged_together(persona, admin):
    http, domain, user = await persona("manager", "domain")
    own = (await http.post("groups", json={"group": {"name": "own", "domain_id": domain}})).json()["group"]["id"]
    stranger = await id_of(admin, "users", "demo")
    assert (await http.put(f"groups/{own}/users/{user}")).status_code == 204
    for other in (stranger, "none"):
        assert (await http.put(f"groups/{own}/users/{other}")).status_code == 403
    assert (await admin.put(f"groups/{own}/users/none")).status_code == 404
    assert (await admin.put(f"groups/{own}/users/{stranger}")).status_code == 204
    assert [row["id"] for row in (await http.get(f"groups/{own}/users")).json()["users"]] == [user]
    assert len((await admin.get(f"groups/{own}/users")).json()["users"]) == 2


@pytest.mark.parametrize("role", ["reader", "member"])
async def test_who_may_not_act_is_not_told_what_is_missing(persona, role):
    http, _, _ = await persona(role, "system")
    for plural in ("users", "groups", "projects", "roles", "services", "endpoints", "regions", "policies", "limits"):
        assert (await http.get(f"{plural}/none")).status_code == 404, plural
        gone = 404 if plural in ("groups", "roles") else 403  # as upstream's
        assert (await http.delete(f"{plural}/none")).status_code == gone, plural


@pytest.mark.parametrize("role", ["reader", "member", "manager"])
async def test_people_with_a_project_see_themselves_only(persona, admin, role):
    http, _, user = await persona(role, "project")
    assert (await http.get(f"users/{user}")).status_code == 200
    assert (await http.get(f"users/{user}/projects")).status_code == 200
    assert (await http.get("auth/projects")).json()["projects"][0]["name"] == "demo"
    stranger = await id_of(admin, "users", "admin")
    for plural in ("users", "groups", "projects", "domains", "services", "endpoints", "role_assignments"):
        assert (await http.get(plural)).status_code == 403, plural
    for path in (f"users/{stranger}", "users/none", "groups/none", "projects/none", "services/none"):
        assert (await http.get(path)).status_code == 403, path
    assert (await http.patch(f"users/{user}", json={"user": {"name": "root"}})).status_code == 403


async def test_nobody_without_a_token_gets_in(cloud):
    async with client(cloud) as http:
        for plural in (*READS, "regions", "auth/projects", "auth/catalog", "auth/domains", "auth/system"):
            assert (await http.get(f"/identity/v3/{plural}")).status_code == 401, plural
