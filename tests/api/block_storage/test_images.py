"""Volumes from images, and images from volumes."""

import asyncio
import base64

import pytest

from pileus.kernel.errors import Failed
from pileus.services.block_storage.drivers.fake import FakeVolumeDriver, _empty_qcow2
from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"


async def make_image(cloud: Cloud, data: bytes = b"boot me" + bytes(1 << 20), **more: object) -> str:
    wish = {"name": "base", "disk_format": "raw", "container_format": "bare", "visibility": "private", **more}
    answer = await cloud.http.post("/image/v2/images", json=wish)
    assert answer.status_code == 201, answer.text
    id = answer.json()["id"]
    headers = {"Content-Type": "application/octet-stream"}
    answer = await cloud.http.put(f"/image/v2/images/{id}/file", content=data, headers=headers)
    assert answer.status_code == 204, answer.text
    return id


async def image_is(cloud: Cloud, id: str, status: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(500):
        found = (await cloud.http.get(f"/image/v2/images/{id}")).json()
        if found.get("status") == status:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"image {id} is {found}, not {status}")


async def test_a_volume_from_an_image_boots_and_remembers(cloud: Cloud) -> None:
    image = await make_image(cloud, min_disk=2, hw_disk_bus="virtio")
    volume = await cloud.volume(imageRef=image, size=2)
    assert volume["bootable"] == "true"
    about = volume["volume_image_metadata"]
    assert (about["image_id"], about["image_name"], about["hw_disk_bus"]) == (image, "base", "virtio")
    clone = await cloud.volume(source_volid=volume["id"], size=2)
    assert clone["volume_image_metadata"] == about
    assert list((cloud.runtime.config.state / "block_storage" / "images").iterdir()) == []


async def test_an_image_names_the_type_of_its_volumes(cloud: Cloud) -> None:
    for name, public in (("gold", True), ("hidden", False)):
        wish = {"name": name, "os-volume-type-access:is_public": public}
        assert (await cloud.admin.post("/volume/v3/types", json={"volume_type": wish})).status_code == 200
    image = await make_image(cloud, cinder_img_volume_type="gold")
    assert (await cloud.volume(imageRef=image))["volume_type"] == "gold"
    assert (await cloud.volume(imageRef=image, volume_type="__DEFAULT__"))["volume_type"] == "__DEFAULT__"
    for name in ("hidden", "absent"):
        image = await make_image(cloud, cinder_img_volume_type=name)
        answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "imageRef": image}})
        assert answer.status_code == 404
        assert name in answer.text


async def test_the_image_may_go_while_the_volume_stays(cloud: Cloud) -> None:
    image = await make_image(cloud)
    volume = await cloud.volume(imageRef=image)
    assert (await cloud.http.delete(f"/image/v2/images/{image}")).status_code == 204
    driver = FakeVolumeDriver(cloud.runtime.config.state / "block_storage" / "hosts" / "fake-1")
    assert base64.b64decode(driver._get("volume", volume["id"]).content).startswith(b"boot me")


@pytest.mark.parametrize(("more", "size"), [({"min_disk": 2}, 1), ({}, None)])
async def test_a_volume_too_small_for_its_image_is_refused(cloud: Cloud, more: dict[str, object], size: object) -> None:
    image = await make_image(cloud, **more)
    wish = {"volume": {"size": size, "imageRef": image}}
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 400


async def test_images_nobody_can_use_are_refused(cloud: Cloud) -> None:
    wish = {"volume": {"size": 1, "imageRef": MISSING}}
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 404
    queued = await cloud.http.post(
        "/image/v2/images", json={"name": "q", "disk_format": "raw", "container_format": "bare"}
    )
    wish["volume"]["imageRef"] = queued.json()["id"]
    answer = await cloud.http.post("/volume/v3/volumes", json=wish)
    assert answer.status_code == 400
    assert "queued" in answer.json()["badRequest"]["message"]
    wish["volume"]["imageRef"] = await make_image(cloud)
    assert (await cloud.other.post("/volume/v3/volumes", json=wish)).status_code == 404


def encrypted_qcow2() -> bytes:
    """Return an empty qcow2 image that says it is encrypted with LUKS (QEMU docs/interop/qcow2.txt)."""
    image = bytearray(_empty_qcow2(1))
    image[32:36] = (2).to_bytes(4, "big")
    return bytes(image)


async def test_an_image_that_no_driver_takes_ends_the_creation_at_once(cloud: Cloud) -> None:
    """It is in error within moments, nothing is left of it, and its owner reads why, without a path of the host."""
    image = await make_image(cloud, encrypted_qcow2(), disk_format="qcow2")
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "imageRef": image}})
    id = answer.json()["volume"]["id"]
    await cloud.until("volume", id, "error")
    (message,) = (await cloud.http.get(f"/volume/v3/messages?resource_uuid={id}")).json()["messages"]
    assert "encrypted" in message["user_message"]
    driver = cloud.driver
    assert (await driver.inventory()).volumes == []
    assert list((cloud.runtime.config.state / "block_storage" / "images").iterdir()) == []
    assert (await cloud.http.delete(f"/volume/v3/volumes/{id}")).status_code == 202


