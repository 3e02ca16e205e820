"""Plugging volumes into servers and taking them out, live.  Rule: the row is there from request to release."""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.operations import Operation, operation
from pileus.services.compute import volumes
from pileus.services.compute.commands import DiskSource, EnsureDiskAttached, EnsureDiskDetached
from pileus.services.compute.ending import changed
from pileus.services.compute.guests import volume_disk
from pileus.services.compute.model import BlockDevice
from pileus.services.compute.wanted import VolumeInput


class Source(msgspec.Struct, frozen=True):
    """A disk's source, and its guest's monitor for block storage, brought through the journal."""

    source: DiskSource
    monitor: str | None


def attach_failed(tx: Tx, input: VolumeInput, reason: str) -> None:
    """The volume is free again."""
    volumes.release(tx, input.attachment_id)
    _drop(tx, input.device_id)
    changed(tx, input.server_id, "attach_volume")


@operation("server.attach_volume", input=VolumeInput, deadline_s=300, on_failure=attach_failed, part=VolumeInput.part)
async def attach_volume(op: Operation, input: VolumeInput) -> None:
    """Connect the volume to the server's host and plug it in."""
    if input.host is None:
        raise NotFound(f"Instance {input.server_id} is on no host.")
    source = await volumes.connect(op, input.attachment_id, input.host, "volume")
    disk = volume_disk(input.volume_id, source)
    monitor = await op.command(
        "plug",
        input.host,
        EnsureDiskAttached(guest_id=input.server_id, disk=disk),
        undo=EnsureDiskDetached(guest_id=input.server_id, disk_id=input.volume_id),
    )
    await op.finish(attached, input, Source(source, monitor))


def attached(tx: Tx, input: VolumeInput, found: Source) -> None:
    """Write down that the guest has the disk."""
    device = tx.get(BlockDevice, input.device_id)
    if device is not None:
        device.connection = msgspec.to_builtins(found.source)
        volumes.attached(tx, input.attachment_id, device.device, found.monitor)
    changed(tx, input.server_id, "attach_volume")


def detach_failed(tx: Tx, input: VolumeInput, reason: str) -> None:
    """The guest still has the disk."""
    volumes.roll_detaching(tx, input.attachment_id)
    changed(tx, input.server_id, "detach_volume")


@operation(
    "server.detach_volume",
    input=VolumeInput,
    deadline_s=300,
    cancellable=False,
    on_failure=detach_failed,
    part=VolumeInput.part,
)
async def detach_volume(op: Operation, input: VolumeInput) -> None:
    """Unplug the volume, then let go of it; if that fails, the guest gets it back."""
    if input.host is not None:
        disk = volume_disk(input.volume_id, input.source) if input.source is not None else None
        await op.command(
            "unplug",
            input.host,
            EnsureDiskDetached(guest_id=input.server_id, disk_id=input.volume_id),
            undo=EnsureDiskAttached(guest_id=input.server_id, disk=disk) if disk is not None else None,
        )
    await volumes.disconnect(op, input.attachment_id, name="volume", undo=True)
    await op.finish(detached, input)


def detached(tx: Tx, input: VolumeInput) -> None:
    """The volume is free."""
    volumes.release(tx, input.attachment_id)
    _drop(tx, input.device_id)
    changed(tx, input.server_id, "detach_volume")


def _drop(tx: Tx, device_id: str) -> None:
    device = tx.get(BlockDevice, device_id)
    if device is not None:
        tx.delete(device)
        tx.flush()
