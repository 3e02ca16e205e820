"""What operators see and decide: hosts, aggregates, zones, quotas, usage; and that nobody else may."""

import pytest

from tests.api.compute.cloud import Cloud

READS = [
    "/os-hypervisors",
    "/os-hypervisors/detail",
    "/os-hypervisors/statistics",
    "/os-services",
    "/os-aggregates",
    "/os-availability-zone/detail",
    "/os-simple-tenant-usage",
    "/os-migrations",
    "/os-quota-class-sets/default",
]


@pytest.mark.parametrize("path", READS)
async def test_the_cloud_itself_is_the_operators(cloud: Cloud, path: str) -> None:
    await cloud.ask("GET", path, 200, who=cloud.admin)
    await cloud.refused("GET", path, 403)


async def test_a_disabled_host_gets_no_more_servers(cloud: Cloud) -> None:
    services = (await cloud.ask("GET", "/os-services?binary=nova-compute", 200, who=cloud.admin, version="2.53"))[
        "services"
    ]
    assert [(one["host"], one["state"], one["status"]) for one in services] == [
        ("fake-1", "up", "enabled"),
        ("fake-2", "up", "enabled"),
    ]
    body = {"status": "disabled", "disabled_reason": "new disk"}
    path = f"/os-services/{services[0]['id']}"
    changed = (await cloud.ask("PUT", path, 200, body, who=cloud.admin, version="2.53"))["service"]
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "new disk")
    for _ in range(3):
        id = await cloud.boot()
        shown = (await cloud.ask("GET", f"/servers/{id}", 200, who=cloud.admin))["server"]
        assert shown["OS-EXT-SRV-ATTR:host"] == "fake-2"
    await cloud.refused("DELETE", f"/os-services/{services[1]['id']}", 409, who=cloud.admin, version="2.53")


async def test_an_aggregate_makes_an_availability_zone(cloud: Cloud) -> None:
    body = {"aggregate": {"name": "east", "availability_zone": "east"}}
    made = (await cloud.ask("POST", "/os-aggregates", 200, body, who=cloud.admin))["aggregate"]
    path = f"/os-aggregates/{made['id']}"
    await cloud.ask("POST", f"{path}/action", 200, {"add_host": {"host": "fake-2"}}, who=cloud.admin)
    await cloud.refused("POST", f"{path}/action", 409, {"add_host": {"host": "fake-2"}}, who=cloud.admin)
    await cloud.refused("POST", f"{path}/action", 404, {"add_host": {"host": "nowhere"}}, who=cloud.admin)
    zones = (await cloud.ask("GET", "/os-availability-zone", 200))["availabilityZoneInfo"]
    assert [(zone["zoneName"], zone["hosts"]) for zone in zones] == [("east", None), ("nova", None)]
    server = await cloud.show(await cloud.boot(availability_zone="east"), "2.96")
    assert (server["OS-EXT-AZ:availability_zone"], server["pinned_availability_zone"]) == ("east", "east")
    await cloud.refused("POST", f"{path}/action", 409, {"remove_host": {"host": "fake-2"}}, who=cloud.admin)
    await cloud.refused("DELETE", path, 409, who=cloud.admin)
    await cloud.refused("POST", "/os-aggregates", 409, body, who=cloud.admin)
    await cloud.refused("POST", "/servers", 403, _forced(cloud, "nova:fake-1"))
    answer = await cloud.ask("POST", "/servers", 202, _forced(cloud, "nova:fake-1"), who=cloud.admin)
    assert answer["server"]["id"]


def _forced(cloud: Cloud, zone: str) -> dict:
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "availability_zone": zone}
    return {"server": {**server, "networks": [{"uuid": cloud.network_id}]}}


