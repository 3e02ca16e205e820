"""What a server has: metadata, tags, volumes, cards, security groups."""

from tests.api.compute.cloud import Cloud


async def _volume(cloud: Cloud) -> str:
    made = (await cloud.demo.post("/volume/v3/volumes", json={"volume": {"size": 1}})).json()["volume"]["id"]
    await _status(cloud, made, "available")
    return made


async def _status(cloud: Cloud, volume: str, wanted: str) -> None:
    await cloud.until(f"/volume/v3/volumes/{volume}", lambda answer: answer["volume"]["status"] == wanted)


async def test_metadata_is_set_item_by_item_and_as_a_whole(cloud: Cloud) -> None:
    path = f"/servers/{await cloud.boot()}/metadata"
    await cloud.ask("POST", path, 200, {"metadata": {"a": "1", "b": "2"}})
    await cloud.ask("PUT", f"{path}/c", 200, {"meta": {"c": "3"}})
    await cloud.ask("DELETE", f"{path}/a", 204)
    assert (await cloud.ask("GET", path, 200))["metadata"] == {"b": "2", "c": "3"}
    assert (await cloud.ask("GET", f"{path}/b", 200))["meta"] == {"b": "2"}
    await cloud.refused("PUT", f"{path}/c", 400, {"meta": {"d": "3"}})
    await cloud.refused("PUT", path, 400, {"metadata": {"k" * 256: "v"}})
    await cloud.refused("POST", path, 400, {"metadata": None})
    await cloud.refused("DELETE", f"{path}/nothing", 404)
    await cloud.refused("POST", path, 403, {"metadata": {str(n): "v" for n in range(129)}})
    assert (await cloud.ask("PUT", path, 200, {"metadata": {}}))["metadata"] == {}


async def test_tags_are_a_set(cloud: Cloud) -> None:
    path = f"/servers/{await cloud.boot()}/tags"
    await cloud.ask("PUT", f"{path}/red", 201, version="2.26")
    await cloud.ask("PUT", f"{path}/red", 204, version="2.26")
    await cloud.ask("PUT", path, 200, {"tags": ["blue", "red"]}, version="2.26")
    await cloud.ask("GET", f"{path}/blue", 204, version="2.26")
    await cloud.ask("DELETE", f"{path}/blue", 204, version="2.26")
    assert (await cloud.ask("GET", path, 200, version="2.26"))["tags"] == ["red"]
    await cloud.refused("PUT", path, 400, {"tags": ["a/b"]}, version="2.26")
    await cloud.refused("GET", path, 404)


async def test_a_volume_is_plugged_in_and_taken_out(cloud: Cloud) -> None:
    id, volume = await cloud.boot(), await _volume(cloud)
    path = f"/servers/{id}/os-volume_attachments"
    made = (await cloud.ask("POST", path, 200, {"volumeAttachment": {"volumeId": volume}}))["volumeAttachment"]
    assert made == {"id": volume, "volumeId": volume, "serverId": id, "device": "/dev/vdb"}
    await _status(cloud, volume, "in-use")
    assert (await cloud.show(id, "2.3"))["os-extended-volumes:volumes_attached"] == [
        {"id": volume, "delete_on_termination": False}
    ]
    shown = (await cloud.ask("GET", f"{path}/{volume}", 200, version="2.89"))["volumeAttachment"]
    assert {"attachment_id", "bdm_uuid"} <= set(shown)
    assert "id" not in shown
    second = await cloud.boot("second")
    again = {"volumeAttachment": {"volumeId": volume}}
    await cloud.refused("POST", f"/servers/{second}/os-volume_attachments", 400, again)
    await cloud.ask("DELETE", f"{path}/{volume}", 202)
    await _status(cloud, volume, "available")
    await cloud.refused("GET", f"{path}/{volume}", 404)
    await cloud.refused("DELETE", f"{path}/{volume}", 404)


async def test_a_server_that_goes_lets_go_of_its_volumes_or_takes_them_along(cloud: Cloud) -> None:
    id, kept, doomed = await cloud.boot(), await _volume(cloud), await _volume(cloud)
    path = f"/servers/{id}/os-volume_attachments"
    await cloud.ask("POST", path, 200, {"volumeAttachment": {"volumeId": kept}})
    await _status(cloud, kept, "in-use")
    body = {"volumeAttachment": {"volumeId": doomed, "delete_on_termination": True}}
    await cloud.ask("POST", path, 200, body, version="2.79")
    await _status(cloud, doomed, "in-use")
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    await cloud.gone(id)
    await _status(cloud, kept, "available")
    await cloud.until(f"/volume/v3/volumes/{doomed}", lambda answer: "volume" not in answer)


async def test_a_server_boots_from_a_volume_made_for_it(cloud: Cloud) -> None:
    device = {
        "boot_index": 0,
        "source_type": "image",
        "destination_type": "volume",
        "uuid": cloud.image_id,
        "volume_size": 1,
        "delete_on_termination": True,
    }
    id = await cloud.boot(imageRef="", block_device_mapping_v2=[device])
    server = await cloud.show(id, "2.3")
    (volume,) = server["os-extended-volumes:volumes_attached"]
    assert server["image"] == ""
    await _status(cloud, volume["id"], "in-use")
    body = {"rebuild": {"imageRef": cloud.image_id}}
    await cloud.refused("POST", f"/servers/{id}/action", 400, body)
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    await cloud.gone(id)
    await cloud.until(f"/volume/v3/volumes/{volume['id']}", lambda answer: "volume" not in answer)


async def test_a_card_is_plugged_in_and_taken_out(cloud: Cloud) -> None:
    id = await cloud.boot()
    path = f"/servers/{id}/os-interface"
    body = {"interfaceAttachment": {"net_id": cloud.network_id}}
    made = (await cloud.ask("POST", path, 200, body))["interfaceAttachment"]
    port = made["port_id"]
    assert set(made) == {"port_state", "fixed_ips", "port_id", "net_id", "mac_addr"}
    await cloud.until(f"/networking/v2.0/ports/{port}", lambda answer: answer["port"]["status"] == "ACTIVE")
    assert len((await cloud.show(id))["addresses"]["net"]) == 2
    await cloud.until(
        f"/compute/v2.1/servers/{id}/os-instance-actions",
        lambda answer: answer["instanceActions"][0]["action"] == "attach_interface",
    )
    await cloud.ask("DELETE", f"{path}/{port}", 202)
    await cloud.until(f"/networking/v2.0/ports/{port}", lambda answer: "port" not in answer)
    assert len((await cloud.ask("GET", path, 200))["interfaceAttachments"]) == 1
    await cloud.refused("DELETE", f"{path}/{port}", 404)
    await cloud.refused("POST", path, 400, {"interfaceAttachment": {"net_id": cloud.network_id, "port_id": port}})


async def test_security_groups_are_added_and_removed(cloud: Cloud) -> None:
    id = await cloud.boot()
    await cloud.demo.post("/networking/v2.0/security-groups", json={"security_group": {"name": "web"}})
    await cloud.act(id, addSecurityGroup={"name": "web"})
    groups = (await cloud.ask("GET", f"/servers/{id}/os-security-groups", 200))["security_groups"]
    assert sorted(group["name"] for group in groups) == ["default", "web"]
    await cloud.act(id, removeSecurityGroup={"name": "web"})
    assert (await cloud.show(id))["security_groups"] == [{"name": "default"}]
    await cloud.refused("POST", f"/servers/{id}/action", 404, {"removeSecurityGroup": {"name": "web"}})
    await cloud.refused("POST", f"/servers/{id}/action", 404, {"addSecurityGroup": {"name": "absent"}})
