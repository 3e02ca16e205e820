"""Networks."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement, or_

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN
from pileus.kernel.rest import at_most
from pileus.kernel.rest.regular import Attr, Name, Resource, Tagged, boolean
from pileus.services.network.api.root import api
from pileus.services.network.app import networks as app
from pileus.services.network.app.port_values import DnsDomain
from pileus.services.network.model import EXTERNAL, SHARED, ZONE, Network, SubnetPool
from pileus.services.network.store import networks as store
from pileus.services.network.store import sharing

Guarded = Attr(create=ADMIN, update=ADMIN, source="", find="f")

Provider = Attr(create=ADMIN, update=ADMIN, get=ADMIN, null=False)


class NetworkAttributes(Tagged, kw_only=True):
    name: Name = ""
    admin_state_up: bool = True
    status: Annotated[str, Attr(on="v")] = "ACTIVE"
    subnets: Annotated[list[str], Attr(on="v", find="", source="")] = []
    shared: Annotated[bool, Guarded] = False
    router_external: Annotated[bool, Guarded] = msgspec.field(default=False, name="router:external")
    is_default: Annotated[bool, Attr(create=ADMIN, update=ADMIN)] = False
    mtu: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    port_security_enabled: bool = True
    availability_zone_hints: Annotated[Annotated[list[Name], at_most(10)], Attr(on="cv", find="")] = []
    availability_zones: Annotated[list[str], Attr(on="v", find="", source="")] = []
    ipv4_address_scope: Annotated[str | None, Attr(on="v", find="", source="")] = None
    ipv6_address_scope: Annotated[str | None, Attr(on="v", find="", source="")] = None
    dns_domain: DnsDomain = ""
    network_type: Annotated[str | None, Provider] = msgspec.field(default=None, name="provider:network_type")
    physical_network: Annotated[str | None, Provider] = msgspec.field(default=None, name="provider:physical_network")
    segmentation_id: Annotated[int | None, Provider] = msgspec.field(default=None, name="provider:segmentation_id")


networks = Resource(
    api,
    "network",
    "networks",
    NetworkAttributes,
    Network,
    title="Network",
    tagged=True,
    visible=sharing.own_or_shared(Network, "network", SHARED, EXTERNAL),
)
networks.create(app.create_network)
networks.update(app.update_network)
networks.delete(app.delete_network)


@networks.related
def related(tx: Tx, ctx: Context, rows: Sequence[Network], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    ids = [row.id for row in rows]
    found: dict[str, dict[str, Any]] = {}
    if wanted & {"subnets", "availability_zones"}:
        found["subnets"] = store.subnet_ids_of(tx, ids)
        found["availability_zones"] = {id: [ZONE] for id in found["subnets"]}
    if "shared" in wanted:
        actions = sharing.share_actions(tx, "network", ids, ctx.project_id)
        found["shared"] = {id: SHARED in held for id, held in actions.items()}
    if "router_external" in wanted:
        found["router_external"] = dict.fromkeys(sharing.external_ids(tx), True)
    if wanted & {"ipv4_address_scope", "ipv6_address_scope"}:
        scopes = _scopes(tx, ids)
        found["ipv4_address_scope"], found["ipv6_address_scope"] = scopes[4], scopes[6]
    return found


def _scopes(tx: Tx, ids: list[str]) -> dict[int, dict[str, str]]:
    """Return the address scopes of networks: those of the pools that their subnets were cut from."""
    found: dict[int, dict[str, str]] = {4: {}, 6: {}}
    for network_id, pool in store.scoped_pools_of(tx, ids):
        assert isinstance(pool, SubnetPool)
        if pool.address_scope_id is not None:
            found[pool.ip_version][network_id] = pool.address_scope_id
    return found


@networks.filter("shared")
def by_share(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    shared = Network.id.in_(sharing.shared_ids("network", ctx.project_id, [SHARED]))
    return or_(*(shared if boolean("shared", value) else ~shared for value in values))


@networks.filter("router:external")
def by_external(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    external = Network.id.in_(sharing.external_networks())
    return or_(*(external if boolean("router:external", value) else ~external for value in values))
