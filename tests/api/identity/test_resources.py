"""Users, groups, projects, domains, roles and the catalog: made, found, changed, removed; bad input changes nothing."""

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pileus.kernel import clock
from pileus.kernel.testing import client
from pileus.services.identity.model import Membership, User
from pileus.services.identity.testing import login

LONG = "x" * 70_000
KINDS = {
    "users": ("user", {"name": "alice"}),
    "groups": ("group", {"name": "staff"}),
    "projects": ("project", {"name": "web"}),
    "domains": ("domain", {"name": "dom"}),
    "roles": ("role", {"name": "auditor"}),
    "services": ("service", {"type": "dns", "name": "designate"}),
    "regions": ("region", {"id": "north"}),
}


async def make(http, plural, **more):
    noun, body = KINDS[plural]
    answer = await http.post(plural, json={noun: {**body, **more}})
    assert answer.status_code == 201, answer.text
    return answer.json()[noun]


async def id_of(http, plural, name):
    return (await http.get(plural, params={"name": name})).json()[plural][0]["id"]


@pytest.mark.parametrize("plural", KINDS)
async def test_the_life_of_a_resource(admin, plural):
    noun, _ = KINDS[plural]
    made = await make(admin, plural, colour="red", description="first")
    assert made["links"]["self"] == f"http://cloud.test/identity/v3/{plural}/{made['id']}"
    path = f"{plural}/{made['id']}"
    shown = (await admin.get(path)).json()[noun]
    assert shown == made
    assert shown["colour"] == "red"
    assert (await admin.head(path)).status_code == 200
    listed = (await admin.get(plural)).json()
    assert made in listed[plural]
    assert listed["links"]["self"].endswith(plural)
    changed = (await admin.patch(path, json={noun: {"description": "second", "size": 5}})).json()[noun]
    assert (changed["description"], changed["size"], changed["colour"]) == ("second", 5, "red")
    if plural == "domains":
        assert (await admin.delete(path)).status_code == 403
        await admin.patch(path, json={"domain": {"enabled": False}})
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 404
    assert (await admin.patch(path, json={noun: {"description": "x"}})).status_code == 404
    assert (await admin.delete(path)).status_code == 404


@pytest.mark.parametrize("plural", ["users", "groups", "projects", "domains", "roles"])
@pytest.mark.parametrize("wrong", [{}, {"name": ""}, {"name": None}, {"name": 5}, {"name": LONG}, None, [], "x"])
async def test_malformed_resources_are_400_and_not_made(admin, plural, wrong):
    noun = KINDS[plural][0]
    before = (await admin.get(plural)).json()[plural]
    assert (await admin.post(plural, json={noun: wrong})).status_code == 400
    assert (await admin.post(plural, json=wrong)).status_code == 400
    assert (await admin.get(plural)).json()[plural] == before


@pytest.mark.parametrize(
    ("plural", "wrong"),
    [
        *((plural, {"name": "a\0b"}) for plural in ("users", "groups", "projects", "domains", "roles")),
        ("users", {"enabled": "yes"}),
        ("users", {"password": 5}),
        ("users", {"password": LONG}),
        ("users", {"options": []}),
        ("projects", {"enabled": 1}),
        ("projects", {"tags": "red"}),
        ("projects", {"tags": ["a,b"]}),
        ("projects", {"tags": ["x"] * 81}),
        ("domains", {"enabled": None}),
        ("domains", {"explicit_domain_id": "not an id"}),
        ("services", {"type": ""}),
        ("services", {"enabled": "x"}),
        ("regions", {"id": LONG}),
        ("roles", {"options": 5}),
    ],
)
async def test_wrong_fields_are_named(admin, plural, wrong):
    noun, body = KINDS[plural]
    answer = await admin.post(plural, json={noun: {**body, **wrong}})
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]


@pytest.mark.parametrize("plural", ["users", "groups", "projects", "domains", "roles"])
async def test_names_are_unique(admin, plural):
    noun, body = KINDS[plural]
    await make(admin, plural)
    assert (await admin.post(plural, json={noun: body})).status_code == 409
    other = await make(admin, plural, name="other")
    answer = await admin.patch(f"{plural}/{other['id']}", json={noun: {"name": body["name"]}})
    assert answer.status_code == 409


