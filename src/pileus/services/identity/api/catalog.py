"""Regions, services and endpoints: what the catalog is made of."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.services.identity.api.router import api, extra, listing, missing, url
from pileus.services.identity.api.rules import CLOUD, SYSTEM_READER
from pileus.services.identity.app.documents import render_base
from pileus.services.identity.model import CatalogService, Endpoint, Region
from pileus.services.identity.store import catalog, tokens

LIST_SERVICES = Rule("identity:list_services", SYSTEM_READER, scopes=CLOUD)
GET_SERVICE = Rule("identity:get_service", SYSTEM_READER, scopes=CLOUD)
CREATE_SERVICE = Rule("identity:create_service", "rule:admin_required", scopes=CLOUD)
UPDATE_SERVICE = Rule("identity:update_service", "rule:admin_required", scopes=CLOUD)
DELETE_SERVICE = Rule("identity:delete_service", "rule:admin_required", scopes=CLOUD)
LIST_ENDPOINTS = Rule("identity:list_endpoints", SYSTEM_READER, scopes=CLOUD)
GET_ENDPOINT = Rule("identity:get_endpoint", SYSTEM_READER, scopes=CLOUD)
CREATE_ENDPOINT = Rule("identity:create_endpoint", "rule:admin_required", scopes=CLOUD)
UPDATE_ENDPOINT = Rule("identity:update_endpoint", "rule:admin_required", scopes=CLOUD)
DELETE_ENDPOINT = Rule("identity:delete_endpoint", "rule:admin_required", scopes=CLOUD)

Type = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Name = Annotated[str, msgspec.Meta(max_length=255)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048, pattern=r"^([a-zA-Z0-9+.-]+:|\$\(base_url\)s)")]
Interface = Literal["public", "internal", "admin"]


class ServiceCreate(OpenBody):
    type: Type
    name: Name = ""
    description: str | None = None
    enabled: bool = True
    extra: Extra = {}


class ServiceUpdate(OpenBody):
    type: Type | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    extra: Extra = {}


class EndpointCreate(OpenBody):
    service_id: str
    interface: Interface
    url: Url
    region_id: str | None = None
    region: str | None = None
    enabled: bool = True
    extra: Extra = {}


class EndpointUpdate(OpenBody):
    service_id: str | UnsetType = UNSET
    interface: Interface | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    region_id: str | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    extra: Extra = {}


@api.loader(CatalogService)
def load_service(tx: Tx, ctx: Context, id: str) -> CatalogService:
    return catalog.get_service(tx, id) or missing("service", id)


@api.loader(Endpoint)
def load_endpoint(tx: Tx, ctx: Context, id: str) -> Endpoint:
    return catalog.get_endpoint(tx, id) or missing("endpoint", id)


def _service_view(ctx: Context, row: CatalogService) -> dict[str, Any]:
    view = {
        **row.extra,
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "enabled": row.enabled,
        "links": {"self": url(ctx, f"/services/{row.id}")},
    }
    if row.description is not None:
        view["description"] = row.description
    return view


def endpoint_view(ctx: Context, row: Endpoint) -> dict[str, Any]:
    """Return an endpoint's document."""
    return {
        **row.extra,
        "id": row.id,
        "service_id": row.service_id,
        "interface": row.interface,
        "region": row.region_id,
        "region_id": row.region_id,
        "url": render_base(row.url, ctx),
        "enabled": row.enabled,
        "links": {"self": url(ctx, f"/endpoints/{row.id}")},
    }


