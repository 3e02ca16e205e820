"""What the kernel needs to know of placement."""

from pileus.kernel.service import CatalogEntry, Service
from pileus.services.placement.api.router import api

SERVICE = Service(
    "placement",
    "/placement",
    [api],
    catalog=[CatalogEntry("placement", "placement", "/placement", "Placement: who offers what, and who holds it")],
    order=40,
)
