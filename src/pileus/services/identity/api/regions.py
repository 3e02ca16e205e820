"""Regions."""

from typing import Annotated, Any

from pileus.dialects.keystone import Document
from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, Id, Request, Response, json_response
from pileus.kernel.rest.regular import CREATE, LIST, SHOW, Attr, Resource
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import EVERY
from pileus.services.identity.app.references import RegionId
from pileus.services.identity.model import Region
from pileus.services.identity.store import catalog, policies


class RegionAttributes(Document, kw_only=True):
    id: Annotated[Id, Attr(on="cv", null=str)] = ""
    parent_region_id: RegionId | None = None
    description: Annotated[str, Attr(find="", null=str)] = ""


regions = Resource(
    api, "region", "regions", RegionAttributes, Region, title="Region",
    rules={
        LIST: Rule("identity:list_regions", policy.ANYONE, scopes=EVERY),
        SHOW: Rule("identity:get_region", policy.ANYONE, scopes=EVERY),
    },
)  # fmt: skip


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


@regions.create
def create_region(tx: Tx, ctx: Context, body: Any) -> Region:
    row = Region(**regions.dialect.values(regions, ctx, body))
    if catalog.get_region(tx, row.id) is not None:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {row.id}.")
    _check_parent(tx, row.id, row.parent_region_id)
    tx.add(row)
    return row


@api.put(regions.one, regions.rule(CREATE), body="", by_handler=True)
def put_region(tx: Tx, ctx: Context, request: Request, body: Extra) -> Response:
    raw, id = regions.dialect.enveloped(regions, body), request.params["region"]
    if raw.get("id", id) != id:
        raise Invalid(f"Conflicting region IDs specified: {id} in the URL and {raw['id']} in the body.")
    row = regions.insert(tx, ctx, {**raw, "id": id})
    return json_response({"region": regions.views(tx, ctx, [row])[0]}, 201)


@regions.update
def update_region(tx: Tx, ctx: Context, region: Region, changes: dict[str, Any]) -> None:
    _check_parent(tx, region.id, changes.get("parent_region_id"))
    regions.dialect.apply(regions, region, changes)


@regions.delete
def delete_region(tx: Tx, ctx: Context, region: Region) -> None:
    pending = [region]
    while pending:
        row = pending.pop()
        if catalog.has_endpoints(tx, row.id):
            raise Forbidden(f"Unable to delete region {row.id} because endpoints stand in it: delete those first.")
        pending.extend(catalog.regions_below(tx, row.id))
        policies.delete_associations(tx, region_id=row.id)
        tx.delete(row)
