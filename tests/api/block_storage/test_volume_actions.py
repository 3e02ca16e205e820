"""What is done to volumes by action: growing, flags, the older attach calls, an administrator's verbs."""

import pytest

from tests.api.block_storage.conftest import Cloud

SERVER = "99999999-2222-4333-8444-555555555555"
MISSING = "11111111-2222-4333-8444-555555555555"


async def test_a_volume_grows(cloud: Cloud) -> None:
    volume = await cloud.volume()
    assert (await cloud.act(volume["id"], "os-extend", {"new_size": 3})).status_code == 202
    grown = await cloud.until("volume", volume["id"], "available")
    assert grown["size"] == 3


@pytest.mark.parametrize("size", [0, 1, "abc", None, -5, 2**40])
async def test_a_volume_does_not_shrink_or_grow_to_nonsense(cloud: Cloud, size: object) -> None:
    volume = await cloud.volume()
    assert (await cloud.act(volume["id"], "os-extend", {"new_size": size})).status_code == 400
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"


async def test_growth_counts_against_the_quota(cloud: Cloud) -> None:
    volume = await cloud.volume()
    answer = await cloud.act(volume["id"], "os-extend", {"new_size": 1001})
    assert answer.status_code == 413
    assert "gigabytes" in answer.json()["overLimit"]["message"]


async def test_flags(cloud: Cloud) -> None:
    volume = await cloud.volume()
    for flag in (True, False):
        assert (await cloud.act(volume["id"], "os-set_bootable", {"bootable": flag})).status_code == 200
        assert (await cloud.act(volume["id"], "os-update_readonly_flag", {"readonly": flag})).status_code == 202
        shown = await cloud.show("volume", volume["id"])
        assert (shown["bootable"], shown["metadata"]["readonly"]) == (str(flag).lower(), str(flag))
    assert (await cloud.act(volume["id"], "os-set_bootable", {"bootable": "maybe"})).status_code == 400
    assert (await cloud.act(volume["id"], "os-set_bootable", {})).status_code == 400


async def test_the_older_calls_around_an_attachment(cloud: Cloud) -> None:
    volume = await cloud.volume()
    id = volume["id"]

    async def status() -> str:
        return (await cloud.show("volume", id))["status"]

    assert (await cloud.act(id, "os-reserve")).status_code == 202
    assert await status() == "attaching"
    assert (await cloud.act(id, "os-reserve")).status_code == 400
    assert (await cloud.act(id, "os-unreserve")).status_code == 202
    assert await status() == "available"
    attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"}
    assert (await cloud.act(id, "os-attach", attach)).status_code == 202
    shown = await cloud.show("volume", id)
    (entry,) = shown["attachments"]
    assert (shown["status"], entry["id"], entry["server_id"], entry["device"]) == ("in-use", id, SERVER, "/dev/vdc")
    assert (await cloud.http.delete(f"/volume/v3/volumes/{id}")).status_code == 400
    assert (await cloud.act(id, "os-begin_detaching")).status_code == 202
    assert await status() == "detaching"
    assert (await cloud.act(id, "os-roll_detaching")).status_code == 202
    assert await status() == "in-use"
    assert (await cloud.act(id, "os-detach", {"attachment_id": MISSING})).status_code == 400
    assert (await cloud.act(id, "os-detach")).status_code == 202
    assert await status() == "available"
    assert (await cloud.act(id, "os-detach")).status_code == 202
    assert await status() == "available"


async def test_an_attach_to_nothing_is_refused(cloud: Cloud) -> None:
    volume = await cloud.volume()
    for body in (
        {"mountpoint": "/dev/vdb"},
        {"instance_uuid": SERVER},
        {"mountpoint": "x", "instance_uuid": SERVER, "mode": "w"},
    ):
        assert (await cloud.act(volume["id"], "os-attach", body)).status_code == 400


async def test_a_read_only_volume_is_attached_read_only(cloud: Cloud) -> None:
    volume = await cloud.volume()
    await cloud.act(volume["id"], "os-update_readonly_flag", {"readonly": True})
    attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdc", "mode": "rw"}
    assert (await cloud.act(volume["id"], "os-attach", attach)).status_code == 400
    assert (await cloud.act(volume["id"], "os-attach", {**attach, "mode": "ro"})).status_code == 202
    assert (await cloud.act(volume["id"], "os-update_readonly_flag", {"readonly": False})).status_code == 400


