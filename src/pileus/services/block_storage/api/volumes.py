"""The volumes resource."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, OpenBody, Page, Query, Request, Response, at_most, changes, link_page, since
from pileus.kernel.rest.references import SomeHost, SomeUser
from pileus.services.block_storage.api import views
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import (
    ListQuery,
    boolean,
    counted,
    mapping,
    moments,
    project_of,
    refuse_unknown,
    window,
)
from pileus.services.block_storage.api.references import (
    SomeBackup,
    SomeGroup,
    SomeImage,
    SomeSnapshot,
    SomeType,
    SomeVolume,
)
from pileus.services.block_storage.app import volumes as app
from pileus.services.block_storage.model import Volume
from pileus.services.block_storage.store import types, volumes

CREATE = Rule("volume:create", policy.ADMIN_OR_MEMBER)
SHOW = Rule("volume:get", policy.ADMIN_OR_READER)
LIST = Rule("volume:get_all", policy.ADMIN_OR_READER)
UPDATE = Rule("volume:update", policy.ADMIN_OR_MEMBER)
DELETE = Rule("volume:delete", policy.ADMIN_OR_MEMBER)
FORCE_DELETE = Rule("volume:force_delete", policy.ADMIN)

Name = Annotated[str, msgspec.Meta(max_length=255)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Metadata = Annotated[dict[Key, Annotated[str, msgspec.Meta(max_length=255)]], at_most(256)]
LARGEST_GIB = 0x7FFFFFFF


class VolumeListQuery(ListQuery):
    name: str | None = None
    display_name: str | None = None
    name_like: str | None = field(name="name~", default=None)
    status: str | None = None
    metadata: str | None = None
    glance_metadata: str | None = None
    bootable: str | None = None
    availability_zone: str | None = None
    size: int | None = None
    volume_type_id: SomeType | None = None
    group_id: SomeGroup | None = None
    user_id: SomeUser | None = None
    host: SomeHost | None = None
    created_at: str | None = None
    updated_at: str | None = None


FILTERS = frozenset(
    {"name", "name~", "display_name", "status", "metadata", "glance_metadata", "bootable", "migration_status",
     "availability_zone", "group_id", "size", "volume_type_id", "project_id", "created_at", "updated_at",
     "consumes_quota"}
)  # fmt: skip


class VolumeCreate(OpenBody):
    """What a client wants; unknown members are ignored before 3.53, as upstream does."""

    size: int | str | None = None
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    display_description: Name | None = None
    volume_type: SomeType | None = None
    availability_zone: Name | None = None
    metadata: Metadata | None = None
    multiattach: bool | str | None = None
    snapshot_id: SomeSnapshot | None = None
    source_volid: SomeVolume | None = None
    imageRef: SomeImage | None = None
    image_id: SomeImage | None = None
    backup_id: Annotated[SomeBackup | None, since("3.47")] = None
    group_id: Annotated[SomeGroup | None, since("3.13")] = None
    consistencygroup_id: SomeGroup | None = None


class ExactVolumeCreate(VolumeCreate, forbid_unknown_fields=True):
    """What a client wants from 3.53 on."""


class VolumeUpdate(Body):
    name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    display_name: Name | UnsetType | None = UNSET
    display_description: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteQuery(Query):
    cascade: str | None = None
    force: str | None = None


def read_size(size: int | str | None, name: str = "size") -> int | None:
    """Return GiB; text that is a number is accepted, as upstream does; raises Invalid."""
    if size is None:
        return None
    try:
        number = int(size)
    except ValueError:
        raise Invalid(f"Invalid input for field '{name}': '{size}' is not an integer.") from None
    if not 0 < number <= LARGEST_GIB:
        raise Invalid(f"Invalid input for field '{name}': {number} must be an integer greater than 0, in GiB.")
    return number


@api.get("/volumes", LIST, wrap="volumes")
def list_summaries(tx: Tx, ctx: Context, query: VolumeListQuery, request: Request) -> Page | Response:
    rows, marker = _list(tx, ctx, query, request)
    return _page(tx, ctx, query, request, [views.volume_summary(ctx, row) for row in rows], marker)


@api.get("/volumes/detail", LIST, wrap="volumes")
def list_details(tx: Tx, ctx: Context, query: VolumeListQuery, request: Request) -> Page | Response:
    rows, marker = _list(tx, ctx, query, request)
    names, held = types.type_names(tx), volumes.attachments_of(tx, [row.id for row in rows])
    items = [views.volume_view(ctx, row, names, held.get(row.id, ())) for row in rows]
    return _page(tx, ctx, query, request, items, marker)


def _filter(ctx: Context, query: VolumeListQuery) -> volumes.VolumeFilter:
    return volumes.VolumeFilter(
        project_id=project_of(ctx, query),
        user_id=query.user_id,
        name=query.name if query.name is not None else query.display_name,
        name_like=query.name_like if ctx.version >= (3, 31) else None,
        status=query.status,
        availability_zone=query.availability_zone,
        bootable=boolean(query.bootable, "bootable", default=None),
        size=query.size,
        volume_type_id=query.volume_type_id,
        group_id=query.group_id,
        host=query.host if ctx.is_admin else None,
        metadata=mapping(query.metadata, "metadata"),
        image_metadata=mapping(query.glance_metadata, "glance_metadata"),
        created_at=moments(ctx, query.created_at, "created_at"),
        updated_at=moments(ctx, query.updated_at, "updated_at"),
    )


def _list(tx: Tx, ctx: Context, query: VolumeListQuery, request: Request) -> tuple[list[Volume], str | None]:
    refuse_unknown(ctx, request, FILTERS)
    return volumes.list_volumes(tx, _filter(ctx, query), window(query, volumes.SORT_KEYS))


def _page(
    tx: Tx, ctx: Context, query: VolumeListQuery, request: Request, items: list[Any], marker: str | None
) -> Page | Response:
    if not counted(ctx, query):
        return Page(items, marker)
    count = volumes.count_volumes(tx, _filter(ctx, query))
    return views.with_count(link_page("volumes", items, marker, request, ctx), count, ctx)


@api.get("/volumes/summary", LIST, wrap="volume-summary", since="3.12")
def summary(tx: Tx, ctx: Context, query: ListQuery) -> dict[str, Any]:
    project = project_of(ctx, query)
    count, size = volumes.summarize(tx, project)
    found: dict[str, Any] = {"total_count": count, "total_size": size}
    if ctx.version >= (3, 36):
        found["metadata"] = volumes.distinct_metadata(tx, project)
    return found


@api.get("/volumes/{volume}", SHOW, wrap="volume")
def show(tx: Tx, ctx: Context, volume: Volume) -> views.VolumeView:
    held = volumes.attachments_of(tx, [volume.id])
    return views.volume_view(ctx, volume, types.type_names(tx), held.get(volume.id, ()))


@api.post("/volumes", CREATE, wrap="volume", status=202, since="3.53")
def create_exactly(tx: Tx, ctx: Context, body: ExactVolumeCreate) -> views.VolumeView:
    return create(tx, ctx, body)


@api.post("/volumes", CREATE, wrap="volume", status=202, until="3.52")
def create(tx: Tx, ctx: Context, body: VolumeCreate) -> views.VolumeView:
    if body.group_id or body.consistencygroup_id:
        raise Invalid("This cloud has no volume groups yet: leave 'group_id' and 'consistencygroup_id' out.")
    wanted = app.NewVolume(
        size_gib=read_size(body.size),
        name=body.name if body.name is not None else body.display_name,
        description=body.description if body.description is not None else body.display_description,
        volume_type=body.volume_type,
        availability_zone=body.availability_zone,
        metadata=body.metadata or {},
        multiattach=boolean(body.multiattach, "multiattach", default=False),
        snapshot_id=body.snapshot_id,
        source_volid=body.source_volid,
        image_id=body.imageRef or body.image_id,
        backup_id=body.backup_id,
    )
    volume = app.create_volume(tx, ctx, wanted)
    return views.volume_view(ctx, volume, types.type_names(tx), full=False)


@api.put("/volumes/{volume}", UPDATE, wrap="volume")
def update(tx: Tx, ctx: Context, volume: Volume, body: VolumeUpdate) -> views.VolumeView:
    given = changes(body)
    if not given:
        raise Invalid("Missing required element 'volume' in request body: give a name, a description or metadata.")
    columns = {"display_name": "name", "display_description": "description", "metadata": "properties"}
    app.update_volume(tx, ctx, volume, {columns.get(name, name): value for name, value in given.items()})
    held = volumes.attachments_of(tx, [volume.id])
    return views.volume_view(ctx, volume, types.type_names(tx), held.get(volume.id, ()), full=False)


@api.delete("/volumes/{volume}", DELETE, status=202)
def delete(tx: Tx, ctx: Context, volume: Volume, query: DeleteQuery) -> None:
    force = ctx.version >= (3, 23) and boolean(query.force, "force", default=False)
    if force:
        ctx.require(FORCE_DELETE, volume)
    cascade = boolean(query.cascade, "cascade", default=False)
    app.delete_volume(tx, ctx, volume, cascade=cascade, force=force)