async def test_anti_affinity_keeps_servers_apart_and_says_when_it_cannot(cloud: Cloud) -> None:
    body = {"server_group": {"name": "apart", "policies": ["anti-affinity"]}}
    group = (await cloud.ask("POST", "/os-server-groups", 200, body))["server_group"]["id"]
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": [{"uuid": cloud.network_id}]}
    ids = []
    for _ in range(3):
        request = {"server": server, "os:scheduler_hints": {"group": group}}
        ids.append((await cloud.ask("POST", "/servers", 202, request))["server"]["id"])
        await cloud.rest(ids[-1])
    found = [await cloud.show(id) for id in ids]
    assert [one["status"] for one in found] == ["ACTIVE", "ACTIVE", "ERROR"]
    assert found[0]["hostId"] != found[1]["hostId"]
    assert "anti-affinity group" in found[2]["fault"]["message"]
    shown = (await cloud.ask("GET", f"/os-server-groups/{group}", 200, version="2.64"))["server_group"]
    assert (shown["policy"], shown["members"]) == ("anti-affinity", ids)
    await cloud.refused("GET", f"/os-server-groups/{group}", 404, who=cloud.alt)
    wrong = {"server": server, "os:scheduler_hints": {"group": "apart"}}
    await cloud.refused("POST", "/servers", 400, wrong)
    await cloud.ask("DELETE", f"/os-server-groups/{group}", 204)


async def test_quotas_are_set_shown_and_reset(cloud: Cloud) -> None:
    token = cloud.demo.headers["X-Auth-Token"]
    who = (await cloud.demo.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})).json()
    path = f"/os-quota-sets/{who['token']['project']['id']}"
    assert (await cloud.ask("GET", path, 200))["quota_set"]["instances"] == 10
    await cloud.refused("PUT", path, 403, {"quota_set": {"instances": 1}})
    await cloud.ask("PUT", path, 200, {"quota_set": {"instances": 1}}, who=cloud.admin)
    await cloud.boot()
    detail = (await cloud.ask("GET", f"{path}/detail", 200))["quota_set"]
    assert detail["instances"] == {"limit": 1, "in_use": 1, "reserved": 0}
    server = _forced(cloud, "nova")["server"]
    assert "instances" in await cloud.refused("POST", "/servers", 403, {"server": server})
    await cloud.refused("PUT", path, 400, {"quota_set": {"instances": 0}}, who=cloud.admin)
    for bad in ({"colour": 1}, {"instances": "many"}, {"instances": -2}):
        await cloud.refused("PUT", path, 400, {"quota_set": bad}, who=cloud.admin)
    await cloud.ask("DELETE", path, 202, who=cloud.admin)
    assert (await cloud.ask("GET", f"{path}/defaults", 200))["quota_set"]["instances"] == 10
    limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
    assert (limits["maxTotalInstances"], limits["totalInstancesUsed"], limits["totalRAMUsed"]) == (10, 1, 128)


async def test_usage_counts_hours(cloud: Cloud) -> None:
    await cloud.boot()
    usages = (await cloud.ask("GET", "/os-simple-tenant-usage?detailed=1", 200, who=cloud.admin))["tenant_usages"]
    (usage,) = usages
    assert usage["server_usages"][0]["state"] == "active"
    assert 0 < usage["total_hours"] < 1
    assert usage["total_memory_mb_usage"] == pytest.approx(128 * usage["total_hours"])
    await cloud.refused("GET", f"/os-simple-tenant-usage/{usage['tenant_id']}", 403, who=cloud.alt)
    await cloud.refused("GET", "/os-simple-tenant-usage?start=yesterday", 400, who=cloud.admin)
    paged = {"OpenStack-API-Version": "compute 2.40"}
    path = f"/os-simple-tenant-usage/{usage['tenant_id']}?limit=1"
    page = (await cloud.admin.get(f"/compute/v2.1{path}", headers=paged)).json()
    assert len(page["tenant_usage"]["server_usages"]) == 1
    last = page["tenant_usage"]["server_usages"][0]["instance_id"]
    after = await cloud.admin.get(f"/compute/v2.1{path}&marker={last}", headers=paged)
    assert after.status_code == 200
    assert last not in after.text.replace(f"marker={last}", "")
    assert (await cloud.admin.get(f"/compute/v2.1{path}&marker=none", headers=paged)).status_code == 400
    await cloud.refused("GET", "/os-simple-tenant-usage/", 404, who=cloud.admin)  # an id forgotten is not the list


async def test_the_versions_are_told_to_everybody(cloud: Cloud) -> None:
    cloud.demo.headers.pop("X-Auth-Token")
    versions = (await cloud.ask("GET", "/compute/", 200))["versions"]
    assert [(one["id"], one["status"]) for one in versions] == [("v2.0", "SUPPORTED"), ("v2.1", "CURRENT")]
    version = (await cloud.ask("GET", "/compute/v2.1/", 200))["version"]
    assert (version["min_version"], version["version"]) == ("2.1", "2.103")
    await cloud.ask("GET", "/servers", 401)
