"""What can be done to a volume with ``POST /volumes/{id}/action``."""

from typing import Annotated, Any

import msgspec

from pileus.kernel import clock, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Id, OpenBody
from pileus.kernel.rest.references import Refers, SomeHost, SomeServer, referred
from pileus.kernel.runtime import Runtime
from pileus.services.block_storage import model
from pileus.services.block_storage.api import views
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import boolean
from pileus.services.block_storage.api.references import SomeAttachment, VolumeTypeName
from pileus.services.block_storage.api.types import type_view
from pileus.services.block_storage.api.volumes import Metadata, Name, read_size
from pileus.services.block_storage.app import attachments, uploads
from pileus.services.block_storage.app import volumes as app
from pileus.services.block_storage.model import Volume
from pileus.services.block_storage.store import types

PATH = "/volumes/{volume}/action"


def member(name: str) -> Rule:
    return Rule(f"volume_extension:volume_actions:{name}", policy.ADMIN_OR_MEMBER)


UPDATE = Rule("volume:update", policy.ADMIN_OR_MEMBER)
UPDATE_READONLY = Rule("volume:update_readonly_flag", policy.ADMIN_OR_MEMBER)
EXTEND = Rule("volume:extend", policy.ADMIN_OR_MEMBER)
EXTEND_ATTACHED = Rule("volume:extend_attached_volume", policy.ADMIN_OR_MEMBER)
REVERT = Rule("volume:revert_to_snapshot", policy.ADMIN_OR_MEMBER)
RESET = Rule("volume_extension:volume_admin_actions:reset_status", policy.ADMIN)
FORCE_DELETE = Rule("volume_extension:volume_admin_actions:force_delete", policy.ADMIN)
FORCE_DETACH = Rule("volume_extension:volume_admin_actions:force_detach", policy.ADMIN)
IMAGE_METADATA = Rule("volume_extension:volume_image_metadata:set", policy.ADMIN_OR_MEMBER)
IMAGE_METADATA_REMOVE = Rule("volume_extension:volume_image_metadata:remove", policy.ADMIN_OR_MEMBER)
IMAGE_METADATA_SHOW = Rule("volume_extension:volume_image_metadata:show", policy.ADMIN_OR_READER)
UPLOAD_PUBLIC = Rule("volume_extension:volume_actions:upload_public", policy.ADMIN)
RETYPE = Rule("volume:retype", policy.ADMIN_OR_MEMBER)


class Extend(OpenBody):
    new_size: int | str


@api.action(PATH, "os-extend", EXTEND, status=202)
def extend(tx: Tx, ctx: Context, volume: Volume, body: Extend) -> None:
    if volume.status == model.IN_USE:
        ctx.require(EXTEND_ATTACHED, volume)
    size = read_size(body.new_size, "new_size")
    assert size is not None
    app.extend_volume(tx, ctx, volume, size)


class Bootable(OpenBody):
    bootable: bool | str


@api.action(PATH, "os-set_bootable", UPDATE, status=200)
def set_bootable(volume: Volume, body: Bootable) -> None:
    volume.bootable = boolean(body.bootable, "bootable", default=False)
    volume.updated_at = clock.now()


class Readonly(OpenBody):
    readonly: bool | str


@api.action(PATH, "os-update_readonly_flag", UPDATE_READONLY, status=202)
def update_readonly_flag(volume: Volume, body: Readonly) -> None:
    if volume.status != model.AVAILABLE:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} status must be available to update readonly flag, but current status "
            f"is: {volume.status}."
        )
    volume.read_only = boolean(body.readonly, "readonly", default=False)
    volume.updated_at = clock.now()


class ResetStatus(OpenBody):
    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