@pytest.mark.parametrize("plural", ["users", "groups", "projects"])
async def test_a_name_may_repeat_in_another_domain_and_a_domain_must_exist(admin, plural):
    noun, body = KINDS[plural]
    domain = (await make(admin, "domains"))["id"]
    await make(admin, plural)
    there = await make(admin, plural, domain_id=domain)
    assert there["domain_id"] == domain
    assert (await admin.post(plural, json={noun: {**body, "domain_id": "none"}})).status_code == 404
    moved = await admin.patch(f"{plural}/{there['id']}", json={noun: {"domain_id": "default"}})
    assert moved.status_code == 400
    found = (await admin.get(plural, params={"domain_id": domain})).json()[plural]
    assert [row["id"] for row in found] == [there["id"]]


async def test_secrets_are_never_shown(admin):
    user = await make(admin, "users", password="secret")
    assert "password" not in user
    assert "secret" not in (await admin.get("users")).text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=alice", {"alice"}),
        ("name__contains=lic", {"alice"}),
        ("name__icontains=LIC", {"alice"}),
        ("name__startswith=al", {"alice", "alt_demo"}),
        ("name__endswith=demo", {"demo", "alt_demo"}),
        ("name__contains=%25", set()),
        ("enabled=false", {"alice"}),
        ("enabled=true&name__startswith=a", {"admin", "alt_demo"}),
        ("name=none", set()),
    ],
)
async def test_filters(admin, query, names):
    await make(admin, "users", enabled=False)
    found = (await admin.get(f"users?{query}")).json()["users"]
    assert {row["name"] for row in found} == names


async def test_pages(admin):
    every = [row["id"] for row in (await admin.get("users")).json()["users"]]
    ids, url = [], "users?limit=2"
    while url:
        answer = (await admin.get(url)).json()
        ids += [row["id"] for row in answer["users"]]
        url = answer["links"]["next"]
    assert ids == every
    assert (await admin.get("users?marker=none")).status_code == 400
    assert (await admin.get("users?limit=many")).status_code == 400
    assert (await admin.get("users?limit=2")).json()["truncated"] is True
    assert "truncated" not in (await admin.get("users?limit=0")).json()


async def test_lists_are_sorted(admin):
    for query, names in (
        ("sort_key=name", ["admin", "alt_demo", "demo"]),
        ("sort_key=name&sort_dir=desc", ["demo", "alt_demo", "admin"]),
        ("sort_key=enabled,name&sort_dir=asc&limit=1", ["admin"]),
    ):
        assert [row["name"] for row in (await admin.get(f"users?{query}")).json()["users"]] == names
    first = (await admin.get("users?sort_key=name&sort_dir=desc&limit=2")).json()
    assert [row["name"] for row in (await admin.get(first["links"]["next"])).json()["users"]] == ["admin"]
    for wrong in ("sort_key=colour", "sort_key=name&sort_dir=sideways"):
        assert (await admin.get(f"users?{wrong}")).status_code == 400


async def test_the_projects_a_user_has_a_role_on(admin):
    user, role = await id_of(admin, "users", "demo"), await id_of(admin, "roles", "member")
    shut = await make(admin, "projects", name="shut", enabled=False)
    assert (await admin.put(f"projects/{shut['id']}/users/{user}/roles/{role}")).status_code == 204
    for query, names in (
        ("", {"demo", "invisible_to_admin", "shut"}),
        ("?enabled=false", {"shut"}),
        ("?name=demo", {"demo"}),
    ):
        answer = await admin.get(f"users/{user}/projects{query}")
        assert {row["name"] for row in answer.json()["projects"]} == names


async def test_a_change_of_a_group_rewrites_none_of_its_members(cloud, admin):
    group = (await make(admin, "groups"))["id"]
    written = []

    def fill(tx):
        people = [User(id=f"u{n}", domain_id="default", name=f"u{n}", created_at=clock.now()) for n in range(300)]
        tx.add_all(people)
        tx.flush()
        tx.add_all(Membership(user_id=row.id, group_id=group) for row in people)

    def count(connection, cursor, statement, parameters, context, many):
        if not statement.lstrip().lower().startswith("select"):
            written.append(max(cursor.rowcount, 0))

    await cloud.db.write(fill)
    role, project = await id_of(admin, "roles", "member"), await id_of(admin, "projects", "demo")
    event.listen(Engine, "after_cursor_execute", count)
    try:
        changed = await admin.patch(f"groups/{group}", json={"group": {"name": "crew"}})
        given = await admin.put(f"projects/{project}/groups/{group}/roles/{role}")
        left = await admin.delete(f"groups/{group}/users/u0")
    finally:
        event.remove(Engine, "after_cursor_execute", count)
    assert (changed.status_code, given.status_code, left.status_code) == (200, 204, 204)
    assert sum(written) < 40


