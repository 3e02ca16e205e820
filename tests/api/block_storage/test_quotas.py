"""Quota sets, classes, limits."""

import pytest

from tests.api.block_storage.conftest import Cloud


async def project_of(cloud: Cloud) -> str:
    volume = await cloud.volume()
    return (await cloud.show("volume", volume["id"]))["os-vol-tenant-attr:tenant_id"]


async def test_usage_follows_the_rows(cloud: Cloud) -> None:
    project = await project_of(cloud)
    volume = await cloud.volume(size=2)
    await cloud.snapshot(volume["id"])
    used = (await cloud.http.get(f"/volume/v3/os-quota-sets/{project}?usage=true")).json()["quota_set"]
    assert used["id"] == project
    assert used["volumes"] == {"limit": 10, "in_use": 2, "reserved": 0}
    assert used["gigabytes"] == {"limit": 1000, "in_use": 5, "reserved": 0}
    assert used["snapshots___DEFAULT__"] == {"limit": -1, "in_use": 1, "reserved": 0}
    absolute = (await cloud.http.get("/volume/v3/limits")).json()["limits"]["absolute"]
    assert (absolute["totalVolumesUsed"], absolute["totalGigabytesUsed"], absolute["maxTotalVolumes"]) == (2, 5, 10)


async def test_limits_bind_and_go_back(cloud: Cloud) -> None:
    project = await project_of(cloud)
    path, wish = f"/volume/v3/os-quota-sets/{project}", {"volume": {"size": 1}}
    answer = await cloud.admin.put(path, json={"quota_set": {"volumes": 1, "gigabytes": -1}})
    assert (answer.json()["quota_set"]["volumes"], "id" in answer.json()["quota_set"]) == (1, False)
    refused = await cloud.http.post("/volume/v3/volumes", json=wish)
    assert refused.status_code == 413
    assert "volumes" in refused.json()["overLimit"]["message"]
    await cloud.admin.put(path, json={"quota_set": {"volumes": 5, "per_volume_gigabytes": 2}})
    wish["volume"]["size"] = 3
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 413
    await cloud.admin.put(path, json={"quota_set": {"volumes___DEFAULT__": 1}})
    wish["volume"]["size"] = 1
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 413
    assert (await cloud.admin.delete(path)).status_code == 200
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 202


async def test_snapshots_are_limited_too(cloud: Cloud) -> None:
    volume = await cloud.volume()
    project = (await cloud.show("volume", volume["id"]))["os-vol-tenant-attr:tenant_id"]
    await cloud.admin.put(f"/volume/v3/os-quota-sets/{project}", json={"quota_set": {"snapshots": 0}})
    answer = await cloud.http.post("/volume/v3/snapshots", json={"snapshot": {"volume_id": volume["id"]}})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [{"volumes": "x"}, {"volumes": -2}, {"colours": 1}, {"volumes": None}, {"volumes": True}]
)
async def test_bad_limits_are_refused(cloud: Cloud, body: dict[str, object]) -> None:
    project = await project_of(cloud)
    path = f"/volume/v3/os-quota-sets/{project}"
    before = (await cloud.http.get(path)).json()
    assert (await cloud.admin.put(path, json={"quota_set": body})).status_code == 400
    assert (await cloud.http.get(path)).json() == before


async def test_who_may_look_and_change(cloud: Cloud) -> None:
    project = await project_of(cloud)
    path = f"/volume/v3/os-quota-sets/{project}"
    assert (await cloud.other.get(path)).status_code == 403
    assert (await cloud.http.put(path, json={"quota_set": {"volumes": 99}})).status_code == 403
    assert (await cloud.http.delete(path)).status_code == 403
    assert (await cloud.http.get("/volume/v3/os-quota-class-sets/default")).status_code == 403


async def test_the_default_class_moves_everybody_without_limits_of_their_own(cloud: Cloud) -> None:
    project = await project_of(cloud)
    path = "/volume/v3/os-quota-class-sets/default"
    assert (await cloud.admin.get(path)).json()["quota_class_set"]["id"] == "default"
    answer = await cloud.admin.put(path, json={"quota_class_set": {"volumes": 3, "volumes___DEFAULT__": 2}})
    assert answer.json()["quota_class_set"]["volumes"] == 3
    defaults = (await cloud.admin.get(f"/volume/v3/os-quota-sets/{project}/defaults")).json()["quota_set"]
    assert (defaults["volumes"], defaults["volumes___DEFAULT__"]) == (3, 2)
    assert (await cloud.http.get(f"/volume/v3/os-quota-sets/{project}")).json()["quota_set"]["volumes"] == 3
    assert (await cloud.admin.get("/volume/v3/os-quota-class-sets/gold")).status_code == 404
