"""What users do so that every operation there is comes to pass: one short story for each, told through the APIs.

Rule: an operation without a story fails a test, so whoever adds one adds its story here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.sim.services.cloud import COMPUTE, KEYS, VOLUME, User

Told = Callable[[User], Awaitable[object]]


@dataclass(frozen=True)
class Story:
    """A story, and the operations in it that are to be interrupted."""

    tell: Told
    kinds: frozenset[str]

    @property
    def name(self) -> str:
        return self.tell.__name__


STORIES: list[Story] = []


def about(*kinds: str) -> Callable[[Told], Told]:
    """Add a story to the list."""

    def add(tell: Told) -> Told:
        STORIES.append(Story(tell, frozenset(kinds)))
        return tell

    return add


@about("server.create")
async def create_server(user: User) -> None:
    await user.boot()


@about("server.create")
async def create_server_on_the_second_host(user: User) -> None:
    user.refuse_first_host()
    await user.boot()


@about("server.create")
async def create_server_with_new_volume(user: User) -> None:
    volume = {"boot_index": 0, "source_type": "image", "uuid": user.image, "volume_size": 1}
    volume |= {"destination_type": "volume", "delete_on_termination": True}
    await user.boot(block_device_mapping_v2=[volume])


@about("server.delete")
async def delete_while_building(user: User) -> None:
    server = await user.boot()
    await user.api.delete(f"{COMPUTE}/servers/{server}")


@about("server.delete", "server.attach_volume")
async def delete_with_a_volume(user: User) -> None:
    server, _ = await user.attached()
    await user.api.delete(f"{COMPUTE}/servers/{server}")


@about("server.resize", "server.confirm_resize")
async def resize_and_confirm(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "resize", {"flavorRef": "84"})
    await user.act_on(server, "confirmResize")


@about("server.revert_resize")
async def resize_and_revert(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "resize", {"flavorRef": "84"})
    await user.act_on(server, "revertResize")


@about("server.stop", "server.start")
async def stop_and_start(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "os-stop")
    await user.act_on(server, "os-start")


@about("server.reboot", "server.reboot_hard")
async def reboot_softly_and_hard(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "reboot", {"type": "SOFT"})
    await user.act_on(server, "reboot", {"type": "HARD"})


@about("server.pause", "server.unpause")
async def pause_and_go_on(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "pause")
    await user.act_on(server, "unpause")


@about("server.suspend", "server.resume")
async def suspend_and_resume(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "suspend")
    await user.act_on(server, "resume")


@about("server.rebuild")
async def rebuild(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "rebuild", {"imageRef": user.image})


@about("server.create_image")
async def make_an_image_of_a_server(user: User) -> None:
    server = await user.ready()
    await user.act_on(server, "createImage", {"name": "of-a-server"})


@about("volume.create", "server.attach_volume", "server.detach_volume")
async def attach_and_detach_volume(user: User) -> None:
    server, volume = await user.attached()
    await user.api.delete(f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")


@about("server.attach_interface", "server.detach_interface")
async def attach_and_detach_interface(user: User) -> None:
    server = await user.ready()
    body = {"interfaceAttachment": {"net_id": user.network}}
    made = await user.api.post(f"{COMPUTE}/servers/{server}/os-interface", body)
    await user.idle()
    await user.api.delete(f"{COMPUTE}/servers/{server}/os-interface/{made['interfaceAttachment']['port_id']}")


@about("server.attach_volume", "server.attach_interface", "server.reboot_hard", "server.detach_volume")
async def change_a_server_at_once(user: User) -> None:
    """Two volumes and a card come, beside them a reboot; then both volumes go at once."""
    server, volumes = await user.ready(), [await user.volume() for _ in range(2)]
    card = {"interfaceAttachment": {"net_id": user.network}}
    path = f"{COMPUTE}/servers/{server}"
    attached = asyncio.ensure_future(user.api.post(f"{path}/os-interface", card))
    for volume in volumes:
        await user.api.post(f"{path}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
    await asyncio.gather(attached, return_exceptions=True)
    await user.act_on(server, "reboot", {"type": "HARD"})
    for volume in volumes:
        await user.api.delete(f"{path}/os-volume_attachments/{volume}")


@about("server.attach_volume", "server.reboot_hard", "server.delete")
async def delete_while_others_wait(user: User) -> None:
    server, volume = await user.ready(), await user.volume()
    path = f"{COMPUTE}/servers/{server}"
    await user.api.post(f"{path}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
    await user.api.post(f"{path}/action", {"reboot": {"type": "HARD"}})
    await user.api.delete(path)


@about("volume.extend", "snapshot.create", "snapshot.delete", "volume.delete")
async def volume_life(user: User) -> None:
    volume = await user.volume()
    await user.api.call(
        "POST", f"{VOLUME}/volumes/{volume}/action", {"os-extend": {"new_size": 2}},
        headers={"OpenStack-API-Version": "volume 3.42"},
    )  # fmt: skip
    await user.idle()
    made = await user.api.post(f"{VOLUME}/snapshots", {"snapshot": {"volume_id": volume, "name": "x"}})
    await user.idle()
    await user.api.delete(f"{VOLUME}/snapshots/{made['snapshot']['id']}")
    await user.idle()
    await user.api.delete(f"{VOLUME}/volumes/{volume}")


@about("volume.revert")
async def revert_to_a_snapshot(user: User) -> None:
    volume = await user.volume()
    made = await user.api.post(f"{VOLUME}/snapshots", {"snapshot": {"volume_id": volume, "name": "x"}})
    await user.idle()
    await user.api.call(
        "POST", f"{VOLUME}/volumes/{volume}/action", {"revert": {"snapshot_id": made["snapshot"]["id"]}},
        headers={"OpenStack-API-Version": "volume 3.40"},
    )  # fmt: skip


@about("volume.upload")
async def upload_volume(user: User) -> None:
    volume = await user.volume()
    body = {"os-volume_upload_image": {"image_name": "from-volume", "disk_format": "raw", "container_format": "bare"}}
    await user.api.post(f"{VOLUME}/volumes/{volume}/action", body)


@about("backup.create", "backup.restore", "backup.delete")
async def backup_life(user: User) -> None:
    volume = await user.volume()
    made = await user.api.post(f"{VOLUME}/backups", {"backup": {"volume_id": volume, "name": "b"}})
    await user.idle()
    backup = f"{VOLUME}/backups/{made['backup']['id']}"
    await user.api.post(f"{backup}/restore", {"restore": {"volume_id": volume}})
    await user.idle()
    await user.api.delete(backup)


@about("key_manager.order")
async def order_a_key(user: User) -> None:
    meta = {"name": "ordered", "algorithm": "aes", "bit_length": 256, "mode": "cbc"}
    await user.api.post(f"{KEYS}/orders", {"type": "key", "meta": meta})