async def test_unicode_names_live(admin):
    made = await make(admin, "projects", name="プロジェクト🌥")
    assert (await admin.get("projects", params={"name": "プロジェクト🌥"})).json()["projects"][0]["id"] == made["id"]


async def test_a_tree_of_projects(admin):
    top = await make(admin, "projects")
    path = [top["id"]]
    for depth in range(4):
        below = await make(admin, "projects", name=f"level{depth}", parent_id=path[-1])
        path.append(below["id"])
    too_deep = await admin.post("projects", json={"project": {"name": "deep", "parent_id": path[-1]}})
    assert too_deep.status_code == 403
    assert (await admin.delete(f"projects/{top['id']}")).status_code == 403
    assert (await admin.patch(f"projects/{top['id']}", json={"project": {"enabled": False}})).status_code == 403
    assert (await admin.patch(f"projects/{path[1]}", json={"project": {"parent_id": path[3]}})).status_code == 403
    tree = (await admin.get(f"projects/{top['id']}?subtree_as_ids")).json()["project"]["subtree"]
    assert tree == {path[1]: {path[2]: {path[3]: {path[4]: None}}}}
    above = (await admin.get(f"projects/{path[3]}?parents_as_ids")).json()["project"]["parents"]
    assert above == {path[2]: {path[1]: {path[0]: {"default": None}}}}
    assert (await admin.get(f"projects/{path[3]}?parents_as_ids&parents_as_list")).status_code == 400
    assert (await admin.post("projects", json={"project": {"name": "x", "parent_id": "none"}})).status_code == 404


async def test_tags(admin):
    project = await make(admin, "projects", tags=["red", "blue"])
    assert project["tags"] == ["blue", "red"]
    path = f"projects/{project['id']}/tags"
    assert (await admin.get(path)).json()["tags"] == ["blue", "red"]
    assert (await admin.put(f"{path}/green")).status_code == 201
    assert (await admin.head(f"{path}/green")).status_code == 204
    assert (await admin.get(f"{path}/none")).status_code == 404
    assert (await admin.put(f"{path}/a%2Cb")).status_code == 400
    for wrong in ("green", "/", "a/b", "%2F", ""):
        assert (await admin.put(f"{path}/{wrong}")).status_code == 400, wrong
    assert (await admin.put(path, json={"tags": ["one", "one"]})).status_code == 400
    assert (await admin.post("projects", json={"project": {"name": "y", "tags": ["a", "a"]}})).status_code == 400
    assert (await admin.get(path)).json()["tags"] == ["blue", "green", "red"]
    assert (await admin.delete(f"{path}/none")).status_code == 404
    assert (await admin.delete(f"{path}/red")).status_code == 204

    async def found(query):
        rows = (await admin.get(f"projects?{query}")).json()["projects"]
        return project["id"] in {row["id"] for row in rows}

    assert await found("tags=blue,green")
    assert not await found("tags=blue,red")
    assert await found("tags-any=blue,red")
    assert not await found("not-tags=blue,green")
    assert not await found("not-tags-any=blue,red")
    assert (await admin.put(path, json={"tags": ["one"]})).json()["tags"] == ["one"]
    assert (await admin.put(path, json={"tags": [5]})).status_code == 400
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).json()["tags"] == []


async def test_removing_a_domain_removes_what_is_in_it(admin):
    domain = (await make(admin, "domains"))["id"]
    user, group, project, role = [
        await make(admin, plural, domain_id=domain) for plural in ("users", "groups", "projects", "roles")
    ]
    path = f"projects/{project['id']}/users/{user['id']}/roles/{role['id']}"
    assert (await admin.put(path)).status_code == 204
    await admin.patch(f"domains/{domain}", json={"domain": {"enabled": False}})
    assert (await admin.delete(f"domains/{domain}")).status_code == 204
    for gone in (f"users/{user['id']}", f"groups/{group['id']}", f"projects/{project['id']}", f"roles/{role['id']}"):
        assert (await admin.get(gone)).status_code == 404
    assignments = (await admin.get("role_assignments")).json()["role_assignments"]
    assert role["id"] not in {entry["role"]["id"] for entry in assignments}


