"""What a flavor gives beside the root: an ephemeral disk and a swap area, in the guest, through a resize."""

from pileus.services.compute.commands import Blank, Disk
from tests.api.compute.cloud import Cloud, attach_volume, drivers, volume_of


async def flavor(cloud: Cloud, name: str, ephemeral: int, swap: int) -> str:
    body = {"name": name, "ram": 64, "vcpus": 1, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": ephemeral, "swap": swap}
    return (await cloud.ask("POST", "/flavors", 200, {"flavor": body}, who=cloud.admin))["flavor"]["id"]


def disks_of(cloud: Cloud, server: str) -> dict[str, Disk]:
    """Return a guest's disks by id, in their order."""
    (spec,) = [driver.spec_of(server) for driver in drivers(cloud) if driver.has(server)]
    return {disk.id: disk for disk in spec.disks}


async def test_the_guest_has_the_disks_of_its_flavor(cloud: Cloud) -> None:
    server = await cloud.boot(flavorRef=await flavor(cloud, "both", 2, 16))
    found = disks_of(cloud, server)
    assert list(found) == ["root", "ephemeral0", "swap"]
    assert found["ephemeral0"].source == Blank(size_mib=2048, format="ext4", label="ephemeral0")
    assert found["swap"].source == Blank(size_mib=16, format="swap")
    shown = await attach_volume(cloud, server, await volume_of(cloud))
    assert shown["device"] == "/dev/vdd", "vdb and vdc are the flavor's"


async def test_a_resize_changes_them_and_a_revert_brings_them_back(cloud: Cloud) -> None:
    small, large = await flavor(cloud, "small", 1, 16), await flavor(cloud, "large", 3, 0)
    server = await cloud.boot(flavorRef=small)
    assert (await cloud.act(server, resize={"flavorRef": large}))["status"] == "VERIFY_RESIZE"
    assert list(disks_of(cloud, server)) == ["root", "ephemeral0"]
    await cloud.act(server, revertResize=None)
    assert list(disks_of(cloud, server)) == ["root", "ephemeral0", "swap"]
    await cloud.act(server, resize={"flavorRef": large})
    await cloud.act(server, 204, confirmResize=None)
    assert disks_of(cloud, server)["ephemeral0"].source == Blank(size_mib=3072, format="ext4", label="ephemeral0")
    body = {"resize": {"flavorRef": small}}
    assert "cannot shrink" in await cloud.refused("POST", f"/servers/{server}/action", 400, body)


async def test_a_server_that_boots_from_a_volume_keeps_its_ephemeral_disk_on_its_host(cloud: Cloud) -> None:
    device = {"boot_index": 0, "source_type": "image", "uuid": cloud.image_id, "volume_size": 1}
    device |= {"destination_type": "volume", "delete_on_termination": True}
    chosen = await flavor(cloud, "eph", 1, 0)
    server = await cloud.boot(imageRef="", flavorRef=chosen, block_device_mapping_v2=[device])
    volume, second = disks_of(cloud, server)
    assert second == "ephemeral0"
    assert disks_of(cloud, server)[volume].boot_index == 0
    path = f"/servers/{server}/action"
    assert "cannot be moved" in await cloud.refused("POST", path, 409, {"migrate": None}, who=cloud.admin)
