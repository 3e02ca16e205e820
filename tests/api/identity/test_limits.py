"""Registered limits and limits: kept, found, overridden; the two-level model holds; people see their own only."""

import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login


async def id_of(http, plural, name):
    return (await http.get(plural, params={"name": name})).json()[plural][0]["id"]


@pytest.fixture
async def service(admin):
    return await id_of(admin, "services", "keystone")


async def register(http, service, name="widgets", default=10, **more):
    body = {"service_id": service, "resource_name": name, "default_limit": default, **more}
    answer = await http.post("registered_limits", json={"registered_limits": [body]})
    assert answer.status_code == 201, answer.text
    return answer.json()["registered_limits"][0]


async def limit(http, service, value, name="widgets", **owner):
    body = {"service_id": service, "resource_name": name, "resource_limit": value, **owner}
    return await http.post("limits", json={"limits": [body]})


async def test_registered_limits_are_kept_and_found(admin, demo, service):
    row = await register(admin, service, region_id="RegionOne", description="of one region")
    other = await register(admin, service)
    assert (row["region_id"], other["region_id"], row["default_limit"]) == ("RegionOne", None, 10)
    assert (await demo.get(f"registered_limits/{row['id']}")).json()["registered_limit"] == row
    listed = (await demo.get("registered_limits", params={"region_id": "RegionOne"})).json()["registered_limits"]
    assert listed == [row]
    found = (await demo.get("registered_limits?region_id=")).json()["registered_limits"]
    assert found == [other]
    changed = await admin.patch(
        f"registered_limits/{row['id']}", json={"registered_limit": {"default_limit": 0, "description": None}}
    )
    assert changed.json()["registered_limit"] == {**row, "default_limit": 0, "description": None}
    same = await admin.patch(f"registered_limits/{row['id']}", json={"registered_limit": {"region_id": None}})
    assert same.status_code == 409
    twice = {"service_id": service, "resource_name": "gears", "default_limit": 1}
    assert (await admin.post("registered_limits", json={"registered_limits": [twice, twice]})).status_code == 409
    assert len((await admin.get("registered_limits")).json()["registered_limits"]) == 2
    assert (await admin.delete(f"registered_limits/{row['id']}")).status_code == 204
    assert (await admin.get(f"registered_limits/{row['id']}")).status_code == 404


async def test_a_limit_overrides_for_a_project_or_a_domain(admin, service):
    demo = await id_of(admin, "projects", "demo")
    assert (await limit(admin, service, 5, project_id=demo)).status_code == 403
    registered = await register(admin, service)
    row = (await limit(admin, service, 5, project_id=demo)).json()["limits"][0]
    assert (row["project_id"], row["domain_id"], row["resource_limit"]) == (demo, None, 5)
    assert (await limit(admin, service, 6, project_id=demo)).status_code == 409
    of_domain = (await limit(admin, service, 50, project_id="default")).json()["limits"][0]
    assert (of_domain["project_id"], of_domain["domain_id"]) == (None, "default")
    assert (await limit(admin, service, 50, domain_id="default")).status_code == 409
    listed = (await admin.get("limits", params={"resource_name": "widgets", "project_id": demo})).json()["limits"]
    assert listed == [row]
    changed = (await admin.patch(f"limits/{row['id']}", json={"limit": {"resource_limit": 0}})).json()["limit"]
    assert changed["resource_limit"] == 0
    path = f"registered_limits/{registered['id']}"
    assert (await admin.delete(path)).status_code == 403
    assert (await admin.patch(path, json={"registered_limit": {"default_limit": 3}})).status_code == 403
    assert (await admin.delete(f"limits/{of_domain['id']}")).status_code == 204
    assert (await admin.delete(f"projects/{demo}")).status_code == 204
    assert (await admin.get("limits")).json()["limits"] == []
    assert (await admin.delete(path)).status_code == 204


async def test_limits_outlive_their_service_and_region_until_they_are_deleted(admin):
    service = (await admin.post("services", json={"service": {"type": "x"}})).json()["service"]["id"]
    assert (await admin.post("regions", json={"region": {"id": "Away"}})).status_code == 201
    registered = await register(admin, service, region_id="Away")
    made = await limit(admin, service, 5, domain_id="default", region_id="Away")
    assert (await admin.delete("regions/Away")).status_code == 204
    assert (await admin.delete(f"services/{service}")).status_code == 204
    row = made.json()["limits"][0]
    assert (await admin.get("limits")).json()["limits"] == [row]
    assert (row["service_id"], row["region_id"]) == (service, "Away")
    path = f"registered_limits/{registered['id']}"
    assert (await admin.delete(path)).status_code == 403
    assert (await admin.delete(f"limits/{row['id']}")).status_code == 204
    assert (await admin.delete(path)).status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"resource_limit": "5"},
        {"resource_limit": -2},
        {"resource_limit": 2**31},
        {"project_id": "nobody"},
        {"project_id": None},
        {"domain_id": "default"},
        {"service_id": "nothing"},
        {"region_id": "nowhere"},
        {"resource_name": "x" * 70_000},
        {"colour": "red"},
    ],
)
async def test_malformed_limits_are_400_and_not_made(admin, service, wrong):
    await register(admin, service)
    demo = await id_of(admin, "projects", "demo")
    good = {"service_id": service, "resource_name": "widgets", "resource_limit": 5, "project_id": demo}
    bodies = [{**good, **wrong}] if wrong else []
    assert (await admin.post("limits", json={"limits": bodies})).status_code == 400
    both = {"limits": [good, *bodies]} if wrong else {"limits": good}
    assert (await admin.post("limits", json=both)).status_code == 400
    assert (await admin.get("limits")).json()["limits"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"default_limit": True},
        {"default_limit": None},
        {"service_id": "nothing"},
        {"resource_name": ""},
        {"region_id": "x"},
    ],
)
async def test_malformed_registered_limits_are_400_and_not_made(admin, service, wrong):
    body = {"service_id": service, "resource_name": "widgets", "default_limit": 5, **wrong}
    assert (await admin.post("registered_limits", json={"registered_limits": [body]})).status_code == 400
    assert (await admin.get("registered_limits")).json()["registered_limits"] == []


