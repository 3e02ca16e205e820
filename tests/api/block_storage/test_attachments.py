"""The attachments API, and what Compute does through ``public.py``."""

from typing import Any

from pileus.kernel.db import Tx
from pileus.services.block_storage import public
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


async def test_a_hold_is_completed_without_a_connector(cloud: Cloud) -> None:
    volume = await cloud.volume()
    wish = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": SERVER}}
    made = (await cloud.http.post(PATH, json=wish)).json()["attachment"]
    assert (await cloud.http.post(f"{PATH}/{made['id']}/action", json={"os-complete": {}})).status_code == 204
    assert (await cloud.show("volume", volume["id"]))["status"] == "in-use"
    assert (await cloud.http.get(f"{PATH}/{made['id']}")).json()["attachment"]["status"] == "attached"


async def test_what_compute_holds_is_computes_to_end(cloud: Cloud) -> None:
    """OSSA-2023-003: no call of Block Storage's API takes a guest's disk from under it, not even an admin's."""
    volume = await cloud.volume()
    id = volume["id"]
    ctx = cloud.runtime.internal(project_id=volume["os-vol-tenant-attr:tenant_id"])
    attachment = await cloud.runtime.db.write(public.reserve, ctx, id, SERVER)
    one = f"{PATH}/{attachment}"
    connector = {"connector": {"host": "fake-1"}}
    told: list[str] = []
    for verb in ("ensure_export", "ensure_export_gone"):
        _listen(cloud.driver, verb, told)

    async def refused() -> None:
        for http in (cloud.http, cloud.admin):
            answers = [
                await cloud.act(id, "os-terminate_connection", connector, http),
                await cloud.act(id, "os-detach", {}, http),
                await cloud.act(id, "os-detach", {"attachment_id": attachment}, http),
                await cloud.act(id, "os-unreserve", {}, http),
                await http.delete(one),
                await http.put(one, json={"attachment": connector}),
                await http.post(f"{one}/action", json={"os-complete": {}}),
            ]
            assert [answer.status_code for answer in answers] == [409] * len(answers)
            assert f"from instance {SERVER} using the Compute API" in answers[0].text
        assert (await cloud.act(id, "os-force_detach", {}, cloud.admin)).status_code == 409
        reset = {"attach_status": "detached", "status": "available"}
        assert (await cloud.act(id, "os-reset_status", reset, cloud.admin)).status_code == 409
        assert told == []

    await refused()
    await cloud.runtime.db.write(_attach, attachment)
    await refused()
    assert (await cloud.show("volume", id))["status"] == "in-use"
    await cloud.runtime.db.write(public.release, attachment)
    assert (await cloud.act(id, "os-terminate_connection", connector)).status_code == 202
    assert told == ["ensure_export_gone"]


def _attach(tx: Tx, attachment_id: str) -> None:
    public.attached(tx, attachment_id, "/dev/vdb")


def _listen(driver: Any, verb: str, told: list[str]) -> None:
    asked = getattr(driver, verb)

    async def listening(*args: Any, **more: Any) -> Any:
        told.append(verb)
        return await asked(*args, **more)

    setattr(driver, verb, listening)


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