@api.get("/services", LIST_SERVICES, wrap="services")
def list_services(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": CatalogService.id, "type": CatalogService.type, "name": CatalogService.name}
    rows, marker = listing(tx, request, catalog.select_services(), CatalogService, columns)
    return Page([_service_view(ctx, row) for row in rows], marker)


@api.get("/services/{service}", GET_SERVICE, wrap="service")
def show_service(ctx: Context, service: CatalogService) -> dict[str, Any]:
    return _service_view(ctx, service)


@api.post("/services", CREATE_SERVICE, wrap="service", status=201)
def create_service(tx: Tx, ctx: Context, body: ServiceCreate) -> dict[str, Any]:
    row = CatalogService(
        id=ids.new_hex_id(),
        type=body.type,
        name=body.name,
        description=body.description,
        enabled=body.enabled,
        extra=extra(body.extra),
    )
    tx.add(row)
    tokens.move_revision(tx)
    return _service_view(ctx, row)


def _change(tx: Tx, row: Any, given: dict[str, Any]) -> None:
    kept = extra(given.pop("extra"))
    for field, value in given.items():
        setattr(row, field, value)
    row.extra = {**row.extra, **kept}
    tokens.move_revision(tx)


@api.patch("/services/{service}", UPDATE_SERVICE, wrap="service")
def update_service(tx: Tx, ctx: Context, service: CatalogService, body: ServiceUpdate) -> dict[str, Any]:
    _change(tx, service, changes(body))
    return _service_view(ctx, service)


@api.delete("/services/{service}", DELETE_SERVICE)
def delete_service(tx: Tx, service: CatalogService) -> None:
    catalog.delete_service(tx, service)
    tokens.move_revision(tx)


@api.get("/endpoints", LIST_ENDPOINTS, wrap="endpoints")
def list_endpoints(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {
        "id": Endpoint.id,
        "interface": Endpoint.interface,
        "service_id": Endpoint.service_id,
        "region_id": Endpoint.region_id,
        "region": Endpoint.region_id,
    }
    rows, marker = listing(tx, request, catalog.select_endpoints(), Endpoint, columns)
    return Page([endpoint_view(ctx, row) for row in rows], marker)


@api.get("/endpoints/{endpoint}", GET_ENDPOINT, wrap="endpoint")
def show_endpoint(ctx: Context, endpoint: Endpoint) -> dict[str, Any]:
    return endpoint_view(ctx, endpoint)


def _check_parents(tx: Tx, service_id: str | None, region_id: str | None, *, make_region: bool) -> None:
    if service_id is not None and catalog.get_service(tx, service_id) is None:
        raise Invalid(f"Could not find service: {service_id}. Create it first, or name another.")
    if region_id is not None and catalog.get_region(tx, region_id) is None:
        if not make_region:
            raise Invalid(f"Could not find region: {region_id}. Create it first, or name another.")
        tx.add(Region(id=region_id))


@api.post("/endpoints", CREATE_ENDPOINT, wrap="endpoint", status=201)
def create_endpoint(tx: Tx, ctx: Context, body: EndpointCreate) -> dict[str, Any]:
    region_id = body.region_id or body.region
    _check_parents(tx, body.service_id, region_id, make_region=body.region_id is None)
    row = Endpoint(
        id=ids.new_hex_id(),
        service_id=body.service_id,
        interface=body.interface,
        url=body.url,
        region_id=region_id,
        enabled=body.enabled,
        extra=extra(body.extra),
    )
    tx.add(row)
    tokens.move_revision(tx)
    return endpoint_view(ctx, row)


@api.patch("/endpoints/{endpoint}", UPDATE_ENDPOINT, wrap="endpoint")
def update_endpoint(tx: Tx, ctx: Context, endpoint: Endpoint, body: EndpointUpdate) -> dict[str, Any]:
    given = changes(body)
    legacy = given.pop("region", None)
    if legacy is not None:
        given.setdefault("region_id", legacy)
    _check_parents(tx, given.get("service_id"), given.get("region_id"), make_region=legacy is not None)
    _change(tx, endpoint, given)
    return endpoint_view(ctx, endpoint)


@api.delete("/endpoints/{endpoint}", DELETE_ENDPOINT)
def delete_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    catalog.delete_endpoint(tx, endpoint)
    tokens.move_revision(tx)
