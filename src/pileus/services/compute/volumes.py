"""What compute asks of block storage.  Rule: the only file of this service that knows its ``public.py``."""

import contextlib

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.operations import Operation
from pileus.services.block_storage import public
from pileus.services.compute.commands import DiskSource, LocalFile, NbdSocket
from pileus.services.compute.wanted import WantedVolume


def check_attachable(tx: Tx, ctx: Context, volume_id: str, *, bootable: bool = False) -> None:
    """Raise Invalid unless the caller's volume is free (or may be shared), and can boot where it shall."""
    try:
        volume = public.get_volume(tx, ctx, volume_id)
    except NotFound:
        raise Invalid(f"Block Device Mapping is Invalid: failed to get volume {volume_id}.") from None
    if volume.status != "available" and not volume.multiattach:
        raise Invalid(f"Invalid volume: volume {volume_id} is {volume.status}; to be attached it must be available.")
    if bootable and not volume.bootable:
        raise Invalid(f"Block Device {volume_id} is not bootable: give a volume made from an image.")


def check_snapshot(tx: Tx, ctx: Context, snapshot_id: str) -> None:
    """Raise Invalid unless the caller has such a snapshot."""
    try:
        public.get_snapshot(tx, ctx, snapshot_id)
    except NotFound:
        raise Invalid(f"Block Device Mapping is Invalid: failed to get snapshot {snapshot_id}.") from None


def check_type(tx: Tx, ctx: Context, name_or_id: str) -> None:
    """Raise Invalid unless there is a volume type of that name or id that the caller may use."""
    try:
        public.require_type(tx, ctx, name_or_id)
    except NotFound:
        raise Invalid(f"Volume type {name_or_id} could not be found: choose one of the list of types.") from None


def reserve(tx: Tx, ctx: Context, volume_id: str, server_id: str, device: str | None) -> str:
    """Hold a volume for a server; return the attachment's id."""
    return public.reserve(tx, ctx, volume_id, server_id, device=device)


def create(tx: Tx, ctx: Context, wanted: WantedVolume, zone: str | None) -> tuple[str, str]:
    """Begin to make a volume for a server; return its id and the operation to wait for."""
    made, operation_id = public.create_volume(
        tx,
        ctx,
        public.NewVolume(
            size_gib=wanted.size_gib,
            volume_type=wanted.volume_type,
            snapshot_id=wanted.id if wanted.source == "snapshot" else None,
            image_id=wanted.id if wanted.source == "image" else None,
        ),
    )
    return made.id, operation_id


async def connect(op: Operation, attachment_id: str, host: str, name: str) -> DiskSource:
    """Make a volume reachable on a host and return where the hypervisor finds it there; ``name`` begins its steps."""
    export = await public.connect(op, attachment_id, host, name=name)
    if isinstance(export, public.NbdSocket):
        return NbdSocket(path=export.path, export=export.export, read_only=export.read_only)
    return LocalFile(path=export.path, format=export.format, read_only=export.read_only)


attached = public.attached
begin_detaching = public.begin_detaching
roll_detaching = public.roll_detaching
disconnect = public.disconnect
release = public.release


def delete(tx: Tx, ctx: Context, volume_id: str) -> None:
    """Begin to delete a volume that was to go with its server.

    One that is gone already is no trouble; one that may not go (it has snapshots) stays, as upstream does.
    """
    with contextlib.suppress(NotFound, Invalid):
        public.delete_volume(tx, ctx, volume_id)
