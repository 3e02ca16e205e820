"""Regions."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.services.identity.api.router import api, extra, listing, url
from pileus.services.identity.api.rules import CLOUD, EVERY
from pileus.services.identity.model import Region
from pileus.services.identity.store import catalog, policies

LIST_REGIONS = Rule("identity:list_regions", policy.ANYONE, scopes=EVERY)
GET_REGION = Rule("identity:get_region", policy.ANYONE, scopes=EVERY)
CREATE_REGION = Rule("identity:create_region", "rule:admin_required", scopes=CLOUD)
UPDATE_REGION = Rule("identity:update_region", "rule:admin_required", scopes=CLOUD)
DELETE_REGION = Rule("identity:delete_region", "rule:admin_required", scopes=CLOUD)

Id = Annotated[str, msgspec.Meta(max_length=255)]


class RegionCreate(OpenBody):
    id: Id | None = None
    parent_region_id: str | None = None
    description: str | None = None
    extra: Extra = {}


class RegionUpdate(OpenBody):
    parent_region_id: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    extra: Extra = {}


@api.loader(Region)
def load_region(tx: Tx, ctx: Context, id: str) -> Region:
    row = catalog.get_region(tx, id)
    if row is None:
        raise NotFound(f"Could not find region: {id}.")
    return row


def _view(ctx: Context, row: Region) -> dict[str, Any]:
    return {
        **row.extra,
        "id": row.id,
        "parent_region_id": row.parent_region_id,
        "description": row.description,
        "links": {"self": url(ctx, f"/regions/{row.id}")},
    }


@api.get("/regions", LIST_REGIONS, wrap="regions")
def list_regions(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": Region.id, "parent_region_id": Region.parent_region_id}
    rows, marker = listing(tx, request, catalog.select_regions(), Region, columns)
    return Page([_view(ctx, row) for row in rows], marker)


@api.get("/regions/{region}", GET_REGION, wrap="region")
def show_region(ctx: Context, region: Region) -> dict[str, Any]:
    return _view(ctx, region)


def _create(tx: Tx, ctx: Context, id: str, body: RegionCreate) -> dict[str, Any]:
    if catalog.get_region(tx, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id}.")
    _check_parent(tx, id, body.parent_region_id)
    row = Region(
        id=id, parent_region_id=body.parent_region_id, description=body.description or "", extra=extra(body.extra)
    )
    tx.add(row)
    return _view(ctx, row)


def _check_parent(tx: Tx, id: str, parent_id: str | None) -> None:
    """Raise NotFound for a parent that is not there, Invalid for one that stands below."""
    at = parent_id
    while at is not None:
        row = catalog.get_region(tx, at)
        if row is None:
            raise NotFound(f"Could not find region: {at}. It was named as the parent.")
        if at == id:
            raise Invalid(f"Region {id} cannot stand below itself.")
        at = row.parent_region_id


@api.post("/regions", CREATE_REGION, wrap="region", status=201)
def create_region(tx: Tx, ctx: Context, body: RegionCreate) -> dict[str, Any]:
    return _create(tx, ctx, body.id or ids.new_hex_id(), body)


@api.put("/regions/{region}", CREATE_REGION, wrap="region", status=201)
def put_region(tx: Tx, ctx: Context, request: Request, body: RegionCreate) -> dict[str, Any]:
    id = request.params["region"]
    if body.id is not None and body.id != id:
        raise Invalid(f"Conflicting region IDs specified: {id} in the URL and {body.id} in the body.")
    return _create(tx, ctx, id, body)


@api.patch("/regions/{region}", UPDATE_REGION, wrap="region")
def update_region(tx: Tx, ctx: Context, region: Region, body: RegionUpdate) -> dict[str, Any]:
    given = changes(body)
    if "parent_region_id" in given:
        _check_parent(tx, region.id, given["parent_region_id"])
        region.parent_region_id = given["parent_region_id"]
    if "description" in given:
        region.description = given["description"] or ""
    region.extra = {**region.extra, **extra(given["extra"])}
    return _view(ctx, region)


@api.delete("/regions/{region}", DELETE_REGION)
def delete_region(tx: Tx, region: Region) -> None:
    pending = [region]
    while pending:
        row = pending.pop()
        if catalog.has_endpoints(tx, row.id):
            raise Forbidden(f"Unable to delete region {row.id} because endpoints stand in it: delete those first.")
        pending.extend(catalog.regions_below(tx, row.id))
        policies.delete_associations(tx, region_id=row.id)
        tx.delete(row)
