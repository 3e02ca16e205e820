"""Beginning to plug a volume into a server, or to take it out."""

import msgspec

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.compute import lifecycle, volumes
from pileus.services.compute.app.devices import ROOT, next_device
from pileus.services.compute.app.verbs import require_built, run
from pileus.services.compute.commands import DiskSource
from pileus.services.compute.local_disks import local_devices
from pileus.services.compute.model import BlockDevice, Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import VolumeInput


def attach(
    tx: Tx, ctx: Context, server: Server, volume_id: str, name: str | None, tag: str | None, doomed: bool
) -> BlockDevice:
    """Reserve the volume, give it a device name, and begin to plug it in; return the device."""
    require_built(server, lifecycle.ATTACH_VOLUME)
    if store.get_device(tx, server.id, volume_id) is not None:
        raise Invalid(f"Invalid volume: volume {volume_id} is attached to instance {server.id} already.")
    taken = {ROOT, *local_devices(server.flavor).values()}
    taken |= {device.device for device in store.list_devices(tx, server.id)}
    wanted = None if name is None else name if name.startswith("/dev/") else f"/dev/{name}"
    if wanted is None or wanted in taken:
        wanted = next_device(taken)
    attachment_id = volumes.reserve(tx, ctx, volume_id, server.id, wanted)
    device = BlockDevice(
        id=ids.new_id(),
        server_id=server.id,
        volume_id=volume_id,
        attachment_id=attachment_id,
        device=wanted,
        delete_on_termination=doomed,
        tag=tag,
        connection={},
    )
    tx.add(device)
    tx.flush()
    run(tx, ctx, lifecycle.ATTACH_VOLUME, server, _input(server, device))
    return device


def detach(tx: Tx, ctx: Context, server: Server, device: BlockDevice) -> None:
    """Begin to take a volume out."""
    volumes.begin_detaching(tx, ctx, device.volume_id, server.id)
    run(tx, ctx, lifecycle.DETACH_VOLUME, server, _input(server, device, taken_out=True))


def _input(server: Server, device: BlockDevice, *, taken_out: bool = False) -> VolumeInput:
    return VolumeInput(
        server_id=server.id,
        host=server.host,
        volume_id=device.volume_id,
        attachment_id=device.attachment_id,
        device_id=device.id,
        source=msgspec.convert(device.connection, DiskSource) if taken_out and device.connection else None,
    )
