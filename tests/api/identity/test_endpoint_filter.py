"""Which endpoints a project sees, and the policy files endpoints are told to use."""

import pytest

from pileus.services.identity.testing import login

ROOT = "OS-EP-FILTER"


async def make(http, plural, **body):
    noun = {"policies": "policy"}.get(plural.rpartition("/")[2], plural.rpartition("/")[2].removesuffix("s"))
    answer = await http.post(plural, json={noun: body})
    assert answer.status_code == 201, answer.text
    return answer.json()[noun]


@pytest.fixture
async def place(admin):
    """Return a service with two endpoints, in a region inside another, and the demo project's id."""
    await make(admin, "regions", id="land")
    await make(admin, "regions", id="town", parent_region_id="land")
    service = (await make(admin, "services", type="dns", name="designate"))["id"]
    endpoints = [
        (await make(admin, "endpoints", service_id=service, interface=interface, region_id="town", url="http://x"))[
            "id"
        ]
        for interface in ("public", "internal")
    ]
    project = (await admin.get("projects", params={"name": "demo"})).json()["projects"][0]["id"]
    return service, endpoints, project


async def catalog_of(cloud, http):
    http.headers["X-Auth-Token"] = await login(cloud, "demo")
    entries = (await http.get("auth/catalog")).json()["catalog"]
    return {entry["type"]: [row["id"] for row in entry["endpoints"]] for entry in entries}


async def test_a_project_tied_to_an_endpoint_sees_that_and_no_more(cloud, admin, demo, place):
    _, endpoints, project = place
    assert set(await catalog_of(cloud, demo)) == {"dns", "identity"}
    path = f"{ROOT}/projects/{project}/endpoints/{endpoints[0]}"
    assert (await admin.head(path)).status_code == 404
    assert (await admin.put(path)).status_code == 204
    assert (await admin.get(path)).status_code == 204
    assert (await admin.put(path)).status_code == 409
    assert await catalog_of(cloud, demo) == {"dns": [endpoints[0]]}
    listed = (await admin.get(f"{ROOT}/projects/{project}/endpoints")).json()["endpoints"]
    assert [row["id"] for row in listed] == [endpoints[0]]
    tied = (await admin.get(f"{ROOT}/endpoints/{endpoints[0]}/projects")).json()["projects"]
    assert [row["name"] for row in tied] == ["demo"]
    admins = (await admin.get("auth/catalog")).json()["catalog"]
    assert {entry["type"] for entry in admins} == {"dns", "identity"}
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.delete(path)).status_code == 404
    assert set(await catalog_of(cloud, demo)) == {"dns", "identity"}


async def test_an_endpoint_group_shows_what_meets_its_filters(cloud, admin, demo, place):
    service, endpoints, project = place
    filters = {"service_id": service, "interface": "internal"}
    group = await make(admin, f"{ROOT}/endpoint_groups", name="inside", filters=filters)
    assert group["links"]["self"].endswith(f"{ROOT}/endpoint_groups/{group['id']}")
    path = f"{ROOT}/endpoint_groups/{group['id']}"
    shown = (await admin.get(f"{path}/endpoints")).json()["endpoints"]
    assert [row["id"] for row in shown] == [endpoints[1]]
    assert (await admin.get(f"{path}/projects/{project}")).status_code == 404
    assert (await admin.put(f"{path}/projects/{project}")).status_code == 204
    assert (await admin.put(f"{path}/projects/{project}")).status_code == 409
    tie = (await admin.get(f"{path}/projects/{project}")).json()["project_endpoint_group"]
    assert (tie["project_id"], tie["endpoint_group_id"]) == (project, group["id"])
    assert await catalog_of(cloud, demo) == {"dns": [endpoints[1]]}
    changed = await admin.patch(path, json={"endpoint_group": {"filters": {"service_id": service}}})
    assert changed.json()["endpoint_group"]["filters"] == {"service_id": service}
    everything = (await admin.get("endpoints")).json()["endpoints"]
    changed = await admin.patch(path, json={"endpoint_group": {"filters": {}}})
    assert changed.json()["endpoint_group"]["filters"] == {}
    assert len((await admin.get(f"{path}/endpoints")).json()["endpoints"]) == len(everything)
    assert set((await catalog_of(cloud, demo))["dns"]) == set(endpoints)
    groups = (await admin.get(f"{ROOT}/projects/{project}/endpoint_groups")).json()["endpoint_groups"]
    assert [row["id"] for row in groups] == [group["id"]]
    assert (await admin.get(f"{path}/projects")).json()["projects"][0]["id"] == project
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 404
    assert set(await catalog_of(cloud, demo)) == {"dns", "identity"}