async def test_a_connection_says_where_the_file_is(cloud: Cloud) -> None:
    volume = await cloud.volume()
    answer = await cloud.act(volume["id"], "os-initialize_connection", {"connector": {"host": "fake-1"}})
    assert answer.status_code == 200, answer.text
    info = answer.json()["connection_info"]
    assert info["driver_volume_type"] == "local"
    assert volume["id"] in info["data"]["device_path"]
    remote = await cloud.act(volume["id"], "os-initialize_connection", {"connector": {"host": "elsewhere"}})
    assert remote.json()["connection_info"]["driver_volume_type"] == "nbd"
    assert (await cloud.act(volume["id"], "os-terminate_connection", {"connector": {}})).status_code == 202
    assert (await cloud.act(volume["id"], "os-initialize_connection")).status_code == 400


async def test_administrators_reset_and_force(cloud: Cloud) -> None:
    volume = await cloud.volume()
    id = volume["id"]
    assert (await cloud.act(id, "os-reset_status", {"status": "error"})).status_code == 403
    assert (await cloud.act(id, "os-force_delete")).status_code == 403
    assert (await cloud.act(id, "os-reset_status", {"status": "on fire"}, cloud.admin)).status_code == 400
    assert (await cloud.act(id, "os-reset_status", {}, cloud.admin)).status_code == 400
    assert (await cloud.act(id, "os-reset_status", {"status": "creating"}, cloud.admin)).status_code == 202
    assert (await cloud.http.delete(f"/volume/v3/volumes/{id}")).status_code == 400
    assert (await cloud.act(id, "os-force_delete", {}, cloud.admin)).status_code == 202
    await cloud.until_gone("volume", id)


async def test_an_administrator_forces_a_detach_from_an_error(cloud: Cloud) -> None:
    volume = await cloud.volume()
    await cloud.act(volume["id"], "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"})
    await cloud.act(volume["id"], "os-reset_status", {"status": "error"}, cloud.admin)
    assert (await cloud.act(volume["id"], "os-force_detach")).status_code == 403
    assert (await cloud.act(volume["id"], "os-force_detach", {}, cloud.admin)).status_code == 202
    shown = await cloud.show("volume", volume["id"])
    assert (shown["status"], shown["attachments"]) == ("available", [])


async def test_a_volume_goes_back_to_its_newest_snapshot(cloud: Cloud) -> None:
    volume = await cloud.volume()
    older = await cloud.snapshot(volume["id"])
    newest = await cloud.snapshot(volume["id"])
    assert (await cloud.act(volume["id"], "revert", {"snapshot_id": older["id"]})).status_code == 400
    assert (await cloud.act(volume["id"], "revert", {"snapshot_id": MISSING})).status_code == 404
    assert (await cloud.act(volume["id"], "revert", {"snapshot_id": newest["id"]})).status_code == 202
    await cloud.until("volume", volume["id"], "available")
    await cloud.until("snapshot", newest["id"], "available")


async def test_image_properties_of_a_volume(cloud: Cloud) -> None:
    volume = await cloud.volume()
    set_two = {"metadata": {"image_id": "5137a025", "image_name": "image"}}
    answer = await cloud.act(volume["id"], "os-set_image_metadata", set_two)
    assert answer.json() == set_two
    assert (await cloud.act(volume["id"], "os-unset_image_metadata", {"key": "image_name"})).status_code == 200
    assert (await cloud.act(volume["id"], "os-unset_image_metadata", {"key": "image_name"})).status_code == 404
    shown = await cloud.act(volume["id"], "os-show_image_metadata")
    assert shown.json() == {"metadata": {"image_id": "5137a025"}}
    assert (await cloud.show("volume", volume["id"]))["volume_image_metadata"] == {"image_id": "5137a025"}


async def test_an_unknown_action_is_named(cloud: Cloud) -> None:
    volume = await cloud.volume()
    answer = await cloud.act(volume["id"], "os-explode")
    assert answer.status_code == 400
    assert "os-explode" in answer.json()["badRequest"]["message"]
    assert (await cloud.act(MISSING, "os-extend", {"new_size": 2})).status_code == 404
    assert (await cloud.http.post(f"/volume/v3/volumes/{volume['id']}/action", content=b"{")).status_code == 400
