"""What a new cloud's networks are: a way out, a private network for the demo project, a router, shared pools.

Rule: it runs once; what an operator removes afterwards stays removed.
"""

from typing import Any

from sqlalchemy import func, select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.rest.references import load_references
from pileus.kernel.runtime import Runtime
from pileus.services.identity import public as identity
from pileus.services.network.api.networks import networks as network_resource
from pileus.services.network.api.root import api
from pileus.services.network.api.routers import InterfaceBody
from pileus.services.network.api.routers import routers as router_resource
from pileus.services.network.api.subnet_pools import pools as pool_resource
from pileus.services.network.api.subnets import subnets as subnet_resource
from pileus.services.network.app import groups, interfaces, networks, pools, routers, subnets
from pileus.services.network.model import Network, NetworkSettings, Stamp

PUBLIC = "172.24.4.0/24"


def public_cidr(settings: NetworkSettings, cloud_id: str) -> str:
    """Return the range of the external network.

    The host itself has a leg in it, so two clouds on one host need two ranges: a cloud with an id of its own gets
    one of the 1,024 parts of 172.24.0.0/14 by the id's last ten bits.
    """
    if settings.public_cidr is not None:
        return settings.public_cidr
    number = int(cloud_id, 16) & 0x3FF
    return PUBLIC if int(cloud_id, 16) == 0 else f"172.{24 + (number >> 8)}.{number & 0xFF}.0/24"


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Make the first networks of a new cloud."""
    if tx.get(Stamp, 1) is not None:
        return
    tx.add(Stamp(id=1, value=1))
    tx.flush()
    settings = runtime.config.get(NetworkSettings)
    admin = identity.find_project_id(tx, "admin")
    demo = identity.find_project_id(tx, "demo")
    if admin is None or demo is None or tx.scalar(select(func.count()).select_from(Network)):
        return
    ctx = runtime.internal(project_id=admin)
    groups.default_group(tx, admin)
    public = _public(tx, ctx, settings, public_cidr(settings, runtime.config.cloud.cloud_id))
    _pools(tx, ctx, settings)
    _private(tx, runtime.internal(project_id=demo), settings, public)


def _body(tx: Tx, ctx: Context, resource: Any, **given: Any) -> Any:
    """Return a create body as the API would decode it, what it refers to loaded."""
    return _loaded(tx, ctx, resource.create_struct(**given))


def _loaded(tx: Tx, ctx: Context, body: Any) -> Any:
    tx.flush()
    load_references(tx, ctx, body, api.references, api.missing)
    return body


def _public(tx: Tx, ctx: Context, settings: NetworkSettings, cidr: str) -> Network:
    body = _body(
        tx,
        ctx,
        network_resource,
        project_id=ctx.project_id,
        name=settings.public_network,
        router_external=True,
        is_default=True,
        network_type="local",
    )
    network = networks.create_network(tx, ctx, body, settings)
    subnets.create_subnet(
        tx,
        ctx,
        _body(
            tx,
            ctx,
            subnet_resource,
            project_id=ctx.project_id,
            name=f"{settings.public_network}-subnet",
            network_id=network.id,
            ip_version=4,
            cidr=cidr,
            enable_dhcp=False,
        ),
    )
    return network


def _pools(tx: Tx, ctx: Context, settings: NetworkSettings) -> None:
    for version, prefix, length in ((4, settings.shared_pool_v4, 26), (6, settings.shared_pool_v6, 64)):
        body = _body(
            tx,
            ctx,
            pool_resource,
            project_id=ctx.project_id,
            name=f"shared-default-subnetpool-v{version}",
            prefixes=[prefix],
            default_prefixlen=length,
            shared=True,
            is_default=True,
        )
        pools.create_pool(tx, ctx, body)


def _private(tx: Tx, ctx: Context, settings: NetworkSettings, public: Network) -> None:
    network = networks.create_network(
        tx, ctx, _body(tx, ctx, network_resource, project_id=ctx.project_id, name=settings.private_network), settings
    )
    subnet = subnets.create_subnet(
        tx,
        ctx,
        _body(
            tx,
            ctx,
            subnet_resource,
            project_id=ctx.project_id,
            name=f"{settings.private_network}-subnet",
            network_id=network.id,
            ip_version=4,
            cidr=settings.private_cidr,
            dns_nameservers=list(settings.dns_nameservers),
        ),
    )
    gateway = routers.Gateway(network_id=public.id)
    router = routers.create_router(
        tx,
        ctx,
        _body(tx, ctx, router_resource, project_id=ctx.project_id, name="router1", external_gateway_info=gateway),
    )
    leg = _loaded(tx, ctx, InterfaceBody(subnet_id=subnet.id))
    interfaces.add_interface(tx, ctx, router, leg.subnet_id, leg.port_id)