async def test_groups_and_members(admin):
    user, group = await make(admin, "users"), await make(admin, "groups")
    path = f"groups/{group['id']}/users/{user['id']}"
    assert (await admin.head(path)).status_code == 404
    assert (await admin.put(path)).status_code == 204
    assert (await admin.put(path)).status_code == 204
    assert (await admin.head(path)).status_code == 204
    assert (await admin.get(f"groups/{group['id']}/users")).json()["users"][0]["id"] == user["id"]
    assert (await admin.get(f"users/{user['id']}/groups")).json()["groups"][0]["id"] == group["id"]
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.delete(path)).status_code == 404
    assert (await admin.put(f"groups/{group['id']}/users/none")).status_code == 404
    assert (await admin.put(f"groups/none/users/{user['id']}")).status_code == 404


@pytest.mark.parametrize("actor", ["user", "group"])
@pytest.mark.parametrize(
    ("target", "inherited"),
    [("project", False), ("project", True), ("domain", False), ("domain", True), ("system", False)],
)
async def test_grants(admin, target, actor, inherited):
    who = await make(admin, f"{actor}s")
    where = "system" if target == "system" else f"{target}s/{(await make(admin, f'{target}s'))['id']}"
    role = await id_of(admin, "roles", "member")
    base, tail = f"{where}/{actor}s/{who['id']}/roles", ""
    if inherited:
        base, tail = f"OS-INHERIT/{base}", "/inherited_to_projects"
    path = f"{base}/{role}{tail}"
    assert (await admin.head(path)).status_code == 404
    assert (await admin.delete(path)).status_code == 404
    assert (await admin.put(path)).status_code == 204
    assert (await admin.put(path)).status_code == 204
    assert (await admin.head(path)).status_code == 204
    assert [row["name"] for row in (await admin.get(f"{base}{tail}")).json()["roles"]] == ["member"]
    listed = (await admin.get(f"role_assignments?{actor}.id={who['id']}")).json()["role_assignments"]
    assert len(listed) == 1
    assert listed[0]["scope"].get("OS-INHERIT:inherited_to") == ("projects" if inherited else None)
    assert (await admin.put(f"{base}/none{tail}")).status_code == 404
    assert (await admin.put(path.replace(who["id"], "none"))).status_code == 404
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(f"role_assignments?{actor}.id={who['id']}")).json()["role_assignments"] == []


async def test_effective_assignments_follow_groups_inheritance_and_inference(admin):
    user, group = await make(admin, "users"), await make(admin, "groups")
    top = await make(admin, "projects")
    below = await make(admin, "projects", name="below", parent_id=top["id"])
    manager = await id_of(admin, "roles", "manager")
    await admin.put(f"groups/{group['id']}/users/{user['id']}")
    path = f"OS-INHERIT/projects/{top['id']}/groups/{group['id']}/roles/{manager}/inherited_to_projects"
    assert (await admin.put(path)).status_code == 204
    query = f"role_assignments?user.id={user['id']}&effective&include_names"
    found = (await admin.get(query)).json()["role_assignments"]
    assert {entry["role"]["name"] for entry in found} == {"manager", "member", "reader"}
    assert {entry["scope"]["project"]["id"] for entry in found} == {below["id"]}
    assert {entry["user"]["name"] for entry in found} == {"alice"}
    assert (await admin.get(f"role_assignments?user.id={user['id']}")).json()["role_assignments"] == []
    tree = f"role_assignments?scope.project.id={top['id']}&include_subtree"
    assert len((await admin.get(tree)).json()["role_assignments"]) == 1
    projects = (await admin.get(f"users/{user['id']}/projects")).json()["projects"]
    assert [row["name"] for row in projects] == ["below"]


@pytest.mark.parametrize(
    "query",
    [
        "user.id=a&group.id=b",
        "group.id=b&effective",
        "scope.project.id=a&scope.domain.id=b",
        "include_subtree",
    ],
)
async def test_contradicting_filters_are_400(admin, query):
    assert (await admin.get(f"role_assignments?{query}")).status_code == 400


