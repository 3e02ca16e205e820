"""Subnets."""

from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import ColumnElement, or_

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN, MEMBER
from pileus.kernel.rest import at_most
from pileus.kernel.rest.regular import (
    CREATE,
    DELETE,
    UPDATE,
    Attr,
    Name,
    Resource,
    Tagged,
    boolean,
)
from pileus.services.network.api.root import api
from pileus.services.network.app import subnets as app
from pileus.services.network.app.references import NetworkId, SubnetPoolId
from pileus.services.network.model import SHARED, Subnet
from pileus.services.network.store import networks, sharing

Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]
ADMIN_OR_NETWORK_OWNER = f"{ADMIN} or (role:member and project_id:%(network_project_id)s)"
ADMIN_OR_OWNERS = f"{ADMIN_OR_NETWORK_OWNER} or ({MEMBER})"


Texts = Annotated[list[Name], at_most(100)]
Range = Annotated[dict[str, str], at_most(16)]
Routes = Annotated[list[Range], at_most(100)]


class SubnetAttributes(Tagged, kw_only=True):
    name: Name = ""
    network_id: Annotated[NetworkId, Attr(on="cv")]
    ip_version: Annotated[int | None, Attr(on="cv", null=False)] = None
    cidr: Annotated[str | None, Attr(on="cv")] = None
    subnetpool_id: Annotated[SubnetPoolId | None, Attr(on="cv")] = None
    prefixlen: Annotated[Annotated[int, msgspec.Meta(ge=0, le=128)] | None, Attr(on="c", null=False)] = None
    use_default_subnetpool: Annotated[bool, Attr(on="c")] = False
    gateway_ip: str | None = app.UNSPECIFIED
    enable_dhcp: bool = True
    allocation_pools: Annotated[Annotated[list[Range], at_most(100)], Attr(find="")] = []
    dns_nameservers: Annotated[Texts | None, Attr(find="", null=list)] = msgspec.field(default_factory=list)
    host_routes: Annotated[Routes | None, Attr(find="", null=list)] = msgspec.field(default_factory=list)
    ipv6_ra_mode: Annotated[Mode | None, Attr(on="cv")] = None
    ipv6_address_mode: Annotated[Mode | None, Attr(on="cv")] = None
    service_types: Annotated[Texts | None, Attr(find="", null=list)] = msgspec.field(default_factory=list)
    segment_id: Annotated[str | None, Attr(on="", find="")] = None
    dns_publish_fixed_ip: bool = False
    shared: Annotated[bool, Attr(on="", find="f", source="")] = False


def visible(ctx: Context) -> ColumnElement[bool] | None:
    """A project sees its own subnets, those on its networks and those on networks shared with it."""
    if sharing.sees_all(ctx):
        return None
    return or_(
        Subnet.project_id == ctx.project_id,
        Subnet.network_id.in_(sharing.shared_ids("network", ctx.project_id, [SHARED])),
        Subnet.network_id.in_(sharing.own_networks(ctx.project_id)),
    )


subnets = Resource(
    api,
    "subnet",
    "subnets",
    SubnetAttributes,
    Subnet,
    title="Subnet",
    tagged=True,
    visible=visible,
    checks={CREATE: ADMIN_OR_NETWORK_OWNER, UPDATE: ADMIN_OR_OWNERS, DELETE: ADMIN_OR_OWNERS},
)
subnets.create(app.create_subnet)
subnets.update(app.update_subnet)
subnets.delete(app.delete_subnet)


@subnets.target
def target(tx: Tx, ctx: Context, thing: Any) -> dict[str, Any]:
    """Rules about subnets look at the owner of the network too."""
    network = networks.get_network(tx, thing.network_id)
    return {"project_id": thing.project_id, "network_project_id": network and network.project_id}


@subnets.filter("shared")
def by_share(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    shared = Subnet.network_id.in_(sharing.shared_ids("network", ctx.project_id, [SHARED]))
    return or_(*(shared if boolean("shared", value) else ~shared for value in values))
