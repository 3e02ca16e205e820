"""What clients receive of volumes, snapshots and attachments.  One rule: a view is made from rows alone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, UnsetType, field

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.policy import ADMIN, ADMIN_OR_READER, Rule
from pileus.kernel.rest import Response, View, json_response, since
from pileus.kernel.rest.schema import trim
from pileus.services.block_storage.model import ATTACHED, Attachment, Snapshot, Volume


class Link(View):
    rel: str
    href: str


def links(ctx: Context, plural: str, id: str) -> list[Link]:
    """Return the links that volumes, transfers and their like carry."""
    base = f"{ctx.base_url}/volume"
    return [
        Link(rel="self", href=f"{base}/v3/{plural}/{id}"),
        Link(rel="bookmark", href=f"{base}/{plural}/{id}"),
    ]


def with_count(content: dict[str, Any], count: int, ctx: Context) -> Response:
    """Return a page that also says how many entries there are in all (3.45 and later)."""
    for items in content.values():
        trim(items, ctx.version)
    return json_response({**content, "count": count})


def moment(value: datetime | None) -> str | None:
    """Return ``2026-01-31T09:30:00.000000``, as this API writes every time."""
    return clock.iso_micro(value) if value is not None else None


class VolumeAttachmentView(View):
    """One entry of a volume's ``attachments``; its ``id`` is the volume's, as upstream has it."""

    id: str
    attachment_id: str
    volume_id: str
    server_id: str | None
    host_name: str | None
    device: str | None
    attached_at: str | None


class VolumeSummary(View):
    """A volume in the short list."""

    id: str
    name: str | None
    links: list[Link]


class VolumeView(View):
    """A volume; the fields after ``source_volid`` are for administrators, for some versions or sometimes absent."""

    id: str
    name: str | None
    description: str | None
    status: str
    size: int
    availability_zone: str
    volume_type: str | None
    bootable: str
    encrypted: bool
    multiattach: bool
    metadata: dict[str, str]
    attachments: list[VolumeAttachmentView]
    links: list[Link]
    user_id: str
    created_at: str
    updated_at: str | None
    replication_status: str | None
    consistencygroup_id: str | None
    snapshot_id: str | None
    source_volid: str | None
    tenant_id: str | UnsetType = field(name="os-vol-tenant-attr:tenant_id", default=UNSET)
    host: str | UnsetType | None = field(name="os-vol-host-attr:host", default=UNSET)
    migration_label: str | UnsetType | None = field(name="os-vol-mig-status-attr:migstat", default=UNSET)
    name_id: str | UnsetType | None = field(name="os-vol-mig-status-attr:name_id", default=UNSET)
    migration_status: str | UnsetType | None = UNSET
    volume_image_metadata: dict[str, str] | UnsetType = UNSET
    group_id: Annotated[str | UnsetType | None, since("3.13")] = None
    provider_id: Annotated[str | UnsetType | None, since("3.21")] = UNSET
    service_uuid: Annotated[str | UnsetType | None, since("3.48")] = None
    shared_targets: Annotated[bool | UnsetType | None, since("3.48")] = False
    cluster_name: Annotated[str | UnsetType | None, since("3.61")] = UNSET
    volume_type_id: Annotated[str | UnsetType | None, since("3.63")] = None
    consumes_quota: Annotated[bool | UnsetType, since("3.65")] = True


SEE_PROJECT = Rule("volume_extension:volume_tenant_attribute", ADMIN_OR_READER, "See whose a volume is.")
SEE_HOST = Rule("volume_extension:volume_host_attribute", ADMIN, "See which host and pool keeps a volume.")
SEE_MIGRATION = Rule("volume_extension:volume_mig_status_attribute", ADMIN, "See whether a volume is being moved.")


def volume_summary(ctx: Context, volume: Volume) -> VolumeSummary:
    """Return a volume for the short list."""
    return VolumeSummary(id=volume.id, name=volume.name, links=links(ctx, "volumes", volume.id))


def volume_view(
    ctx: Context,
    volume: Volume,
    type_names: Mapping[str, str],
    attachments: Sequence[Attachment] = (),
    *,
    full: bool = True,
) -> VolumeView:
    """Return a volume; without ``full`` (create, update) what only administrators see stays away."""
    properties = dict(volume.properties)
    if volume.read_only is not None:
        properties["readonly"] = str(volume.read_only)
    view = VolumeView(
        id=volume.id,
        name=volume.name,
        description=volume.description,
        status=volume.status,
        size=volume.size,
        availability_zone=volume.availability_zone,
        volume_type=type_names.get(volume.volume_type_id),
        bootable=str(volume.bootable).lower(),
        encrypted=False,
        multiattach=volume.multiattach,
        metadata=properties,
        attachments=[_entry(ctx, attachment) for attachment in attachments if attachment.status == ATTACHED],
        links=links(ctx, "volumes", volume.id),
        user_id=volume.user_id,
        created_at=clock.iso_micro(volume.created_at),
        updated_at=moment(volume.updated_at),
        replication_status=None,
        consistencygroup_id=None,
        snapshot_id=volume.snapshot_id,
        source_volid=volume.source_volid,
        group_id=volume.group_id,
        volume_type_id=volume.volume_type_id,
    )
    if volume.image_properties is not None and full:
        view.volume_image_metadata = volume.image_properties
    if full:
        _show_extended(ctx, volume, view)
    elif ctx.is_admin:
        view.migration_status = None
    return view


def _show_extended(ctx: Context, volume: Volume, view: VolumeView) -> None:
    if ctx.allows(SEE_PROJECT, volume):
        view.tenant_id = volume.project_id
    if ctx.allows(SEE_HOST, volume):
        view.host = volume.host
    if ctx.allows(SEE_MIGRATION, volume):
        view.migration_label, view.name_id = None, None
    if ctx.is_admin:
        view.migration_status, view.provider_id, view.cluster_name = None, None, None


def _entry(ctx: Context, attachment: Attachment) -> VolumeAttachmentView:
    return VolumeAttachmentView(
        id=attachment.volume_id,
        attachment_id=attachment.id,
        volume_id=attachment.volume_id,
        server_id=attachment.server_id,
        host_name=attachment.host_name if ctx.is_admin else None,
        device=attachment.device,
        attached_at=moment(attachment.attached_at),
    )


class SnapshotView(View):
    """A snapshot; the two extended attributes are absent from the short list, create and update."""

    id: str
    name: str | None
    description: str | None
    volume_id: str
    status: str
    size: int
    metadata: dict[str, str]
    created_at: str
    updated_at: str | None
    progress: str | UnsetType = field(name="os-extended-snapshot-attributes:progress", default=UNSET)
    project_id: str | UnsetType = field(name="os-extended-snapshot-attributes:project_id", default=UNSET)
    group_snapshot_id: Annotated[str | UnsetType | None, since("3.14")] = None
    user_id: Annotated[str | UnsetType, since("3.41")] = UNSET
    consumes_quota: Annotated[bool | UnsetType, since("3.65")] = True


def snapshot_view(snapshot: Snapshot, *, full: bool = True) -> SnapshotView:
    """Return a snapshot."""
    view = SnapshotView(
        id=snapshot.id,
        name=snapshot.name,
        description=snapshot.description,
        volume_id=snapshot.volume_id,
        status=snapshot.status,
        size=snapshot.size,
        metadata=snapshot.properties,
        created_at=clock.iso_micro(snapshot.created_at),
        updated_at=moment(snapshot.updated_at),
        user_id=snapshot.user_id,
    )
    if full:
        view.progress, view.project_id = snapshot.progress, snapshot.project_id
    return view


class AttachmentSummary(View):
    """An attachment in the short list."""

    id: str
    status: str
    instance: str | None
    volume_id: str


class AttachmentView(AttachmentSummary):
    """An attachment with what its host needs to reach the volume."""

    attached_at: str
    detached_at: str
    attach_mode: str | None
    connection_info: dict[str, Any]


def attachment_summary(attachment: Attachment) -> AttachmentSummary:
    """Return an attachment for the short list."""
    return AttachmentSummary(
        id=attachment.id, status=attachment.status, instance=attachment.server_id, volume_id=attachment.volume_id
    )


def attachment_view(attachment: Attachment) -> AttachmentView:
    """Return an attachment; times that have not come are empty, as upstream has them."""
    return AttachmentView(
        id=attachment.id,
        status=attachment.status,
        instance=attachment.server_id,
        volume_id=attachment.volume_id,
        attached_at=moment(attachment.attached_at) or "",
        detached_at="",
        attach_mode=attachment.mode,
        connection_info=attachment.connection_info or {},
    )
