"""Snapshots over HTTP."""

import pytest

from tests.api.block_storage.conftest import Cloud

SERVER = "99999999-2222-4333-8444-555555555555"
MISSING = "11111111-2222-4333-8444-555555555555"


async def test_a_snapshot_lives_and_dies(cloud: Cloud) -> None:
    volume = await cloud.volume(size=2)
    snapshot = await cloud.snapshot(volume["id"], name="s", metadata={"a": "1"})
    assert (snapshot["size"], snapshot["volume_id"], snapshot["metadata"]) == (2, volume["id"], {"a": "1"})
    assert snapshot["os-extended-snapshot-attributes:progress"] == "100%"
    path = f"/volume/v3/snapshots/{snapshot['id']}"
    answer = await cloud.http.put(path, json={"snapshot": {"name": "t", "description": "d"}})
    assert (answer.json()["snapshot"]["name"], answer.json()["snapshot"]["description"]) == ("t", "d")
    assert (await cloud.http.put(path, json={"snapshot": {}})).status_code == 400
    assert (await cloud.other.get(path)).status_code == 404
    assert (await cloud.http.delete(path)).status_code == 202
    await cloud.until_gone("snapshot", snapshot["id"])


async def test_a_volume_with_snapshots_goes_only_with_them(cloud: Cloud) -> None:
    volume = await cloud.volume()
    snapshots = [await cloud.snapshot(volume["id"]) for _ in range(2)]
    path = f"/volume/v3/volumes/{volume['id']}"
    refused = await cloud.http.delete(path)
    assert refused.status_code == 400
    assert "2 dependent snapshots" in refused.json()["badRequest"]["message"]
    assert (await cloud.http.delete(f"{path}?cascade=true")).status_code == 202
    await cloud.until_gone("volume", volume["id"])
    for snapshot in snapshots:
        await cloud.until_gone("snapshot", snapshot["id"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"volume_id": MISSING}, 404),
        ({"volume_id": None}, 404),
        ({"volume_id": MISSING, "name": "x" * 256}, 400),
        ({"volume_id": MISSING, "metadata": {"k": 1}}, 400),
        ({"volume_id": MISSING, "force": False}, 400),
    ],
)
async def test_bad_wishes_are_refused(cloud: Cloud, body: dict[str, object], status: int) -> None:
    if status == 400 and body:  # what is wrong is not the volume
        body = {**body, "volume_id": (await cloud.volume())["id"]}
    assert (await cloud.http.post("/volume/v3/snapshots", json={"snapshot": body})).status_code == status


async def test_a_volume_in_use_needs_force_in_older_versions(cloud: Cloud) -> None:
    volume = await cloud.volume()
    await cloud.act(volume["id"], "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})
    old = {"OpenStack-API-Version": "volume 3.60"}
    wish = {"snapshot": {"volume_id": volume["id"]}}
    assert (await cloud.http.post("/volume/v3/snapshots", json=wish, headers=old)).status_code == 400
    wish["snapshot"]["force"] = True
    answer = await cloud.http.post("/volume/v3/snapshots", json=wish, headers=old)
    assert answer.status_code == 202
    await cloud.until("snapshot", answer.json()["snapshot"]["id"], "available")
    await cloud.snapshot(volume["id"])


async def test_lists(cloud: Cloud) -> None:
    volume, other = await cloud.volume(), await cloud.volume()
    made = [await cloud.snapshot(volume["id"], name=f"s{number}") for number in range(2)]
    await cloud.snapshot(other["id"], name="t", metadata={"k": "v"})

    async def names(query: str) -> list[str]:
        answer = await cloud.http.get(f"/volume/v3/snapshots/detail?{query}")
        assert answer.status_code == 200, answer.text
        return [snapshot["name"] for snapshot in answer.json()["snapshots"]]

    assert await names(f"volume_id={volume['id']}") == ["s1", "s0"]
    assert await names("sort_key=display_name&sort_dir=asc") == ["s0", "s1", "t"]
    assert await names("metadata={'k': 'v'}") == ["t"]
    assert await names(f"marker={made[1]['id']}") == ["s0"]
    assert await names("offset=2&limit=3") == ["s0"]
    assert (await cloud.http.get("/volume/v3/snapshots?sort_key=colour")).status_code == 400


async def test_metadata(cloud: Cloud) -> None:
    snapshot = await cloud.snapshot((await cloud.volume())["id"])
    path, http = f"/volume/v3/snapshots/{snapshot['id']}/metadata", cloud.http
    assert (await http.post(path, json={"metadata": {"a": "1", "b": "2"}})).json()["metadata"] == {"a": "1", "b": "2"}
    assert (await http.put(f"{path}/b", json={"meta": {"b": "3"}})).json() == {"meta": {"b": "3"}}
    assert (await http.delete(f"{path}/a")).status_code == 200
    assert (await http.get(path)).json() == {"metadata": {"b": "3"}}
    assert (await http.put(path, json={"metadata": {"c": "4"}})).json() == {"metadata": {"c": "4"}}
    assert (await http.get(f"{path}/b")).status_code == 404


async def test_administrators_reset_and_force(cloud: Cloud) -> None:
    snapshot = await cloud.snapshot((await cloud.volume())["id"])
    path = f"/volume/v3/snapshots/{snapshot['id']}/action"
    assert (await cloud.http.post(path, json={"os-reset_status": {"status": "error"}})).status_code == 403
    assert (await cloud.admin.post(path, json={"os-reset_status": {"status": "lost"}})).status_code == 400
    assert (await cloud.admin.post(path, json={"os-reset_status": {"status": "creating"}})).status_code == 202
    assert (await cloud.http.delete(f"/volume/v3/snapshots/{snapshot['id']}")).status_code == 400
    assert (await cloud.admin.post(path, json={"os-force_delete": {}})).status_code == 202
    await cloud.until_gone("snapshot", snapshot["id"])
