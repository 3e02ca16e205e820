"""Volume types, their extra specs and who may use private ones."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field

from pileus.kernel import clock, ids, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody, Page, Request, View, at_most, changes
from pileus.kernel.rest.references import Refers
from pileus.services.block_storage import model
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import ListQuery, boolean, mapping, refuse_unknown, window
from pileus.services.block_storage.app import types as app
from pileus.services.block_storage.model import VolumeType, VolumeTypeAccess
from pileus.services.block_storage.store import types

ANY_READER = f"{policy.ADMIN} or role:reader"
"""A type belongs to no project; which private ones a caller sees is decided by the loader."""

LIST = Rule("volume_extension:type_get_all", policy.ADMIN_OR_READER)
SHOW = Rule("volume_extension:type_get", ANY_READER)
CREATE = Rule("volume_extension:type_create", policy.ADMIN)
UPDATE = Rule("volume_extension:type_update", policy.ADMIN)
DELETE = Rule("volume_extension:type_delete", policy.ADMIN)
SEE_SPECS = Rule("volume_extension:access_types_extra_specs", policy.ADMIN_OR_READER)
SEE_QOS = Rule("volume_extension:access_types_qos_specs_id", policy.ADMIN)
SEE_SENSITIVE = Rule(
    "volume_extension:types_extra_specs:read_sensitive",
    policy.ADMIN,
    "See the extra specs that say how a host does it.",
)
SPECS_LIST = Rule("volume_extension:types_extra_specs:index", ANY_READER)
SPECS_SHOW = Rule("volume_extension:types_extra_specs:show", ANY_READER)
SPECS_CREATE = Rule("volume_extension:types_extra_specs:create", policy.ADMIN)
SPECS_UPDATE = Rule("volume_extension:types_extra_specs:update", policy.ADMIN)
SPECS_DELETE = Rule("volume_extension:types_extra_specs:delete", policy.ADMIN)
ACCESS_LIST = Rule("volume_extension:volume_type_access:get_all_for_type", policy.ADMIN)
ACCESS_ADD = Rule("volume_extension:volume_type_access:addProjectAccess", policy.ADMIN)
ACCESS_REMOVE = Rule("volume_extension:volume_type_access:removeProjectAccess", policy.ADMIN)

TypeName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=255)]
SpecKey = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_:. ]+$")]
Specs = Annotated[dict[SpecKey, Text], at_most(128)]


class TypeView(View):
    id: str
    name: str
    description: str | None
    is_public: bool
    public_label: bool = field(name="os-volume-type-access:is_public")
    extra_specs: dict[str, str] | UnsetType = UNSET
    qos_specs_id: str | UnsetType | None = UNSET


def type_view(ctx: Context, row: VolumeType, *, fresh: bool = False) -> TypeView:
    """Return a type; users see only the extra specs meant for them, the answer to its creation no QoS specs."""
    view = TypeView(
        id=row.id, name=row.name, description=row.description, is_public=row.is_public, public_label=row.is_public
    )
    if ctx.allows(SEE_SPECS):
        view.extra_specs = visible_specs(ctx, row)
    if ctx.allows(SEE_QOS) and not fresh:
        view.qos_specs_id = row.qos_specs_id
    return view


USER_VISIBLE = frozenset({"multiattach", "RESKEY:availability_zones", "replication_enabled"})


def visible_specs(ctx: Context, row: VolumeType) -> dict[str, str]:
    """Return the extra specs the caller may see: to most only those that say what one can do with a volume."""
    every = ctx.allows(SEE_SENSITIVE)
    return {key: value for key, value in row.extra_specs.items() if every or key in USER_VISIBLE}


class TypeListQuery(ListQuery):
    is_public: str | None = None
    name: str | None = None
    extra_specs: str | None = None


FILTERS = frozenset({"is_public", "name", "extra_specs"})


@api.get("/types", LIST, wrap="volume_types")
def list_all(tx: Tx, ctx: Context, query: TypeListQuery, request: Request) -> Page:
    if ctx.version >= (3, 52):
        refuse_unknown(ctx, request, FILTERS)
    elif query.extra_specs is not None:
        raise Invalid("Types are listed by 'extra_specs' from version 3.52 on.")
    specs = mapping(query.extra_specs, "extra_specs")
    if not ctx.is_admin and not specs.keys() <= USER_VISIBLE:
        return Page([])  # what the caller may not see is not told by a filter either
    public: bool | None = True
    if ctx.is_admin:
        none = query.is_public is None or query.is_public.lower() == "none"
        public = None if none else boolean(query.is_public, "is_public", default=None)
        public = True if query.is_public is None else public
    project = None if ctx.is_admin else ctx.project_id
    wanted = public if ctx.is_admin else None
    part = window(query, types.SORT_KEYS)
    rows, marker = types.list_types(tx, project, part, is_public=wanted, name=query.name, extra_specs=specs)
    return Page([type_view(ctx, row) for row in rows], marker)


@api.get("/types/default", SHOW, wrap="volume_type")
def show_default(tx: Tx, ctx: Context) -> TypeView:
    return type_view(ctx, types.default_type(tx))


@api.get("/types/{volume_type}", SHOW, wrap="volume_type")
def show(ctx: Context, volume_type: VolumeType) -> TypeView:
    return type_view(ctx, volume_type)


class TypeCreate(OpenBody):
    name: TypeName
    description: Text | None = None
    is_public: bool | str = field(name="os-volume-type-access:is_public", default=True)
    extra_specs: Specs | None = None


@api.post("/types", CREATE, wrap="volume_type", status=200)
def create(tx: Tx, ctx: Context, body: TypeCreate) -> TypeView:
    row = VolumeType(
        id=ids.new_id(),
        name=app.free_name(tx, body.name),
        description=body.description,
        is_public=boolean(body.is_public, "os-volume-type-access:is_public", default=True),
        extra_specs=dict(body.extra_specs or {}),
        qos_specs_id=None,
        created_at=clock.now(),
        updated_at=None,
    )
    tx.add(row)
    return type_view(ctx, row, fresh=True)


class TypeUpdate(OpenBody):
    name: TypeName | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    is_public: bool | str | UnsetType = UNSET


@api.put("/types/{volume_type}", UPDATE, wrap="volume_type")
def update(tx: Tx, ctx: Context, volume_type: VolumeType, body: TypeUpdate) -> dict[str, Any]:
    given = changes(body)
    if not given:
        raise Invalid("Specify volume type name, description, is_public or a combination thereof.")
    if "name" in given and given["name"] != volume_type.name:
        if volume_type.name == model.DEFAULT_TYPE:
            raise Invalid(f"Volume type {volume_type.id} is the default volume type and cannot be renamed.")
        volume_type.name = app.free_name(tx, given["name"])
    if "description" in given:
        volume_type.description = given["description"]
    if "is_public" in given:
        volume_type.is_public = boolean(given["is_public"], "is_public", default=True)
    volume_type.updated_at = clock.now()
    view = msgspec.to_builtins(type_view(ctx, volume_type))
    return {name: view[name] for name in ("id", "name", "description", "is_public", "extra_specs") if name in view}


@api.delete("/types/{volume_type}", DELETE, status=202)
def delete(tx: Tx, volume_type: VolumeType) -> None:
    if volume_type.name == model.DEFAULT_TYPE:
        raise Invalid(f"Volume type {volume_type.id} is the default volume type and cannot be deleted.")
    if types.is_used(tx, volume_type.id):
        raise Invalid("Target volume type is still in use: delete or retype its volumes first.")
    types.delete_type(tx, volume_type)


@api.get("/types/{volume_type}/extra_specs", SPECS_LIST, wrap="extra_specs")
def list_specs(ctx: Context, volume_type: VolumeType) -> dict[str, str]:
    return visible_specs(ctx, volume_type)


class SpecsBody(OpenBody):
    extra_specs: Specs


@api.post("/types/{volume_type}/extra_specs", SPECS_CREATE, wrap="extra_specs", status=200, body="")
def add_specs(volume_type: VolumeType, body: SpecsBody) -> Mapping[str, str]:
    volume_type.extra_specs = {**volume_type.extra_specs, **body.extra_specs}
    volume_type.updated_at = clock.now()
    return body.extra_specs


@api.get("/types/{volume_type}/extra_specs/{key}", SPECS_SHOW)
def show_spec(ctx: Context, volume_type: VolumeType, key: str) -> dict[str, str]:
    return {key: app.spec_of(visible_specs(ctx, volume_type), volume_type.id, key)}


@api.put("/types/{volume_type}/extra_specs/{key}", SPECS_UPDATE, body="")
def put_spec(volume_type: VolumeType, key: str, body: Specs) -> dict[str, str]:
    if list(body) != [key]:
        raise Invalid(f"Invalid request body: it must hold the one extra spec '{key}' of the URL.")
    volume_type.extra_specs = {**volume_type.extra_specs, **body}
    volume_type.updated_at = clock.now()
    return body


@api.delete("/types/{volume_type}/extra_specs/{key}", SPECS_DELETE, status=202)
def drop_spec(volume_type: VolumeType, key: str) -> None:
    app.spec_of(volume_type.extra_specs, volume_type.id, key)
    volume_type.extra_specs = {name: value for name, value in volume_type.extra_specs.items() if name != key}
    volume_type.updated_at = clock.now()


@api.get("/types/{volume_type}/os-volume-type-access", ACCESS_LIST, wrap="volume_type_access")
def list_access(tx: Tx, volume_type: VolumeType) -> dict[str, Any] | list[dict[str, str]]:
    if volume_type.is_public:
        raise NotFound("Access list not available for public volume types.")
    return [
        {"volume_type_id": row.volume_type_id, "project_id": row.project_id}
        for row in types.access_of(tx, volume_type.id)
    ]


class Project(OpenBody):
    project: Annotated[str, msgspec.Meta(min_length=1, max_length=64), Refers("project", loaded=False)]


@api.action("/types/{volume_type}/action", "addProjectAccess", ACCESS_ADD, status=202)
def add_access(tx: Tx, volume_type: VolumeType, body: Project) -> None:
    if volume_type.is_public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    if tx.get(VolumeTypeAccess, (volume_type.id, body.project)) is not None:
        raise Conflict(f"Volume type access for {volume_type.id} / {body.project} combination already exists.")
    tx.add(VolumeTypeAccess(volume_type_id=volume_type.id, project_id=body.project))


@api.action("/types/{volume_type}/action", "removeProjectAccess", ACCESS_REMOVE, status=202)
def remove_access(tx: Tx, volume_type: VolumeType, body: Project) -> None:
    if volume_type.is_public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    row = tx.get(VolumeTypeAccess, (volume_type.id, body.project))
    if row is None:
        raise NotFound(f"Volume type access not found for {volume_type.id} / {body.project} combination.")
    tx.delete(row)
