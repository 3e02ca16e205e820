"""Creating, describing and removing images: attributes, properties, tags, limits.

The one rule: what a client may not set is refused by name (403), never silently dropped.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from pileus.kernel import clock, events, ids, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, TooLarge
from pileus.kernel.quota import Limit
from pileus.services.image import store
from pileus.services.image.app import visibility as rules
from pileus.services.image.model import (
    HASH_ALGORITHM,
    MAX_PROPERTIES,
    MAX_TAGS,
    QUEUED,
    STORE,
    ImageRow,
    ImageSettings,
    data_of,
    staging_of,
)
from pileus.services.object_store import public as objects

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

READ_ONLY = frozenset(
    {"created_at", "updated_at", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value"}
    | {"direct_url", "self", "file", "schema", "stores", "locations"}
)
RESERVED = frozenset({"deleted", "deleted_at", "is_public", "location", "properties"})
SERVICE_PREFIX = "os_glance"
"""Properties of this prefix are the service's own: shown, never set by clients."""
NULLABLE = frozenset({"kernel_id", "ramdisk_id"})
Text = Annotated[str, msgspec.Meta(max_length=255)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
ContainerFormat = Literal["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
DiskFormat = Literal["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "gpt"]
Visibility = Literal["public", "private", "shared", "community"]


class Attributes(msgspec.Struct, kw_only=True):
    """What a client may set on any image; validates whole images before and after a patch."""

    name: Text | None = None
    visibility: Visibility = "shared"
    protected: bool = False
    os_hidden: bool = False
    tags: list[Tag] = []
    container_format: ContainerFormat | None = None
    disk_format: DiskFormat | None = None
    min_disk: Count = 0
    min_ram: Count = 0
    owner: Text | None = None


SETTABLE = tuple(field.name for field in msgspec.structs.fields(Attributes))


def create_image(tx: Tx, ctx: Context, asked: Mapping[str, Any], settings: ImageSettings) -> ImageRow:
    """Make a queued image from what a client sent.  Raises Invalid, Forbidden, Conflict, TooLarge, OverQuota."""
    id = asked.get("id") or ids.new_id()
    if not ids.is_uuid(id):
        raise Invalid(f"The image id '{id}' is not a UUID.")
    base = read_attributes({name: value for name, value in asked.items() if name in SETTABLE})
    properties = read_properties({name: value for name, value in asked.items() if name not in (*SETTABLE, "id")})
    owner = base.owner if "owner" in asked else ctx.project_id or None
    target = {"project_id": ctx.project_id, "owner": owner}
    if owner != ctx.project_id and not ctx.allows(rules.ADD, target):
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    ctx.require(rules.ADD, target)
    if not owner:
        raise Invalid("An image needs an owner: leave 'owner' out, or name a project.")
    check_visibility(ctx, base.visibility, {"project_id": owner})
    if store.get_image(tx, id) is not None:
        raise Conflict(f"Image ID {id} already exists!")
    quota.claim(tx, owner, limits(settings), {"image_count_total": 1})
    now = clock.now()
    row = ImageRow(
        id=id,
        project_id=owner,
        status=QUEUED,
        created_at=now,
        updated_at=now,
        **{name: getattr(base, name) for name in SETTABLE if name not in ("owner", "tags")},
    )
    store.insert_image(tx, row, properties, base.tags)
    events.emit(tx, "image.image.created", id, ctx=ctx, project_id=owner, name=row.name)
    return row


def read_attributes(values: Mapping[str, Any]) -> Attributes:
    """Check attributes.  Raises Invalid, naming the field, and TooLarge for too many tags."""
    try:
        base = msgspec.convert(dict(values), Attributes)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "'").replace("`", "'")
        raise Invalid(f"Provided object does not match schema 'image': {text}") from error
    if len(set(base.tags)) > MAX_TAGS:
        raise TooLarge(f"An image has at most {MAX_TAGS} tags; this would be {len(set(base.tags))}.")
    return base


def read_properties(values: Mapping[str, Any]) -> dict[str, str]:
    """Check properties.  Raises Forbidden for those that are not the client's, Invalid, and TooLarge for too many."""
    properties: dict[str, str] = {}
    for name, value in values.items():
        check_settable(name)
        if value is None and name in NULLABLE:
            continue
        if not isinstance(value, str):
            raise Invalid(f"Provided object does not match schema 'image': property '{name}' must be a string.")
        if not name or len(name) > 255 or len(value) > 65535:
            raise Invalid(f"Property '{name[:80]}': a name has 1 to 255 characters and a value at most 65535.")
        if name in NULLABLE and not ids.is_uuid(value):
            raise Invalid(f"Provided object does not match schema 'image': '{name}' must be the id of an image.")
        properties[name] = value
    if len(properties) > MAX_PROPERTIES:
        raise TooLarge(f"An image has at most {MAX_PROPERTIES} properties; this would be {len(properties)}.")
    return properties


def check_settable(name: str) -> None:
    """Raise Forbidden for an attribute that clients do not set."""
    if name in READ_ONLY or name == "id":
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(SERVICE_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_visibility(ctx: Context, visibility: str, target: object) -> None:
    """Raise Forbidden unless the caller may give an image this visibility."""
    if visibility == "public":
        ctx.require(rules.PUBLICIZE, target)
    if visibility == "community":
        ctx.require(rules.COMMUNITIZE, target)


def describe(row: ImageRow, extras: store.Extras) -> dict[str, Any]:
    """Return an image as the API shows it."""
    has_data = row.os_hash_value is not None
    view: dict[str, Any] = {
        **extras.properties,
        "id": row.id,
        "name": row.name,
        "status": row.status,
        "visibility": row.visibility,
        "owner": row.project_id,
        "protected": row.protected,
        "os_hidden": row.os_hidden,
        "container_format": row.container_format,
        "disk_format": row.disk_format,
        "min_disk": row.min_disk,
        "min_ram": row.min_ram,
        "size": row.size,
        "virtual_size": row.virtual_size,
        "checksum": row.checksum,
        "os_hash_algo": HASH_ALGORITHM if has_data else None,
        "os_hash_value": row.os_hash_value,
        "tags": extras.tags,
        "created_at": clock.iso(row.created_at),
        "updated_at": clock.iso(row.updated_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }
    if has_data:
        view["stores"] = STORE
    return view


def describe_one(tx: Tx, row: ImageRow) -> dict[str, Any]:
    """Return one image as the API shows it."""
    return describe(row, store.extras_of(tx, [row.id])[row.id])


def delete_image(tx: Tx, ctx: Context, runtime: "Runtime", row: ImageRow) -> None:
    """Remove an image; its bytes go with the same commit.  Raises Forbidden when it is protected."""
    if row.protected:
        raise Forbidden(f"Image {row.id} is protected and cannot be deleted; set protected to false first.")
    objects.delete(tx, runtime, data_of(row.id))
    objects.delete(tx, runtime, staging_of(row.id))
    store.delete_image(tx, row)
    events.emit(tx, "image.image.deleted", row.id, ctx=ctx, project_id=row.project_id)


def limits(settings: ImageSettings) -> dict[str, Limit]:
    """Return the limits of a project, with the operator's defaults."""

    def limit(name: str, used: Any) -> Limit:
        return Limit("image", name, getattr(settings, name), used)

    return {
        "image_count_total": limit("image_count_total", store.count_images),
        "image_size_total": limit("image_size_total", store.size_of_images),
        "image_stage_total": limit("image_stage_total", store.size_of_staged),
        "image_count_uploading": limit("image_count_uploading", store.count_uploading),
    }
