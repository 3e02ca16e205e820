"""What may be done to a volume, and what begins when it is done."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.operations import begin, find_live
from pileus.services.block_storage import model, operations
from pileus.services.block_storage.app import access, images, quotas
from pileus.services.block_storage.model import Backup, Snapshot, Volume, VolumeType
from pileus.services.block_storage.operations import scheduling
from pileus.services.block_storage.store import snapshots, types, volumes

IMAGE_VOLUME_TYPE = "cinder_img_volume_type"
"""The property of an image that names the type of volumes made from it."""


class NewVolume(msgspec.Struct, kw_only=True):
    """What somebody wants; at most one of the four sources."""

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = {}
    multiattach: bool = False
    snapshot_id: str | None = None
    source_volid: str | None = None
    image_id: str | None = None
    backup_id: str | None = None


class _Origin(msgspec.Struct):
    """What a source says of the volume made from it."""

    least_gib: int = 0
    size_gib: int | None = None
    volume_type_id: str | None = None
    type_name: str | None = None
    """The volume type that an image asks for."""
    bootable: bool = False
    zone: str | None = None
    image_properties: dict[str, str] | None = None
    image_format: str = "raw"
    properties: dict[str, str] = {}


def create_volume(tx: Tx, ctx: Context, wanted: NewVolume) -> Volume:
    """Record a volume and begin to make it; raises Invalid, NotFound, OverQuota."""
    origin = _origin(tx, ctx, wanted)
    size = wanted.size_gib if wanted.size_gib is not None else origin.size_gib
    if size is None:
        raise Invalid("Volume size must be specified as an option 'size', in GiB.")
    if size < origin.least_gib:
        raise Invalid(
            f"Volume size {size}GB cannot be smaller than its source, {origin.least_gib}GB: ask for that much."
        )
    volume_type = _type_for(tx, ctx, wanted, origin)
    multiattach = wanted.multiattach or _shares(volume_type)
    quotas.claim_volume(tx, ctx.project_id, volume_type, size)
    volume = Volume(
        id=ids.new_id(),
        project_id=ctx.project_id,
        user_id=ctx.user_id,
        name=wanted.name,
        description=wanted.description,
        size=size,
        quota_gib=size,
        status=model.CREATING,
        previous_status=None,
        availability_zone=_zone(wanted.availability_zone or origin.zone),
        host=None,
        volume_type_id=volume_type.id,
        snapshot_id=wanted.snapshot_id,
        source_volid=wanted.source_volid,
        bootable=origin.bootable,
        multiattach=multiattach,
        read_only=None,
        properties={**origin.properties, **wanted.metadata},
        image_properties=origin.image_properties,
        group_id=None,
        created_at=clock.now(),
        updated_at=None,
    )
    tx.add(volume)
    _begin(
        tx,
        ctx,
        "create",
        volume,
        operations.CreateVolume(
            volume_id=volume.id,
            size_gib=size,
            image_id=wanted.image_id,
            image_format=origin.image_format,
            backup_id=wanted.backup_id,
            by_admin=ctx.is_admin,
        ),
    )
    events.emit(tx, "block_storage.volume.created", volume.id, ctx=ctx)
    return volume


def _origin(tx: Tx, ctx: Context, wanted: NewVolume) -> _Origin:
    given = [name for name in ("snapshot_id", "source_volid", "image_id", "backup_id") if getattr(wanted, name)]
    if len(given) > 1:
        raise Invalid(f"A volume is made from one source: {' and '.join(given)} exclude each other.")
    if wanted.snapshot_id:
        return _from_snapshot(tx, ctx, wanted.snapshot_id)
    if wanted.source_volid:
        return _from_volume(tx, ctx, wanted.source_volid)
    if wanted.backup_id:
        return _from_backup(access.get_backup(tx, ctx, wanted.backup_id))
    if wanted.image_id:
        image = images.get_image(tx, ctx, wanted.image_id)
        return _Origin(
            least_gib=image.least_gib,
            bootable=True,
            image_properties=image.properties,
            image_format=image.format,
            type_name=image.properties.get(IMAGE_VOLUME_TYPE),
        )
    return _Origin()


def _from_snapshot(tx: Tx, ctx: Context, id: str) -> _Origin:
    snapshot = access.get_snapshot(tx, ctx, id)
    if snapshot.status != model.AVAILABLE:
        raise Invalid(f"Invalid snapshot: snapshot {id} is {snapshot.status}; it must be available.")
    volume = volumes.get_volume(tx, snapshot.volume_id)
    return _Origin(
        least_gib=snapshot.size,
        size_gib=snapshot.size,
        volume_type_id=snapshot.volume_type_id,
        bootable=volume.bootable if volume else False,
        zone=volume.availability_zone if volume else None,
        image_properties=volume.image_properties if volume else None,
    )


def _from_volume(tx: Tx, ctx: Context, id: str) -> _Origin:
    source = access.get_volume(tx, ctx, id)
    if source.status not in (model.AVAILABLE, model.IN_USE):
        raise Invalid(f"Invalid volume: source volume {id} is {source.status}; it must be available or in-use.")
    return _Origin(
        least_gib=source.size,
        size_gib=source.size,
        volume_type_id=source.volume_type_id,
        bootable=source.bootable,
        zone=source.availability_zone,
        image_properties=source.image_properties,
    )


def _from_backup(backup: Backup) -> _Origin:
    """Hold the backup, which is *restoring* until the volume is there."""
    if backup.status != model.AVAILABLE:
        raise Invalid(f"Invalid backup: backup {backup.id} is {backup.status}; it must be available.")
    backup.status = model.RESTORING
    return _Origin(
        least_gib=backup.size,
        size_gib=backup.size,
        volume_type_id=backup.volume_type_id,
        bootable=backup.bootable,
        image_properties=backup.image_properties,
        properties=backup.volume_properties,
    )


def _type_for(tx: Tx, ctx: Context, wanted: NewVolume, origin: _Origin) -> VolumeType:
    named = wanted.volume_type or origin.type_name
    if named:
        return access.find_type(tx, ctx, named)
    inherited = tx.get(VolumeType, origin.volume_type_id) if origin.volume_type_id else None
    return inherited or types.default_type(tx)


def _shares(volume_type: VolumeType) -> bool:
    return volume_type.extra_specs.get("multiattach", "").lower() == "<is> true"


def _zone(wanted: str | None) -> str:
    if wanted not in (None, model.DEFAULT_ZONE):
        raise Invalid(f"Availability zone '{wanted}' is invalid: it must be '{model.DEFAULT_ZONE}'.")
    return model.DEFAULT_ZONE


def update_volume(tx: Tx, ctx: Context, volume: Volume, changes: Mapping[str, Any]) -> None:
    """Change the name, description or metadata."""
    for name, value in changes.items():
        setattr(volume, name, value)
    volume.updated_at = clock.now()
    events.emit(tx, "block_storage.volume.updated", volume.id, ctx=ctx)


def delete_volume(tx: Tx, ctx: Context, volume: Volume, *, cascade: bool = False, force: bool = False) -> None:
    """Begin to delete a volume, with its snapshots if ``cascade``; ``force`` takes it from any state."""
    if not force and volume.status not in model.DELETABLE_VOLUME:
        raise Invalid(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending and must "
            "not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated "
            f"from snapshots after volume transfer. Volume {volume.id} is {volume.status}."
        )
    kept = snapshots.snapshots_of(tx, volume.id)
    if kept and not cascade:
        raise Invalid(
            f"Invalid volume: volume {volume.id} still has {len(kept)} dependent snapshots: delete them first, or all "
            "at once with cascade."
        )
    for snapshot in kept:
        if snapshot.status not in model.DELETABLE_SNAPSHOT:
            raise Invalid(f"Invalid volume: snapshot {snapshot.id} of volume {volume.id} is {snapshot.status}.")
    if (child := volumes.in_creation_from(tx, volume_id=volume.id)) is not None:
        raise Invalid(f"Invalid volume: volume {child} is being made from volume {volume.id}: wait for it.")
    if not volume.host and find_live(tx, f"volume/{volume.id}") is None:
        operations.forget(tx, volume.id, [])  # no host was ever found for it: there is nothing to wait for
        return
    for snapshot in kept:
        snapshot.status = model.DELETING
    _set(volume, model.DELETING)
    _begin(
        tx,
        ctx,
        "delete",
        volume,
        operations.DeleteVolume(volume_id=volume.id, snapshot_ids=[snapshot.id for snapshot in kept]),
        supersede=True,
    )
    events.emit(tx, "block_storage.volume.updated", volume.id, ctx=ctx)


def extend_volume(tx: Tx, ctx: Context, volume: Volume, size_gib: int) -> None:
    """Begin to grow a volume; one in use grows under its server from version 3.42 on."""
    allowed = {model.AVAILABLE, model.IN_USE} if ctx.version >= (3, 42) else {model.AVAILABLE}
    if volume.status not in allowed:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} is {volume.status}; to be extended it must be "
            f"{' or '.join(sorted(allowed))}."
        )
    if size_gib <= volume.size:
        raise Invalid(
            f"Invalid input: New size for extend must be greater than current size. (current: {volume.size}, "
            f"extended: {size_gib})."
        )
    quotas.claim_growth(tx, volume, types.type_names(tx)[volume.volume_type_id], size_gib)
    before = volume.status
    volume.quota_gib = size_gib
    _set(volume, model.EXTENDING)
    grow = operations.ExtendVolume(volume_id=volume.id, size_gib=size_gib, before=before)
    _begin(tx, ctx, "extend", volume, grow)


def revert_volume(tx: Tx, ctx: Context, volume: Volume, snapshot: Snapshot) -> None:
    """Begin to put a volume back to its newest snapshot."""
    if snapshot.volume_id != volume.id:
        raise Invalid(f"Invalid snapshot: snapshot {snapshot.id} is not of volume {volume.id}.")
    if snapshots.snapshots_of(tx, volume.id)[0].id != snapshot.id:
        raise Invalid(f"Invalid snapshot: snapshot {snapshot.id} is not the newest of volume {volume.id}.")
    if volume.status != model.AVAILABLE or snapshot.status != model.AVAILABLE:
        raise Conflict(
            f"Volume {volume.id} is {volume.status} and its snapshot {snapshot.status}: both must be available."
        )
    if volume.size != snapshot.size:
        raise Invalid(f"Invalid volume: volume {volume.id} has {volume.size}GB, the snapshot {snapshot.size}GB.")
    _set(volume, model.REVERTING)
    snapshot.status = "restoring"
    _begin(tx, ctx, "revert", volume, operations.RevertVolume(volume_id=volume.id, snapshot_id=snapshot.id))


def retype_volume(tx: Tx, ctx: Context, volume: Volume, volume_type: VolumeType) -> None:
    """Give a volume another type that its present pool satisfies; its data stays where it is."""
    if volume.status not in (model.AVAILABLE, model.IN_USE):
        raise Invalid(
            f"Invalid volume: volume {volume.id} is {volume.status}; to be retyped it must be available or in-use."
        )
    if volume.volume_type_id == volume_type.id:
        raise Invalid(f"Invalid volume type: volume {volume.id} has the type {volume_type.name} already.")
    if (why := scheduling.unfit(tx, volume.host, volume_type)) is not None:
        raise Invalid(f"Retype requires migration but is not allowed: {why}")
    if volume.status == model.IN_USE and _shares(volume_type) != volume.multiattach:
        raise Invalid(f"Invalid volume: volume {volume.id} is in-use; multiattach changes only while it is available.")
    quotas.claim_retype(tx, volume, volume_type)
    volume.volume_type_id, volume.multiattach = volume_type.id, _shares(volume_type)
    volume.updated_at = clock.now()
    events.emit(tx, "block_storage.volume.updated", volume.id, ctx=ctx)


def unset_image_property(volume: Volume, key: str) -> None:
    """Remove one property the volume inherited from its image."""
    properties = dict(volume.image_properties or {})
    if key not in properties:
        raise NotFound(f"Metadata does not exist: volume {volume.id} has no image property '{key}'.")
    del properties[key]
    volume.image_properties = properties
    volume.updated_at = clock.now()


def reset_status(tx: Tx, ctx: Context, volume: Volume, status: str) -> None:
    """Put a volume into a state by an administrator's word."""
    if status not in model.VOLUME_STATES:
        raise Invalid(
            f"Invalid input: '{status}' is not a volume status; known: {', '.join(sorted(model.VOLUME_STATES))}."
        )
    _set(volume, status)
    events.emit(tx, "block_storage.volume.updated", volume.id, ctx=ctx)


def _set(volume: Volume, status: str) -> None:
    volume.previous_status, volume.status = volume.status, status
    volume.updated_at = clock.now()


def _begin(tx: Tx, ctx: Context, verb: str, volume: Volume, input: msgspec.Struct, *, supersede: bool = False) -> None:
    tx.flush()
    begin(tx, ctx, f"volume.{verb}", f"volume/{volume.id}", input, supersede=supersede)
