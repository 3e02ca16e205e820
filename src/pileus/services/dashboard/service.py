"""The dashboard as the kernel sees it: an ASGI application of its own under ``/dashboard``."""

from pileus.kernel.service import Service

SITE = "pileus.services.dashboard.site:make_site"
SERVICE = Service("dashboard", "/dashboard", mounts={"/dashboard": SITE}, order=90)
