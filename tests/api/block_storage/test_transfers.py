"""Handing a volume to another project."""

import pytest

from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("path", ["/volume/v3/os-volume-transfer", "/volume/v3/volume-transfers"])
async def test_a_volume_changes_hands(cloud: Cloud, path: str) -> None:
    volume = await cloud.volume()
    snapshot = await cloud.snapshot(volume["id"])
    answer = await cloud.http.post(path, json={"transfer": {"volume_id": volume["id"], "name": "gift"}})
    assert answer.status_code == 202, answer.text
    offer = answer.json()["transfer"]
    assert (await cloud.show("volume", volume["id"]))["status"] == "awaiting-transfer"
    assert "auth_key" not in (await cloud.http.get(f"{path}/{offer['id']}")).json()["transfer"]
    assert [entry["id"] for entry in (await cloud.http.get(f"{path}/detail")).json()["transfers"]] == [offer["id"]]
    assert (await cloud.other.get(path)).json() == {"transfers": []}
    take = f"{path}/{offer['id']}/accept"
    assert (await cloud.other.post(take, json={"accept": {"auth_key": "wrong"}})).status_code == 400
    answer = await cloud.other.post(take, json={"accept": {"auth_key": offer["auth_key"]}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["transfer"]["volume_id"] == volume["id"]
    assert (await cloud.show("volume", volume["id"], cloud.other))["status"] == "available"
    assert (await cloud.show("snapshot", snapshot["id"], cloud.other))["name"] == snapshot["name"]
    assert (await cloud.http.get(f"/volume/v3/volumes/{volume['id']}")).status_code == 404
    assert (await cloud.other.post(take, json={"accept": {"auth_key": offer["auth_key"]}})).status_code == 404


async def test_an_offer_is_withdrawn(cloud: Cloud) -> None:
    path, volume = "/volume/v3/os-volume-transfer", await cloud.volume()
    wish = {"transfer": {"volume_id": volume["id"]}}
    offer = (await cloud.http.post(path, json=wish)).json()["transfer"]
    assert (await cloud.http.post(path, json=wish)).status_code == 400
    assert (await cloud.other.delete(f"{path}/{offer['id']}")).status_code == 404
    assert (await cloud.http.delete(f"{path}/{offer['id']}")).status_code == 202
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"
    assert (await cloud.http.get(f"{path}/{offer['id']}")).status_code == 404


async def test_who_takes_must_have_room(cloud: Cloud) -> None:
    path, volume = "/volume/v3/os-volume-transfer", await cloud.volume()
    mine = await cloud.make("volume", cloud.other, size=1)
    theirs = (await cloud.show("volume", mine["id"], cloud.other))["os-vol-tenant-attr:tenant_id"]
    await cloud.admin.put(f"/volume/v3/os-quota-sets/{theirs}", json={"quota_set": {"volumes": 1}})
    offer = (await cloud.http.post(path, json={"transfer": {"volume_id": volume["id"]}})).json()["transfer"]
    take = {"accept": {"auth_key": offer["auth_key"]}}
    assert (await cloud.other.post(f"{path}/{offer['id']}/accept", json=take)).status_code == 413
    assert (await cloud.show("volume", volume["id"]))["status"] == "awaiting-transfer"


@pytest.mark.parametrize(
    ("body", "status"), [({}, 400), ({"volume_id": MISSING}, 404), ({"volume_id": MISSING, "name": "x" * 256}, 400)]
)
async def test_bad_offers_are_refused(cloud: Cloud, body: dict[str, object], status: int) -> None:
    assert (await cloud.http.post("/volume/v3/os-volume-transfer", json={"transfer": body})).status_code == status