async def test_what_a_driver_says_of_its_files_is_for_operators(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "qemu-img convert failed: Could not open '/var/lib/pileus/block_storage/work/x.1f': broken"

    async def refuse(*_: object, **__: object) -> None:
        raise Failed(words)

    monkeypatch.setattr(cloud.driver, "ensure_volume", refuse)
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1}})
    id = answer.json()["volume"]["id"]
    await cloud.until("volume", id, "error")
    (message,) = (await cloud.http.get("/volume/v3/messages")).json()["messages"]
    assert message["user_message"].endswith("Could not open '(a file of the host)': broken")
    request = answer.headers["x-openstack-request-id"]
    mine = (await cloud.http.get(f"/v1/requests/{request}")).text
    assert "broken" in mine
    assert "/var/lib" not in mine
    steps = (await cloud.admin.get(f"/v1/requests/{request}")).json()["request"]["operations"][0]["steps"]
    assert words in [step["error"] for step in steps]


@pytest.mark.parametrize("format", ["raw", "qcow2"])
async def test_a_volume_becomes_an_image(cloud: Cloud, format: str) -> None:
    volume = await cloud.volume()
    answer = await cloud.act(volume["id"], "os-volume_upload_image", {"image_name": "made", "disk_format": format})
    assert answer.status_code == 202, answer.text
    told = answer.json()["os-volume_upload_image"]
    assert (told["status"], told["disk_format"]) == ("uploading", format)
    image = await image_is(cloud, told["image_id"], "active")
    assert (image["name"], image["disk_format"], image["min_disk"]) == ("made", format, 1)
    await cloud.until("volume", volume["id"], "available")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image_name": "x", "disk_format": "floppy"},
        {"image_name": "x", "container_format": "docker"},
        {"image_name": "x", "force": "maybe"},
    ],
)
async def test_bad_uploads_are_refused(cloud: Cloud, body: dict[str, object]) -> None:
    volume = await cloud.volume()
    assert (await cloud.act(volume["id"], "os-volume_upload_image", body)).status_code == 400
    assert (await cloud.show("volume", volume["id"]))["status"] == "available"


async def test_an_upload_that_fails_takes_its_image_back(cloud: Cloud) -> None:
    volume = await cloud.volume()
    body = {"image_name": "x", "disk_format": "vdi"}  # the fake driver writes raw and qcow2 only
    answer = await cloud.act(volume["id"], "os-volume_upload_image", body)
    assert answer.status_code == 202
    await cloud.until("volume", volume["id"], "available")
    gone = await cloud.http.get(f"/image/v2/images/{answer.json()['os-volume_upload_image']['image_id']}")
    assert gone.status_code == 404
    (message,) = (await cloud.http.get("/volume/v3/messages")).json()["messages"]
    assert message["resource_uuid"] == volume["id"]
    assert "vdi" in message["user_message"]


async def test_a_volume_in_use_is_uploaded_by_force_only(cloud: Cloud) -> None:
    volume = await cloud.volume()
    server = "99999999-2222-4333-8444-555555555555"
    await cloud.act(volume["id"], "os-attach", {"instance_uuid": server, "mountpoint": "/dev/vdb"})
    body = {"image_name": "x", "disk_format": "qcow2"}
    assert (await cloud.act(volume["id"], "os-volume_upload_image", body)).status_code == 400
    answer = await cloud.act(volume["id"], "os-volume_upload_image", {**body, "force": True})
    await image_is(cloud, answer.json()["os-volume_upload_image"]["image_id"], "active")
    await cloud.until("volume", volume["id"], "in-use")


async def test_an_image_hidden_meanwhile_becomes_no_volume(cloud: Cloud) -> None:
    """The operation looks for it with the sight of who asked, not with the service's."""
    wish = {"name": "lent", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    image = (await cloud.admin.post("/image/v2/images", json=wish)).json()["id"]
    octets = {"Content-Type": "application/octet-stream"}
    assert (await cloud.admin.put(f"/image/v2/images/{image}/file", content=b"lent", headers=octets)).status_code == 204
    await cloud.runtime.worker.stop()
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "imageRef": image}})
    assert answer.status_code == 202, answer.text
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    hidden = [{"op": "replace", "path": "/visibility", "value": "private"}]
    assert (await cloud.admin.patch(f"/image/v2/images/{image}", json=hidden, headers=patch)).status_code == 200
    await cloud.runtime.worker.start()
    id = answer.json()["volume"]["id"]
    status = ""
    for _ in range(500):
        status = (await cloud.http.get(f"/volume/v3/volumes/{id}")).json()["volume"]["status"]
        if status != "creating":
            break
        await asyncio.sleep(0.01)
    assert status == "error"
