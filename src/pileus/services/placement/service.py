"""What the kernel needs to know of placement."""

from pileus.kernel.service import CatalogEntry, Service
from pileus.services.placement.api import (
    allocation_candidates,
    inventories,
    reshaper,
    resource_classes,
    resource_providers,
    traits,
    usages,
    versions,
)
from pileus.services.placement.api.router import api

RESOURCES = (
    allocation_candidates,
    inventories,
    reshaper,
    resource_classes,
    resource_providers,
    traits,
    usages,
    versions,
)
"""Imported so that their routes are declared."""

SERVICE = Service(
    "placement",
    "/placement",
    [api],
    catalog=[CatalogEntry("placement", "placement", "/placement", "Placement: who offers what, and who holds it")],
    order=40,
)
