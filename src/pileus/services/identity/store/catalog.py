"""Regions, services, endpoints."""

from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import CatalogService, Endpoint, Region
from pileus.services.identity.store import endpoint_filter, policies


def get_service(tx: Tx, id: str) -> CatalogService | None:
    """Return a service."""
    return tx.get(CatalogService, id)


def get_endpoint(tx: Tx, id: str) -> Endpoint | None:
    """Return an endpoint."""
    return tx.get(Endpoint, id)


def select_endpoints() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Endpoint)


def delete_service(tx: Tx, service: CatalogService) -> None:
    """Remove a service, its endpoints and what is associated with them; its limits stay, as upstream's do."""
    endpoint_ids = list(tx.scalars(select(Endpoint.id).where(Endpoint.service_id == service.id)))
    endpoint_filter.delete_associations(tx, endpoint_ids=endpoint_ids)
    policies.delete_associations(tx, endpoint_ids=endpoint_ids, service_id=service.id)
    tx.execute(delete(Endpoint).where(Endpoint.service_id == service.id))
    tx.delete(service)
    tx.flush()


def delete_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """Remove an endpoint and what is associated with it."""
    endpoint_filter.delete_associations(tx, endpoint_ids=[endpoint.id])
    policies.delete_associations(tx, endpoint_ids=[endpoint.id])
    tx.delete(endpoint)
    tx.flush()


def get_region(tx: Tx, id: str) -> Region | None:
    """Return a region."""
    return tx.get(Region, id)


def select_regions() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Region)


def regions_below(tx: Tx, id: str) -> list[Region]:
    """Return the regions directly below one."""
    return list(tx.scalars(select(Region).where(Region.parent_region_id == id)))


def has_endpoints(tx: Tx, region_id: str) -> bool:
    """Tell whether any endpoint stands in a region."""
    return tx.scalar(select(Endpoint.id).where(Endpoint.region_id == region_id).limit(1)) is not None


def enabled_catalog(tx: Tx) -> list[tuple[CatalogService, list[Endpoint]]]:
    """Return the enabled services, each with its enabled endpoints."""
    endpoints: dict[str, list[Endpoint]] = {}
    for endpoint in tx.scalars(select(Endpoint).where(Endpoint.enabled.is_(True)).order_by(Endpoint.id)):
        endpoints.setdefault(endpoint.service_id, []).append(endpoint)
    services = tx.scalars(select(CatalogService).where(CatalogService.enabled.is_(True)).order_by(CatalogService.type))
    return [(service, endpoints.get(service.id, [])) for service in services]