async def test_what_is_removed_leaves_no_association_behind(cloud, admin, demo, place):
    service, endpoints, project = place
    group = await make(admin, f"{ROOT}/endpoint_groups", name="all", filters={"service_id": service})
    assert (await admin.put(f"{ROOT}/endpoint_groups/{group['id']}/projects/{project}")).status_code == 204
    assert (await admin.put(f"{ROOT}/projects/{project}/endpoints/{endpoints[0]}")).status_code == 204
    assert (await admin.delete(f"endpoints/{endpoints[0]}")).status_code == 204
    assert await catalog_of(cloud, demo) == {"dns": [endpoints[1]]}
    assert (await admin.delete(f"projects/{project}")).status_code == 204
    assert (await admin.get(f"{ROOT}/endpoint_groups/{group['id']}/projects")).json()["projects"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x"},
        {"name": "x", "filters": {}},
        {"name": "x", "filters": {"colour": "red"}},
        {"name": "x", "filters": {"interface": "secret"}},
        {"name": "", "filters": {"interface": "public"}},
        {"name": "x" * 70_000, "filters": {"interface": "public"}},
        {"name": "x", "filters": {"interface": "public"}, "colour": "red"},
        {"name": "x", "filters": "public"},
    ],
)
async def test_malformed_endpoint_groups_are_400_and_not_made(admin, wrong):
    assert (await admin.post(f"{ROOT}/endpoint_groups", json={"endpoint_group": wrong})).status_code == 400
    assert (await admin.get(f"{ROOT}/endpoint_groups")).json()["endpoint_groups"] == []


async def test_the_nearest_policy_counts_for_an_endpoint(admin, place):
    service, endpoints, _ = place
    far, near, own = [
        (await make(admin, "policies", type="application/json", blob=blob, colour="red"))["id"]
        for blob in ("far", "near", "own")
    ]
    of_endpoint = f"endpoints/{endpoints[0]}/OS-ENDPOINT-POLICY/policy"
    assert (await admin.get(of_endpoint)).status_code == 404
    for policy, path in (
        (far, f"services/{service}"),
        (near, f"services/{service}/regions/land"),
        (own, f"endpoints/{endpoints[0]}"),
    ):
        link = f"policies/{policy}/OS-ENDPOINT-POLICY/{path}"
        assert (await admin.head(link)).status_code == 404
        assert (await admin.put(link)).status_code == 204
        assert (await admin.get(link)).status_code == 204
        assert (await admin.get(of_endpoint)).json()["policy"]["id"] == policy
    reached = (await admin.get(f"policies/{near}/OS-ENDPOINT-POLICY/endpoints")).json()["endpoints"]
    assert {row["id"] for row in reached} == set(endpoints)
    assert (await admin.delete(f"policies/{own}/OS-ENDPOINT-POLICY/endpoints/{endpoints[0]}")).status_code == 204
    assert (await admin.delete(f"policies/{own}/OS-ENDPOINT-POLICY/endpoints/{endpoints[0]}")).status_code == 404
    assert (await admin.delete(f"policies/{near}")).status_code == 204
    assert (await admin.get(of_endpoint)).json()["policy"]["blob"] == "far"
    assert (await admin.put(f"policies/{own}/OS-ENDPOINT-POLICY/services/{service}")).status_code == 204
    assert (await admin.get(of_endpoint)).json()["policy"]["blob"] == "own"


async def test_policies_are_kept_changed_and_found_by_type(admin):
    policy = await make(admin, "policies", type="text/plain", blob="one", colour="red")
    await make(admin, "policies", type="application/json", blob="two")
    assert policy["colour"] == "red"
    changed = (await admin.patch(f"policies/{policy['id']}", json={"policy": {"blob": "three"}})).json()["policy"]
    assert (changed["blob"], changed["type"], changed["colour"]) == ("three", "text/plain", "red")
    found = (await admin.get("policies", params={"type": "text/plain"})).json()["policies"]
    assert [row["id"] for row in found] == [policy["id"]]
    for wrong in ({}, {"blob": 5}, {"type": "x" * 256}):
        assert (await admin.patch(f"policies/{policy['id']}", json={"policy": wrong})).status_code == 400
    for wrong in ({"blob": "x"}, {"type": "x"}, {"type": 5, "blob": "x"}, None):
        assert (await admin.post("policies", json={"policy": wrong})).status_code == 400
    assert len((await admin.get("policies")).json()["policies"]) == 2


async def test_only_admin_ties_endpoints_and_policies(admin, demo, place):
    service, endpoints, project = place
    group = await make(admin, f"{ROOT}/endpoint_groups", name="g", filters={"service_id": service})
    policy = await make(admin, "policies", type="text/plain", blob="one")
    for method, path in (
        ("GET", f"{ROOT}/endpoint_groups"),
        ("GET", f"{ROOT}/endpoint_groups/{group['id']}"),
        ("DELETE", f"{ROOT}/endpoint_groups/{group['id']}"),
        ("PUT", f"{ROOT}/endpoint_groups/{group['id']}/projects/{project}"),
        ("PUT", f"{ROOT}/projects/{project}/endpoints/{endpoints[0]}"),
        ("GET", "policies"),
        ("GET", f"policies/{policy['id']}"),
        ("GET", "policies/nothing"),
        ("DELETE", f"policies/{policy['id']}"),
        ("PUT", f"policies/{policy['id']}/OS-ENDPOINT-POLICY/endpoints/{endpoints[0]}"),
    ):
        assert (await demo.request(method, path)).status_code == 403, path
    assert (await admin.get(f"{ROOT}/projects/{project}/endpoints")).json()["endpoints"] == []
    assert (await admin.get(f"policies/{policy['id']}")).status_code == 200
