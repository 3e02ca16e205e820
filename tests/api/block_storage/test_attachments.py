"""The attachments API, and what Compute does through ``public.py``."""

from tests.api.block_storage.conftest import Cloud

SERVER = "99999999-2222-4333-8444-555555555555"
MISSING = "11111111-2222-4333-8444-555555555555"
PATH = "/volume/v3/attachments"


async def test_reserve_connect_complete_delete(cloud: Cloud) -> None:
    volume = await cloud.volume()
    wish = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": SERVER}}
    answer = await cloud.http.post(PATH, json=wish)
    assert answer.status_code == 200, answer.text
    made = answer.json()["attachment"]
    assert (made["status"], made["instance"], made["connection_info"]) == ("reserved", SERVER, {})
    assert (await cloud.show("volume", volume["id"]))["status"] == "reserved"
    assert (await cloud.http.post(PATH, json=wish)).status_code == 400
    one = f"{PATH}/{made['id']}"
    assert (await cloud.http.post(f"{one}/action", json={"os-complete": {}})).status_code == 400
    answer = await cloud.http.put(one, json={"attachment": {"connector": {"host": "fake-1", "mountpoint": "/dev/vdb"}}})
    assert answer.status_code == 200, answer.text
    connected = answer.json()["attachment"]
    assert connected["connection_info"]["driver_volume_type"] == "local"
    assert connected["attach_mode"] == "rw"
    assert (await cloud.http.post(f"{one}/action", json={"os-complete": {}})).status_code == 204
    shown = await cloud.show("volume", volume["id"])
    assert (shown["status"], shown["attachments"][0]["attachment_id"]) == ("in-use", made["id"])
    assert (await cloud.http.get(f"{PATH}?instance_id={SERVER}")).json()["attachments"] == [
        {"id": made["id"], "status": "attached", "instance": SERVER, "volume_id": volume["id"]}
    ]
    assert (await cloud.other.get(one)).status_code == 404
    assert (await cloud.http.delete(one)).json() == {"attachments": []}
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"
    assert (await cloud.http.get(one)).status_code == 404


async def test_a_connector_at_once(cloud: Cloud) -> None:
    volume = await cloud.volume()
    wish = {"volume_uuid": volume["id"], "connector": {"host": "elsewhere"}, "mode": "ro"}
    made = (await cloud.http.post(PATH, json={"attachment": wish})).json()["attachment"]
    assert (made["status"], made["attach_mode"]) == ("attaching", "ro")
    assert made["connection_info"]["driver_volume_type"] == "nbd"
    assert (await cloud.http.delete(f"{PATH}/{made['id']}")).status_code == 200


async def test_a_connection_that_fails_leaves_no_hold(cloud: Cloud) -> None:
    volume = await cloud.volume()
    hosts = cloud.runtime.local_hosts
    assert hosts is not None
    await hosts.lose("fake-1")
    wish = {"volume_uuid": volume["id"], "connector": {"host": "fake-1"}}
    answer = await cloud.http.post(PATH, json={"attachment": wish})
    assert answer.status_code == 503
    assert "fake-1" in answer.json()["serviceUnavailable"]["message"]
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"


async def test_bad_wishes_are_refused(cloud: Cloud) -> None:
    volume = await cloud.volume()
    bad = (
        ({}, 400),
        ({"volume_uuid": MISSING}, 404),
        ({"volume_uuid": volume["id"], "connector": {"ip": "10.0.0.1"}}, 400),
        ({"volume_uuid": volume["id"], "mode": "w"}, 400),
    )
    for wish, status in bad:
        assert (await cloud.http.post(PATH, json={"attachment": wish})).status_code == status
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"
    old = {"OpenStack-API-Version": "volume 3.26"}
    assert (await cloud.http.get(PATH, headers=old)).status_code == 404