@api.action(PATH, "os-reset_status", RESET, status=202)
def reset_status(tx: Tx, ctx: Context, volume: Volume, body: ResetStatus) -> None:
    if body.status is None and body.attach_status is None and body.migration_status is None:
        raise Invalid("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    if body.attach_status not in (None, model.ATTACHED, model.DETACHED):
        raise Invalid(f"Invalid input: attach_status must be 'attached' or 'detached', not '{body.attach_status}'.")
    if body.attach_status == model.DETACHED:
        attachments.forget_all(tx, volume)
    if body.status is not None:
        app.reset_status(tx, ctx, volume, body.status.lower())


@api.action(PATH, "os-force_delete", FORCE_DELETE, status=202)
def force_delete(tx: Tx, ctx: Context, volume: Volume) -> None:
    app.delete_volume(tx, ctx, volume, cascade=False, force=True)


class Revert(OpenBody):
    snapshot_id: Annotated[Id, Refers("snapshot")]


@api.action(PATH, "revert", REVERT, status=202, since="3.40")
def revert(tx: Tx, ctx: Context, volume: Volume, body: Revert) -> None:
    app.revert_volume(tx, ctx, volume, referred(tx, "snapshot", body.snapshot_id))


class Retype(OpenBody):
    new_type: VolumeTypeName
    migration_policy: str | None = None


@api.action(PATH, "os-retype", RETYPE, status=202)
def retype(tx: Tx, ctx: Context, volume: Volume, body: Retype) -> None:
    app.retype_volume(tx, ctx, volume, referred(tx, "volume_type", body.new_type))


@api.action(PATH, "os-reserve", member("reserve"), status=202)
def reserve(volume: Volume) -> None:
    attachments.move(volume, frozenset({model.AVAILABLE}), model.ATTACHING, "reserve")


@api.action(PATH, "os-unreserve", member("unreserve"), status=202)
def unreserve(tx: Tx, volume: Volume) -> None:
    attachments.refuse_if_held(tx, volume)
    if volume.status == model.ATTACHING:
        attachments.move(volume, frozenset({model.ATTACHING}), model.AVAILABLE, "unreserve")


@api.action(PATH, "os-begin_detaching", member("begin_detaching"), status=202)
def begin_detaching(volume: Volume) -> None:
    attachments.move(volume, frozenset({model.IN_USE}), model.DETACHING, "detach")


@api.action(PATH, "os-roll_detaching", member("roll_detaching"), status=202)
def roll_detaching(volume: Volume) -> None:
    if volume.status == model.DETACHING:
        attachments.move(volume, frozenset({model.DETACHING}), model.IN_USE, "keep")


class Attach(OpenBody):
    mountpoint: str
    instance_uuid: SomeServer | None = None
    host_name: SomeHost | None = None
    mode: str | None = None


@api.action(PATH, "os-attach", member("attach"), status=202)
def attach(tx: Tx, volume: Volume, body: Attach) -> None:
    if bool(body.instance_uuid) == bool(body.host_name):
        raise Invalid(
            "Invalid request to attach volume to an invalid target: give instance_uuid or host_name, not both."
        )
    attachments.attach(
        tx,
        volume,
        server_id=body.instance_uuid,
        host_name=body.host_name,
        device=body.mountpoint,
        mode=body.mode,
    )


class Detach(OpenBody):
    attachment_id: SomeAttachment | None = None


@api.action(PATH, "os-detach", member("detach"), status=202)
def detach(tx: Tx, volume: Volume, body: Detach) -> None:
    attachments.detach(tx, volume, body.attachment_id)


@api.action(PATH, "os-force_detach", FORCE_DETACH, status=202)
def force_detach(tx: Tx, volume: Volume, body: Detach) -> None:
    attachments.detach(tx, volume, body.attachment_id, force=True)


class SetImageMetadata(OpenBody):
    metadata: Metadata


@api.action(PATH, "os-set_image_metadata", IMAGE_METADATA, status=200, wrap="metadata")
def set_image_metadata(volume: Volume, body: SetImageMetadata) -> dict[str, str]:
    properties = volume.image_properties = {**(volume.image_properties or {}), **body.metadata}
    volume.updated_at = clock.now()
    return properties


class UnsetImageMetadata(OpenBody):
    key: str


@api.action(PATH, "os-unset_image_metadata", IMAGE_METADATA_REMOVE, status=200)
def unset_image_metadata(volume: Volume, body: UnsetImageMetadata) -> None:
    app.unset_image_property(volume, body.key)


@api.action(PATH, "os-show_image_metadata", IMAGE_METADATA_SHOW, status=200, wrap="metadata")
def show_image_metadata(volume: Volume) -> dict[str, str]:
    return volume.image_properties or {}


class UploadImage(OpenBody):
    image_name: Name
    force: bool | str = False
    container_format: str = "bare"
    disk_format: str = "raw"
    visibility: str | None = None
    protected: bool | str = False


@api.action(PATH, "os-volume_upload_image", member("upload_image"), status=202, wrap="os-volume_upload_image")
def upload_image(tx: Tx, ctx: Context, runtime: Runtime, volume: Volume, body: UploadImage) -> dict[str, Any]:
    if body.visibility == "public":
        ctx.require(UPLOAD_PUBLIC, volume)
    wanted = uploads.NewImage(
        name=body.image_name,
        disk_format=body.disk_format,
        container_format=body.container_format,
        visibility=body.visibility or "shared",
        protected=boolean(body.protected, "protected", default=False),
        force=boolean(body.force, "force", default=False),
    )
    image_id = uploads.upload_volume(tx, ctx, runtime, volume, wanted)
    return {
        "id": volume.id,
        "updated_at": views.moment(volume.updated_at),
        "status": volume.status,
        "display_description": volume.description,
        "size": volume.size,
        "volume_type": msgspec.to_builtins(type_view(ctx, types.type_of(tx, volume))),
        "image_id": image_id,
        "container_format": wanted.container_format,
        "disk_format": wanted.disk_format,
        "image_name": wanted.name,
        **({"visibility": wanted.visibility, "protected": wanted.protected} if ctx.version >= (3, 1) else {}),
    }
