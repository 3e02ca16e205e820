"""Services and endpoints: what the catalog is made of, besides regions."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET

from pileus.dialects.keystone import Document
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Label, Name
from pileus.kernel.rest.regular import CREATE, LIST, SHOW, UPDATE, Attr, Resource
from pileus.services.identity.api.router import api
from pileus.services.identity.app.documents import render_base
from pileus.services.identity.app.references import RegionId, ServiceId
from pileus.services.identity.model import CatalogService, Endpoint, Region
from pileus.services.identity.store import catalog, tokens

Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048, pattern=r"^([a-zA-Z0-9+.-]+:|\$\(base_url\)s)")]
Unfound = Attr(find="")


class ServiceAttributes(Document, kw_only=True):
    type: Label
    name: Name = ""
    description: Annotated[str | None, Attr(find="", show=lambda text: UNSET if text is None else text)] = None
    enabled: Annotated[bool, Unfound] = True


class EndpointAttributes(Document, kw_only=True):
    service_id: ServiceId
    interface: Literal["public", "internal", "admin"]
    url: Annotated[Url, Attr(find="", source="")]
    region_id: RegionId | None = None
    region: Annotated[RegionId | None, Attr(source="region_id")] = None
    enabled: Annotated[bool, Unfound] = True


services = Resource(
    api, "service", "services", ServiceAttributes, CatalogService, title="Service", verbs=(LIST, SHOW, CREATE, UPDATE)
)
endpoints = Resource(api, "endpoint", "endpoints", EndpointAttributes, Endpoint, title="Endpoint")


@services.changed
@endpoints.changed
def changed(tx: Tx, ctx: Context, row: Any, what: str) -> None:
    tokens.move_revision(tx)


@services.delete
def delete_service(tx: Tx, ctx: Context, row: CatalogService) -> None:
    catalog.delete_service(tx, row)


@endpoints.related
def related(tx: Tx, ctx: Context, rows: Sequence[Endpoint], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    return {"url": {row.id: render_base(row.url, ctx) for row in rows}}


def _check_parents(tx: Tx, service_id: str | None, region_id: str | None, *, make_region: bool) -> None:
    if service_id is not None and catalog.get_service(tx, service_id) is None:
        raise Invalid(f"Could not find service: {service_id}. Create it first, or name another.")
    if region_id is not None and catalog.get_region(tx, region_id) is None:
        if not make_region:
            raise Invalid(f"Could not find region: {region_id}. Create it first, or name another.")
        tx.add(Region(id=region_id))


@endpoints.create
def create_endpoint(tx: Tx, ctx: Context, body: Any) -> Endpoint:
    region_id = body.region_id or body.region
    _check_parents(tx, body.service_id, region_id, make_region=body.region_id is None)
    row = Endpoint(**{**endpoints.dialect.values(endpoints, ctx, body), "url": body.url, "region_id": region_id})
    tx.add(row)
    return row


@endpoints.update
def update_endpoint(tx: Tx, ctx: Context, row: Endpoint, changes: dict[str, Any]) -> None:
    legacy = changes.pop("region", None)
    if legacy is not None:
        changes.setdefault("region_id", legacy)
    _check_parents(tx, changes.get("service_id"), changes.get("region_id"), make_region=legacy is not None)
    row.url = changes.get("url", row.url)
    endpoints.dialect.apply(endpoints, row, changes)


@endpoints.delete
def delete_endpoint(tx: Tx, ctx: Context, row: Endpoint) -> None:
    catalog.delete_endpoint(tx, row)
