"""Backups over HTTP: kept as objects of the project, restored into new volumes and old ones."""

import pytest

from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"
SERVER = "99999999-2222-4333-8444-555555555555"
PATH = "/volume/v3/backups"


async def backup(cloud: Cloud, volume_id: str, **body: object) -> dict[str, object]:
    return await cloud.make("backup", volume_id=volume_id, **body)


async def test_a_backup_lives_and_dies(cloud: Cloud) -> None:
    volume = await cloud.volume(size=2, metadata={"k": "v"})
    answer = await cloud.http.post(PATH, json={"backup": {"volume_id": volume["id"], "name": "b", "container": "box"}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["backup"].keys() == {"id", "name", "links", "metadata"}
    made = await cloud.until("backup", answer.json()["backup"]["id"], "available")
    await cloud.until("volume", volume["id"], "available")
    assert (made["size"], made["container"], made["object_count"], made["volume_id"]) == (2, "box", 1, volume["id"])
    project = (await cloud.show("volume", volume["id"]))["os-vol-tenant-attr:tenant_id"]
    box = f"/object-store/v1/AUTH_{project}/box"
    assert (await cloud.http.get(box)).text.split() == [f"volume_{volume['id']}/backup_{made['id']}"]
    one = f"{PATH}/{made['id']}"
    assert (await cloud.other.get(one)).status_code == 404
    answer = await cloud.http.put(one, json={"backup": {"name": "c", "description": "d", "metadata": {"m": "1"}}})
    assert (answer.status_code, answer.json()["backup"]["metadata"]) == (200, {"m": "1"})
    assert (await cloud.show("backup", made["id"]))["description"] == "d"
    assert [entry["name"] for entry in (await cloud.http.get(f"{PATH}?name=c")).json()["backups"]] == ["c"]
    answer = (await cloud.http.get(f"{PATH}/detail?limit=1&with_count=true")).json()
    assert (answer["count"], answer["backups"][0]["id"]) == (1, made["id"])
    assert (await cloud.http.delete(one)).status_code == 202
    await cloud.until_gone("backup", made["id"])
    assert (await cloud.http.get(box)).text == ""


async def test_a_backup_becomes_a_volume_after_its_own_is_gone(cloud: Cloud) -> None:
    volume = await cloud.volume(size=2, metadata={"k": "v"})
    await cloud.act(volume["id"], "os-set_bootable", {"bootable": True})
    made = await backup(cloud, volume["id"])
    await cloud.until("volume", volume["id"], "available")
    assert (await cloud.http.delete(f"/volume/v3/volumes/{volume['id']}")).status_code == 202
    await cloud.until_gone("volume", volume["id"])
    answer = await cloud.http.post(f"{PATH}/{made['id']}/restore", json={"restore": {}})
    assert answer.status_code == 202, answer.text
    told = answer.json()["restore"]
    assert (told["backup_id"], told["volume_name"]) == (made["id"], f"restore_backup_{made['id']}")
    restored = await cloud.until("volume", told["volume_id"], "available")
    assert (restored["size"], restored["metadata"], restored["bootable"]) == (2, {"k": "v"}, "true")
    await cloud.until("backup", made["id"], "available")
    other = await cloud.volume(size=3, backup_id=made["id"])
    assert (other["size"], other["metadata"]) == (3, {"k": "v"})


async def test_a_backup_is_restored_onto_a_volume(cloud: Cloud) -> None:
    volume = await cloud.volume(metadata={"k": "v"})
    made = await backup(cloud, volume["id"])
    target = await cloud.volume(size=2)
    wish = {"restore": {"volume_id": target["id"]}}
    assert (await cloud.http.post(f"{PATH}/{made['id']}/restore", json=wish)).status_code == 202
    restored = await cloud.until("volume", target["id"], "available")
    assert (restored["size"], restored["metadata"]) == (2, {"k": "v"})
    await cloud.until("backup", made["id"], "available")


async def test_a_backup_of_a_snapshot_and_of_a_volume_in_use(cloud: Cloud) -> None:
    volume = await cloud.volume()
    snapshot = await cloud.snapshot(volume["id"])
    made = await backup(cloud, volume["id"], snapshot_id=snapshot["id"])
    assert made["snapshot_id"] == snapshot["id"]
    await cloud.until("snapshot", snapshot["id"], "available")
    await cloud.act(volume["id"], "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})
    wish = {"backup": {"volume_id": volume["id"]}}
    assert (await cloud.http.post(PATH, json=wish)).status_code == 400
    await backup(cloud, volume["id"], force=True)
    await cloud.until("volume", volume["id"], "in-use")


async def test_backups_count_against_the_quota(cloud: Cloud) -> None:
    volume = await cloud.volume()
    project = (await cloud.show("volume", volume["id"]))["os-vol-tenant-attr:tenant_id"]
    await cloud.admin.put(f"/volume/v3/os-quota-sets/{project}", json={"quota_set": {"backups": 1}})
    await backup(cloud, volume["id"])
    await cloud.until("volume", volume["id"], "available")
    assert (await cloud.http.post(PATH, json={"backup": {"volume_id": volume["id"]}})).status_code == 413
    absolute = (await cloud.http.get("/volume/v3/limits")).json()["limits"]["absolute"]
    assert (absolute["totalBackupsUsed"], absolute["totalBackupGigabytesUsed"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"volume_id": MISSING}, 404),
        ({"volume_id": MISSING, "name": "x" * 256}, 400),
        ({"volume_id": MISSING, "incremental": True}, 400),
        ({"volume_id": MISSING, "container": "a/b"}, 400),
        ({"volume_id": MISSING, "container": ""}, 400),
        ({"volume_id": MISSING, "force": "maybe"}, 400),
    ],
)
async def test_bad_backups_are_refused(cloud: Cloud, body: dict[str, object], status: int) -> None:
    if status == 400 and body:  # what is wrong is not the volume
        body = {**body, "volume_id": (await cloud.volume())["id"]}
    assert (await cloud.http.post(PATH, json={"backup": body})).status_code == status
    assert (await cloud.http.get(PATH)).json() == {"backups": []}


async def test_bad_restores_are_refused(cloud: Cloud) -> None:
    volume = await cloud.volume(size=2)
    made, small = await backup(cloud, volume["id"]), await cloud.volume()
    restore = f"{PATH}/{made['id']}/restore"
    assert (await cloud.http.post(restore, json={"restore": {"volume_id": small["id"]}})).status_code == 400
    assert (await cloud.http.post(restore, json={"restore": {"volume_id": MISSING}})).status_code == 404
    assert (await cloud.http.post(f"{PATH}/{MISSING}/restore", json={"restore": {}})).status_code == 404
    reset = {"os-reset_status": {"status": "error"}}
    assert (await cloud.http.post(f"{PATH}/{made['id']}/action", json=reset)).status_code == 403
    assert (await cloud.admin.post(f"{PATH}/{made['id']}/action", json=reset)).status_code == 202
    assert (await cloud.http.post(restore, json={"restore": {}})).status_code == 400
    bad = {"os-reset_status": {"status": "on fire"}}
    assert (await cloud.admin.post(f"{PATH}/{made['id']}/action", json=bad)).status_code == 400
