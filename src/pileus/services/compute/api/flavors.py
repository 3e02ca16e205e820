"""Flavors: the sizes a server can have.  Rule: a change of a flavor never changes a server made from it."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pileus.kernel import clock, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.rest import Body, Page, Query, View, page, since, sort_order, until
from pileus.kernel.rest.references import SomeProject
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, links, load_flavor
from pileus.services.compute.model import Flavor, FlavorAccess
from pileus.services.compute.store import catalog

field = msgspec.field
INT32 = 2147483647
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)(.*\S)?\Z")]
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]+(?<! )\Z")]
Digits = Annotated[str, Meta(max_length=16, pattern=r"^[0-9]+\Z")]
Whole = Annotated[int, Meta(ge=0, le=INT32)] | Digits
Positive = Annotated[int, Meta(ge=1, le=INT32)] | Digits


class FlavorCreate(Body, kw_only=True):
    name: Name
    id: Id | int | None = None
    ram: Positive
    vcpus: Positive
    disk: Whole
    ephemeral: Whole = field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    swap: Whole = 0
    rxtx_factor: Annotated[float | str, until("2.101")] = 1.0
    is_public: bool | str = field(name="os-flavor-access:is_public", default=True)
    description: Annotated[Annotated[str, Meta(max_length=65535)] | None, since("2.55")] = None


class FlavorUpdate(Body, kw_only=True):
    description: Annotated[str, Meta(max_length=65535)] | None


class FlavorView(View, kw_only=True):
    id: str
    name: str
    ram: int
    vcpus: int
    disk: int
    swap: int | str
    links: list[dict[str, str]]
    ephemeral: int = field(name="OS-FLV-EXT-DATA:ephemeral")
    disabled: bool = field(name="OS-FLV-DISABLED:disabled")
    is_public: bool = field(name="os-flavor-access:is_public")
    rxtx_factor: Annotated[float, until("2.101")]
    description: Annotated[str | None, since("2.55")] = None
    extra_specs: Annotated[dict[str, str] | UnsetType, since("2.61")] = UNSET


class BriefFlavorView(View, kw_only=True):
    id: str
    name: str
    links: list[dict[str, str]]
    description: Annotated[str | None, since("2.55")] = None


class FlavorQuery(Query, kw_only=True):
    strict_since = "2.75"

    limit: int | None = None
    marker: str | None = None
    sort_key: list[str] = []
    sort_dir: list[str] = []
    is_public: str | None = None
    min_ram: str | None = field(name="minRam", default=None)
    min_disk: str | None = field(name="minDisk", default=None)


SORT = {
    "flavorid": Flavor.id,
    "id": Flavor.id,
    "name": Flavor.name,
    "memory_mb": Flavor.memory_mb,
    "vcpus": Flavor.vcpus,
    "root_gb": Flavor.disk_gib,
    "ephemeral_gb": Flavor.ephemeral_gib,
    "swap": Flavor.swap_mb,
    "rxtx_factor": Flavor.rxtx_factor,
    "is_public": Flavor.is_public,
    "disabled": Flavor.disabled,
    "created_at": Flavor.created_at,
    "updated_at": Flavor.updated_at,
    "description": Flavor.description,
}


def flavor_view(ctx: Context, flavor: Flavor) -> FlavorView:
    """Return a flavor as the API shows it."""
    specs = flavor.extra_specs if ctx.allows(rules.SPECS_INDEX) else UNSET
    return FlavorView(
        id=flavor.id,
        name=flavor.name,
        ram=flavor.memory_mb,
        vcpus=flavor.vcpus,
        disk=flavor.disk_gib,
        swap=flavor.swap_mb if ctx.version >= (2, 75) or flavor.swap_mb else "",
        links=links(ctx, "flavors", flavor.id),
        ephemeral=flavor.ephemeral_gib,
        disabled=flavor.disabled,
        is_public=flavor.is_public,
        rxtx_factor=flavor.rxtx_factor,
        description=flavor.description,
        extra_specs=specs,
    )


def _listed(tx: Tx, ctx: Context, query: FlavorQuery) -> tuple[list[Flavor], str | None]:
    public: bool | None = True
    if ctx.is_admin:
        wanted = query.is_public
        public = None if wanted and wanted.lower() == "none" else as_bool(wanted, "is_public", default=True)
    project = None if ctx.is_admin else ctx.project_id
    statement = catalog.visible_flavors(project, public if ctx.is_admin else None)
    statement = statement.where(Flavor.disabled.is_(False))
    if query.min_ram is not None:
        statement = statement.where(Flavor.memory_mb >= _whole(query.min_ram, "minRam"))
    if query.min_disk is not None:
        statement = statement.where(Flavor.disk_gib >= _whole(query.min_disk, "minDisk"))
    order = sort_order(query.sort_key or ["flavorid"], query.sort_dir or ["asc"], SORT)
    return page(tx, statement, Flavor, order=order, limit=query.limit, marker=query.marker)


def _whole(text: str, name: str) -> int:
    if not text.isdigit():
        raise Invalid(f"Invalid {name} filter [{text}]: it must be a whole number.")
    return int(text)


def as_bool(value: bool | str | None, name: str, *, default: bool = False) -> bool:
    """Return a boolean as old clients write it; raise Invalid, naming ``name``."""
    if value is None or isinstance(value, bool):
        return default if value is None else value
    if value.strip().lower() in ("1", "t", "true", "on", "y", "yes"):
        return True
    if value.strip().lower() in ("0", "f", "false", "off", "n", "no"):
        return False
    raise Invalid(f"Invalid input for {name}: '{value}' is not a boolean; use true or false.")


@api.get("/flavors", rules.FLAVOR_LIST, wrap="flavors")
def list_flavors(tx: Tx, ctx: Context, query: FlavorQuery) -> Page:
    flavors, marker = _listed(tx, ctx, query)
    views = [
        BriefFlavorView(id=f.id, name=f.name, links=links(ctx, "flavors", f.id), description=f.description)
        for f in flavors
    ]
    return Page(views, marker)


@api.get("/flavors/detail", rules.FLAVOR_LIST, wrap="flavors")
def list_flavors_detail(tx: Tx, ctx: Context, query: FlavorQuery) -> Page:
    flavors, marker = _listed(tx, ctx, query)
    return Page([flavor_view(ctx, flavor) for flavor in flavors], marker)


@api.get("/flavors/{flavor}", rules.FLAVOR_LIST, wrap="flavor")
def show_flavor(tx: Tx, ctx: Context, flavor: Flavor) -> FlavorView:
    return flavor_view(ctx, flavor)


@api.post("/flavors", rules.FLAVOR_CREATE, wrap="flavor", status=200)
def create_flavor(tx: Tx, ctx: Context, body: FlavorCreate) -> FlavorView:
    flavor_id = ids.new_id() if body.id in (None, "auto") else str(body.id)
    if catalog.get_flavor(tx, flavor_id) is not None:
        raise Conflict(f"Flavor with ID {flavor_id} already exists.")
    if catalog.get_flavor_by_name(tx, body.name) is not None:
        raise Conflict(f"Flavor with name {body.name} already exists.")
    flavor = Flavor(
        id=flavor_id,
        name=body.name,
        memory_mb=_bounded(body.ram, "ram", 1),
        vcpus=_bounded(body.vcpus, "vcpus", 1),
        disk_gib=_bounded(body.disk, "disk"),
        ephemeral_gib=_bounded(body.ephemeral, "OS-FLV-EXT-DATA:ephemeral"),
        swap_mb=_bounded(body.swap, "swap"),
        rxtx_factor=_factor(body.rxtx_factor),
        is_public=as_bool(body.is_public, "os-flavor-access:is_public", default=True),
        description=body.description,
        extra_specs={},
        disabled=False,
        created_at=clock.now(),
    )
    tx.add(flavor)
    tx.flush()
    return flavor_view(ctx, flavor)


def _bounded(value: int | str, name: str, least: int = 0) -> int:
    if not least <= int(value) <= INT32:
        raise Invalid(f"Invalid input for field {name}: {value} is not between {least} and {INT32}.")
    return int(value)


def _factor(value: float | str) -> float:
    try:
        factor = float(value)
    except ValueError:
        raise Invalid(f"Invalid input for field rxtx_factor: '{value}' is not a number.") from None
    if not 0 < factor <= 3.40282e38:
        raise Invalid(f"Invalid input for field rxtx_factor: {value} must be greater than 0 and at most 3.40282e+38.")
    return factor


@api.put("/flavors/{flavor}", rules.FLAVOR_UPDATE, wrap="flavor", since="2.55")
def update_flavor(tx: Tx, ctx: Context, flavor: Flavor, body: FlavorUpdate) -> FlavorView:
    flavor.description = body.description
    flavor.updated_at = clock.now()
    return flavor_view(ctx, flavor)


@api.delete("/flavors/{flavor}", rules.FLAVOR_DELETE, status=202)
def delete_flavor(tx: Tx, flavor: Flavor) -> None:
    catalog.delete_flavor(tx, flavor)


class ProjectAccess(Body, kw_only=True):
    tenant: SomeProject


def _access_views(tx: Tx, flavor: Flavor) -> list[dict[str, Any]]:
    return [{"flavor_id": a.flavor_id, "tenant_id": a.project_id} for a in catalog.list_access(tx, flavor.id)]


@api.get("/flavors/{flavor}/os-flavor-access", rules.FLAVOR_ACCESS, wrap="flavor_access")
def list_access(tx: Tx, flavor: Flavor) -> list[dict[str, Any]]:
    if flavor.is_public:
        raise NotFound("Access list not available for public flavors.")
    return _access_views(tx, flavor)


@api.action("/flavors/{id}/action", "addTenantAccess", rules.FLAVOR_ACCESS_ADD, wrap="flavor_access")
def add_access(tx: Tx, ctx: Context, id: str, body: ProjectAccess) -> list[dict[str, Any]]:
    flavor = load_flavor(tx, ctx, id)
    if flavor.is_public and ctx.version >= (2, 7):
        raise Conflict("Can not add access to a public flavor.")
    if catalog.get_access(tx, flavor.id, body.tenant) is not None:
        raise Conflict(f"Flavor access already exists for flavor {flavor.id} and project {body.tenant} combination.")
    tx.add(FlavorAccess(flavor_id=flavor.id, project_id=body.tenant))
    tx.flush()
    return _access_views(tx, flavor)


@api.action("/flavors/{id}/action", "removeTenantAccess", rules.FLAVOR_ACCESS_REMOVE, wrap="flavor_access")
def remove_access(tx: Tx, ctx: Context, id: str, body: ProjectAccess) -> list[dict[str, Any]]:
    flavor = load_flavor(tx, ctx, id)
    access = catalog.get_access(tx, flavor.id, body.tenant)
    if access is None:
        raise NotFound(f"Flavor access not found for {flavor.id} / {body.tenant} combination.")
    tx.delete(access)
    tx.flush()
    return _access_views(tx, flavor)