async def test_implied_roles(admin):
    role = await make(admin, "roles")
    member, admin_role = await id_of(admin, "roles", "member"), await id_of(admin, "roles", "admin")
    path = f"roles/{role['id']}/implies"
    made = await admin.put(f"{path}/{member}")
    assert made.status_code == 201
    assert made.json()["role_inference"]["implies"]["id"] == member
    assert (await admin.get(f"{path}/{member}")).status_code == 200
    assert (await admin.head(f"{path}/{member}")).status_code == 204
    assert [row["id"] for row in (await admin.get(path)).json()["role_inference"]["implies"]] == [member]
    rules = (await admin.get("role_inferences")).json()["role_inferences"]
    assert role["id"] in {rule["prior_role"]["id"] for rule in rules}
    circle = await admin.put(f"roles/{member}/implies/{role['id']}")
    assert circle.status_code == 400
    assert (await admin.put(f"roles/{role['id']}/implies/{role['id']}")).status_code == 400
    assert (await admin.put(f"{path}/{admin_role}")).status_code == 403
    assert (await admin.put(f"{path}/none")).status_code == 404
    assert (await admin.delete(f"{path}/{member}")).status_code == 204
    assert (await admin.get(f"{path}/{member}")).status_code == 404


async def test_immutable_roles(admin):
    role = await make(admin, "roles", options={"immutable": True})
    path = f"roles/{role['id']}"
    assert (await admin.patch(path, json={"role": {"name": "x"}})).status_code == 403
    assert (await admin.delete(path)).status_code == 403
    both = {"name": "other", "options": {"immutable": False}}
    assert (await admin.patch(path, json={"role": both})).status_code == 403
    assert (await admin.patch(path, json={"role": {"options": {"immutable": False}}})).status_code == 200
    assert (await admin.delete(path)).status_code == 204


async def test_endpoints_make_the_catalog(admin):
    service = await make(admin, "services")
    url = "http://dns.example/%(tenant_id)s"
    body = {"service_id": service["id"], "interface": "public", "url": url, "region_id": "RegionOne"}
    made = await admin.post("endpoints", json={"endpoint": body})
    assert made.status_code == 201
    endpoint = made.json()["endpoint"]
    catalog = (await admin.get("auth/catalog")).json()["catalog"]
    shown = next(entry for entry in catalog if entry["type"] == "dns")["endpoints"]
    project = (await admin.get("projects?name=admin")).json()["projects"][0]["id"]
    assert shown[0]["url"] == f"http://dns.example/{project}"
    path = f"endpoints/{endpoint['id']}"
    assert (await admin.get(path)).json()["endpoint"]["url"] == url
    assert (await admin.patch(path, json={"endpoint": {"enabled": False}})).status_code == 200
    catalog = (await admin.get("auth/catalog")).json()["catalog"]
    assert next(entry for entry in catalog if entry["type"] == "dns")["endpoints"] == []
    for wrong in (
        {"interface": "secret"},
        {"url": "no url"},
        {"url": ""},
        {"service_id": "none"},
        {"region_id": "none"},
    ):
        assert (await admin.post("endpoints", json={"endpoint": {**body, **wrong}})).status_code == 400, wrong
        assert (await admin.patch(path, json={"endpoint": wrong})).status_code == 400, wrong
    assert (await admin.delete("regions/RegionOne")).status_code == 403
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 404


async def test_regions_have_parents(admin):
    north = await make(admin, "regions")
    below = await make(admin, "regions", id="city", parent_region_id="north")
    assert below["parent_region_id"] == "north"
    assert (await admin.post("regions", json={"region": {"id": "north"}})).status_code == 409
    assert (await admin.post("regions", json={"region": {"parent_region_id": "none"}})).status_code == 404
    circle = await admin.patch(f"regions/{north['id']}", json={"region": {"parent_region_id": "city"}})
    assert circle.status_code == 400
    assert (await admin.put("regions/south", json={"region": {"description": "s"}})).status_code == 201
    assert (await admin.put("regions/east", json={"region": {"id": "west"}})).status_code == 400
    found = (await admin.get("regions?parent_region_id=north")).json()["regions"]
    assert [row["id"] for row in found] == ["city"]


@pytest.mark.parametrize("scope", ["unscoped", {"system": {"all": True}}, {"domain": {"id": "default"}}])
async def test_a_catalog_is_for_a_project(cloud, scope):
    async with client(cloud, await login(cloud, "admin", scope=scope)) as http:
        assert (await http.get("/identity/v3/auth/catalog")).status_code == 403
