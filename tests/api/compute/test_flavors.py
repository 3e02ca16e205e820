"""Flavors: what sizes there are, who may see them, and what cannot be said of them."""

import pytest

from tests.api.compute.cloud import Cloud

NEW = {"name": "big", "ram": 1024, "vcpus": 2, "disk": 5, "id": "big-id"}


async def test_a_new_cloud_has_the_usual_flavors(cloud: Cloud) -> None:
    flavors = (await cloud.ask("GET", "/flavors/detail", 200))["flavors"]
    assert {"m1.nano", "m1.tiny", "m1.small", "m1.xlarge", "pileus.mini"} <= {flavor["name"] for flavor in flavors}
    tiny = next(flavor for flavor in flavors if flavor["name"] == "m1.tiny")
    assert (tiny["ram"], tiny["vcpus"], tiny["disk"], tiny["swap"]) == (512, 1, 1, "")
    newest = await cloud.ask("GET", "/flavors/1", 200, version="2.75")
    assert (newest["flavor"]["swap"], newest["flavor"]["extra_specs"]) == (0, {})


async def test_flavors_are_paged_sorted_and_filtered(cloud: Cloud) -> None:
    page = await cloud.ask("GET", "/flavors?limit=2&sort_key=memory_mb&sort_dir=desc", 200)
    assert [flavor["name"] for flavor in page["flavors"]] == ["m1.xlarge", "m1.large"]
    following = await cloud.ask("GET", page["flavors_links"][0]["href"].removeprefix("http://cloud.test"), 200)
    assert following["flavors"][0]["name"] == "m1.medium"
    small = await cloud.ask("GET", "/flavors?minRam=8000&minDisk=100", 200)
    assert [flavor["name"] for flavor in small["flavors"]] == ["m1.xlarge"]


async def test_a_private_flavor_is_seen_by_those_it_is_given_to(cloud: Cloud) -> None:
    body = {"flavor": {**NEW, "os-flavor-access:is_public": False}}
    await cloud.ask("POST", "/flavors", 200, body, who=cloud.admin)
    await cloud.refused("GET", "/flavors/big-id", 404)
    token = cloud.demo.headers["X-Auth-Token"]
    who = (await cloud.demo.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})).json()
    tenant = who["token"]["project"]["id"]
    path = "/flavors/big-id/action"
    await cloud.ask("POST", path, 200, {"addTenantAccess": {"tenant": tenant}}, who=cloud.admin)
    assert (await cloud.ask("GET", "/flavors/big-id", 200))["flavor"]["name"] == "big"
    await cloud.refused("POST", path, 409, {"addTenantAccess": {"tenant": tenant}}, who=cloud.admin)
    await cloud.ask("POST", path, 200, {"removeTenantAccess": {"tenant": tenant}}, who=cloud.admin)
    await cloud.refused("GET", "/flavors/big-id", 404)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"ram": 0}, 400),
        ({"ram": "many"}, 400),
        ({"vcpus": -1}, 400),
        ({"name": ""}, 400),
        ({"name": " x"}, 400),
        ({"name": "m1.tiny"}, 409),
        ({"id": "1"}, 409),
        ({"rxtx_factor": 0}, 400),
        ({"colour": "red"}, 400),
        ({"description": "since 2.55"}, 400),
    ],
)
async def test_bad_flavors_are_refused_and_not_made(cloud: Cloud, change: dict, status: int) -> None:
    before = await cloud.ask("GET", "/flavors", 200)
    await cloud.refused("POST", "/flavors", status, {"flavor": {**NEW, **change}}, who=cloud.admin)
    assert await cloud.ask("GET", "/flavors", 200) == before


async def test_only_administrators_change_flavors(cloud: Cloud) -> None:
    await cloud.refused("POST", "/flavors", 403, {"flavor": NEW})
    await cloud.refused("DELETE", "/flavors/1", 403)
    await cloud.refused("POST", "/flavors/1/os-extra_specs", 403, {"extra_specs": {"a": "b"}})


async def test_extra_specs_come_and_go(cloud: Cloud) -> None:
    path = "/flavors/1/os-extra_specs"
    await cloud.ask("POST", path, 200, {"extra_specs": {"hw:cpu_policy": "shared"}}, who=cloud.admin)
    await cloud.ask("PUT", f"{path}/quota:x", 200, {"quota:x": "1"}, who=cloud.admin)
    assert (await cloud.ask("GET", path, 200))["extra_specs"] == {"hw:cpu_policy": "shared", "quota:x": "1"}
    await cloud.refused("PUT", f"{path}/quota:x", 400, {"other": "1"}, who=cloud.admin)
    await cloud.ask("DELETE", f"{path}/quota:x", 200, who=cloud.admin)
    await cloud.refused("GET", f"{path}/quota:x", 404)
