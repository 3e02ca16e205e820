"""The dashboard as the kernel sees it: an ASGI application of its own under ``/dashboard``."""

from pileus.kernel.service import Service
from pileus.services.dashboard.site import make_site

SERVICE = Service("dashboard", "/dashboard", mounts={"/dashboard": make_site}, order=90)
