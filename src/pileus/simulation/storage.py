"""What users do with volumes, snapshots, backups and images."""

from typing import Any

from pileus.simulation.template import IMAGE, VOLUME
from pileus.simulation.users import User


async def create_volume(user: User) -> None:
    """Make a volume: blank, of the image, of a snapshot, of another volume, of a backup."""
    body: dict[str, Any] = {"name": user.name_of("v"), "size": user.random.choice((1, 1, 1, 2))}
    if user.chance(0.2):
        body["imageRef"] = user.template.image
    elif user.has("snapshot") and user.chance(0.3):
        body["snapshot_id"] = user.some("snapshot")
    elif user.has("volume") and user.chance(0.2):
        body["source_volid"] = user.some("volume")
    elif user.has("backup") and user.chance(0.2):
        body["backup_id"] = user.some("backup")
    made = await user.make("volume", f"{VOLUME}/volumes", "volume", body)
    if made and user.chance(0.1):
        await user.ask("DELETE", f"{VOLUME}/volumes/{made}")


async def delete_volume(user: User) -> None:
    """Delete a volume."""
    await user.remove("volume", f"{VOLUME}/volumes")


async def _action(user: User, name: str, argument: Any) -> Any:
    verb, user.verb = user.verb, f"volume {name}"
    answer = await user.ask("POST", f"{VOLUME}/volumes/{user.some('volume')}/action", {name: argument})
    user.verb = verb
    return answer


async def extend_volume(user: User) -> None:
    """Grow a volume."""
    await _action(user, "os-extend", {"new_size": user.random.choice((2, 3, 4))})


async def upload_volume(user: User) -> None:
    """Make an image of a volume."""
    body = {"image_name": user.name_of("i"), "disk_format": "raw", "container_format": "bare", "force": True}
    made = await _action(user, "os-volume_upload_image", body)
    if made:
        user.mine.add("image", made["os-volume_upload_image"]["image_id"])


async def revert_volume(user: User) -> None:
    """Put a volume back to a snapshot."""
    await _action(user, "revert", {"snapshot_id": user.some("snapshot")})


async def create_snapshot(user: User) -> None:
    """Snapshot a volume."""
    body = {"name": user.name_of("x"), "volume_id": user.some("volume")}
    await user.make("snapshot", f"{VOLUME}/snapshots", "snapshot", body)


async def delete_snapshot(user: User) -> None:
    """Delete a snapshot."""
    await user.remove("snapshot", f"{VOLUME}/snapshots")


async def create_backup(user: User) -> None:
    """Back a volume up."""
    body: dict[str, Any] = {"name": user.name_of("b"), "volume_id": user.some("volume"), "force": user.chance(0.5)}
    await user.make("backup", f"{VOLUME}/backups", "backup", body)


async def restore_backup(user: User) -> None:
    """Restore a backup, into a volume or a new one."""
    body = {"restore": {"volume_id": user.some("volume")} if user.chance(0.6) else {"name": "restored"}}
    made = await user.ask("POST", f"{VOLUME}/backups/{user.some('backup')}/restore", body)
    if made and made.get("restore"):
        user.mine.add("volume", made["restore"]["volume_id"])


async def delete_backup(user: User) -> None:
    """Delete a backup."""
    await user.remove("backup", f"{VOLUME}/backups")


async def create_image(user: User) -> None:
    """Make an image and most of the time upload bytes into it."""
    body = {"name": user.name_of("i"), "disk_format": "raw", "container_format": "bare"}
    made = await user.make("image", f"{IMAGE}/images", "", body)
    if made and user.chance(0.8):
        await user.ask("PUT", f"{IMAGE}/images/{made}/file", bytes(user.random.choice((512, 4096))))


async def delete_image(user: User) -> None:
    """Delete an image."""
    await user.remove("image", f"{IMAGE}/images")


VERBS = [
    ("volume create", 10, create_volume),
    ("volume delete", 6, delete_volume),
    ("volume extend", 3, extend_volume),
    ("volume upload", 2, upload_volume),
    ("volume revert", 2, revert_volume),
    ("snapshot create", 4, create_snapshot),
    ("snapshot delete", 3, delete_snapshot),
    ("backup create", 3, create_backup),
    ("backup restore", 2, restore_backup),
    ("backup delete", 2, delete_backup),
    ("image create", 3, create_image),
    ("image delete", 2, delete_image),
]
