"""A volume that grows under a server stands among the server's actions."""

from tests.api.compute.cloud import COMPUTE, VOLUME, Cloud, volume_of


async def test_an_extension_is_an_action_of_the_server(cloud: Cloud) -> None:
    id, volume = await cloud.boot(), await volume_of(cloud)
    await cloud.ask("POST", f"/servers/{id}/os-volume_attachments", 200, {"volumeAttachment": {"volumeId": volume}})
    await cloud.until(f"{VOLUME}/{volume}", lambda answer: answer["volume"]["status"] == "in-use")
    version = {"OpenStack-API-Version": "volume 3.42"}
    grow = {"os-extend": {"new_size": 2}}
    answer = await cloud.demo.post(f"{VOLUME}/{volume}/action", json=grow, headers=version)
    assert answer.status_code == 202, answer.text

    def told(answer: dict) -> bool:
        return "extend_volume" in [action["action"] for action in answer["instanceActions"]]

    actions = (await cloud.until(f"{COMPUTE}/servers/{id}/os-instance-actions", told))["instanceActions"]
    (one,) = [action for action in actions if action["action"] == "extend_volume"]
    assert one["request_id"] == answer.headers["x-openstack-request-id"]
    assert one["message"] is None


async def test_an_extension_told_from_outside_is_an_action_too(cloud: Cloud) -> None:
    id = await cloud.boot()
    event = {"name": "volume-extended", "server_uuid": id, "tag": "11111111-2222-4333-8444-555555555555"}
    answer = await cloud.admin.post(f"{COMPUTE}/os-server-external-events", json={"events": [event]})
    assert answer.status_code == 200, answer.text
    actions = (await cloud.ask("GET", f"/servers/{id}/os-instance-actions", 200))["instanceActions"]
    assert [action["action"] for action in actions] == ["extend_volume", "create"]