async def test_people_see_the_limits_of_their_own(cloud, admin, demo, service):
    project, other = [await id_of(admin, "projects", name) for name in ("demo", "alt_demo")]
    await register(admin, service)
    own = (await limit(admin, service, 1, project_id=project)).json()["limits"][0]
    foreign = (await limit(admin, service, 2, project_id=other)).json()["limits"][0]
    assert (await demo.get("limits")).json()["limits"] == [own]
    assert (await demo.get(f"limits/{own['id']}")).status_code == 200
    assert (await demo.get(f"limits/{foreign['id']}")).status_code == 403
    assert (await demo.get("limits/nothing")).status_code == 403
    for method, path in (("PATCH", f"limits/{own['id']}"), ("DELETE", f"limits/{own['id']}"), ("POST", "limits")):
        body = {"PATCH": {"limit": {"resource_limit": 9}}, "POST": {"limits": []}}.get(method)
        assert (await demo.request(method, path, json=body)).status_code in (400, 403)
    assert (await admin.get(f"limits/{own['id']}")).json()["limit"] == own
    user, role = await id_of(admin, "users", "demo"), await id_of(admin, "roles", "member")
    assert (await admin.put(f"domains/default/users/{user}/roles/{role}")).status_code == 204
    demo.headers["X-Auth-Token"] = await login(cloud, "demo", scope={"domain": {"id": "default"}})
    assert len((await demo.get("limits")).json()["limits"]) == 2
    assert (await demo.get(f"limits/{foreign['id']}")).status_code == 200


async def test_the_model_is_told(demo):
    assert (await demo.get("limits/model")).json()["model"]["name"] == "flat"


@pytest.fixture
async def strict(tmp_path):
    """A cloud whose projects may have no more than their domain."""
    settings = {"identity": {"password_hash_rounds": 4, "limit_model": "strict_two_level"}}
    async with running(tmp_path, [SERVICE], settings) as runtime, client(runtime) as http:
        http.headers["X-Auth-Token"] = await login(runtime, "admin")
        http.base_url = "http://cloud.test/identity/v3/"
        yield http


async def test_no_project_may_have_more_than_its_domain(strict):
    service, demo = await id_of(strict, "services", "keystone"), await id_of(strict, "projects", "demo")
    await register(strict, service, default=10)
    assert (await strict.get("limits/model")).json()["model"]["name"] == "strict_two_level"
    assert (await limit(strict, service, 11, project_id=demo)).status_code == 403
    assert (await limit(strict, service, -1, project_id=demo)).status_code == 403
    of_demo = (await limit(strict, service, 10, project_id=demo)).json()["limits"][0]
    assert (await limit(strict, service, 9, domain_id="default")).status_code == 403
    of_domain = (await limit(strict, service, 20, domain_id="default")).json()["limits"][0]
    change = {"limit": {"resource_limit": 20}}
    assert (await strict.patch(f"limits/{of_demo['id']}", json=change)).status_code == 200
    for id, value in ((of_demo["id"], 21), (of_domain["id"], 19)):
        assert (await strict.patch(f"limits/{id}", json={"limit": {"resource_limit": value}})).status_code == 403
    assert (await strict.patch(f"limits/{of_domain['id']}", json={"limit": {"resource_limit": -1}})).status_code == 200
    assert (await strict.patch(f"limits/{of_demo['id']}", json={"limit": {"resource_limit": 999}})).status_code == 200


async def test_a_domains_limit_and_its_projects_may_come_at_once(strict):
    service, demo = await id_of(strict, "services", "keystone"), await id_of(strict, "projects", "demo")
    await register(strict, service, default=1)
    base = {"service_id": service, "resource_name": "widgets"}
    both = [{**base, "project_id": demo, "resource_limit": 7}, {**base, "domain_id": "default", "resource_limit": 8}]
    assert (await strict.post("limits", json={"limits": both})).status_code == 201
    assert len((await strict.get("limits")).json()["limits"]) == 2


async def test_projects_nest_two_deep_in_the_strict_model(strict):
    parent = "default"
    for name in ("one", "two"):
        answer = await strict.post("projects", json={"project": {"name": name, "parent_id": parent}})
        assert answer.status_code == 201
        parent = answer.json()["project"]["id"]
    deeper = {"project": {"name": "three", "parent_id": parent}}
    assert (await strict.post("projects", json=deeper)).status_code == 403
