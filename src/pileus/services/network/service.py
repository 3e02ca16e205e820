"""What the kernel needs to know of the network service."""

from pileus.kernel.service import CatalogEntry, Service
from pileus.services.network import consumers, reconcile
from pileus.services.network.agent import network_part
from pileus.services.network.api import (
    floating_ips,
    hosts,
    ip_availability,
    networks,
    placements,
    ports,
    quotas,
    rbac,
    routers,
    security_groups,
    subnet_pools,
    subnets,
)
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

LOADED = (
    consumers,
    floating_ips,
    hosts,
    ip_availability,
    networks,
    placements,
    ports,
    quotas,
    rbac,
    reconcile,
    routers,
    security_groups,
    subnet_pools,
    subnets,
)
"""Modules that declare routes, reconcilers and event consumers by being imported."""
