"""What an operation does for a user it does with that user's sight: private types, images of others."""

from tests.api.compute.cloud import Cloud, drivers

TYPES = "/volume/v3/types"


async def private_type(cloud: Cloud) -> str:
    body = {"volume_type": {"name": "gold", "os-volume-type-access:is_public": False}}
    answer = await cloud.admin.post(TYPES, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["volume_type"]["id"]


def on_volume(cloud: Cloud, volume_type: str | None = None, **more: object) -> dict[str, object]:
    device = {"boot_index": 0, "source_type": "image", "uuid": cloud.image_id, "volume_size": 1}
    device |= {"destination_type": "volume", "delete_on_termination": True, **more}
    return device if volume_type is None else {**device, "volume_type": volume_type}


def server_of(cloud: Cloud, device: dict[str, object], image: str = "") -> dict[str, object]:
    server = {"name": "x", "imageRef": image, "flavorRef": "42", "networks": "none"}
    return {"server": {**server, "block_device_mapping_v2": [device]}}


async def test_a_private_volume_type_is_refused_to_those_who_do_not_see_it(cloud: Cloud) -> None:
    gold = await private_type(cloud)
    for name in (gold, "gold"):
        body = server_of(cloud, on_volume(cloud, name))
        message = await cloud.refused("POST", "/servers", 400, body, version="2.67")
        assert f"Volume type {name} could not be found" in message
    project = (await cloud.show(await cloud.boot()))["tenant_id"]
    grant = await cloud.admin.post(f"{TYPES}/{gold}/action", json={"addProjectAccess": {"project": project}})
    assert grant.status_code == 202, grant.text
    made = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud, "gold")), version="2.67")
    assert (await cloud.rest(made["server"]["id"]))["status"] == "ACTIVE"


async def test_what_was_taken_away_meanwhile_is_not_used(cloud: Cloud) -> None:
    """The right to the type is withdrawn between the request and the operation, the image is hidden likewise."""
    gold = await private_type(cloud)
    project = (await cloud.show(await cloud.boot()))["tenant_id"]
    await cloud.admin.post(f"{TYPES}/{gold}/action", json={"addProjectAccess": {"project": project}})
    image = (await cloud.admin.post("/image/v2/images", json=_TINY)).json()["id"]
    await cloud.admin.put(f"/image/v2/images/{image}/file", content=b"0" * 4096, headers=_OCTETS)
    worker = cloud.runtime.worker
    await worker.stop()
    first = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud, "gold")), version="2.67")
    plain = {"name": "y", "imageRef": image, "flavorRef": "42", "networks": "none"}
    second = await cloud.ask("POST", "/servers", 202, {"server": plain}, version="2.37")
    await cloud.admin.post(f"{TYPES}/{gold}/action", json={"removeProjectAccess": {"project": project}})
    hidden = [{"op": "replace", "path": "/visibility", "value": "private"}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    answer = await cloud.admin.patch(f"/image/v2/images/{image}", json=hidden, headers=headers)
    assert answer.status_code == 200, answer.text
    await worker.start()
    faults = [(await cloud.rest(made["server"]["id"]))["fault"]["message"] for made in (first, second)]
    assert "gold could not be found" in faults[0]
    assert f"Can not find requested image {image}" in faults[1]


_TINY = {"name": "lent", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
_OCTETS = {"Content-Type": "application/octet-stream"}


async def test_an_image_beside_a_volume_that_boots(cloud: Cloud) -> None:
    """The volume boots; the server shows the image it was asked for, as upstream's does."""
    made = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud), cloud.image_id), version="2.37")
    server = await cloud.rest(made["server"]["id"])
    assert server["status"] == "ACTIVE", server
    assert server["image"]["id"] == cloud.image_id
    (volume,) = server["os-extended-volumes:volumes_attached"]
    (guest,) = [guest for driver in drivers(cloud) for guest in await driver.guests()]
    assert guest.disks == (volume["id"],), "no disk of its own beside the volume"
