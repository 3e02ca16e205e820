"""What the kernel needs to know of the network service."""

from pileus.kernel.service import CatalogEntry, Service
from pileus.services.network.agent import network_part
from pileus.services.network.api.root import api, versions
from pileus.services.network.bootstrap import bootstrap

SERVICE = Service(
    type="network",
    path="/networking",
    apis=(versions, api),
    catalog=(CatalogEntry("network", "neutron", "/networking", "OpenStack Networking"),),
    bootstrap=bootstrap,
    agent=network_part,
    order=50,
)
