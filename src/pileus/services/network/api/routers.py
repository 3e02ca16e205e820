"""Routers, their interfaces and their extra routes."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN_OR_MEMBER, Rule
from pileus.kernel.rest import Body, at_most
from pileus.kernel.rest.regular import Attr, Name, Resource, Tagged
from pileus.services.network.api.root import api
from pileus.services.network.app import interfaces
from pileus.services.network.app import routers as app
from pileus.services.network.app.references import PortId, SubnetId
from pileus.services.network.model import ZONE, Router
from pileus.services.network.store import ports as port_store

Routes = Annotated[list[Annotated[dict[str, str], at_most(16)]], at_most(1000)]


class RouterAttributes(Tagged, kw_only=True):
    name: Name = ""
    admin_state_up: bool = True
    status: Annotated[str, Attr(on="v")] = "ACTIVE"
    external_gateway_info: Annotated[app.Gateway | None, Attr(find="", source="")] = None
    routes: Annotated[Routes | None, Attr(on="uv", find="", null=list)] = None
    availability_zone_hints: Annotated[Annotated[list[Name], at_most(10)], Attr(on="cv", find="")] = []
    availability_zones: Annotated[list[str], Attr(on="v", find="", source="")] = []


class InterfaceBody(Body):
    subnet_id: SubnetId | None = None
    port_id: PortId | None = None


class RoutesBody(msgspec.Struct, forbid_unknown_fields=True):
    routes: Routes


ADD = Rule("add_router_interface", ADMIN_OR_MEMBER)
REMOVE = Rule("remove_router_interface", ADMIN_OR_MEMBER)
ADD_ROUTES = Rule("add_extraroutes", ADMIN_OR_MEMBER)
REMOVE_ROUTES = Rule("remove_extraroutes", ADMIN_OR_MEMBER)

routers = Resource(api, "router", "routers", RouterAttributes, Router, title="Router", tagged=True)
routers.create(app.create_router)
routers.update(app.update_router)
routers.delete(app.delete_router)


@routers.related
def related(tx: Tx, ctx: Context, rows: Sequence[Router], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "availability_zones": {row.id: [ZONE] for row in rows if row.host},
    }
    if "external_gateway_info" in wanted:
        gateways = {row.gateway_port_id: row for row in rows if row.gateway_port_id is not None}
        held = port_store.addresses_of_ports(tx, list(gateways)) if gateways else {}
        found["external_gateway_info"] = {
            row.id: {
                "network_id": row.gateway_network_id,
                "enable_snat": row.enable_snat,
                "external_fixed_ips": held.get(port_id, []),
            }
            for port_id, row in gateways.items()
        }
    return found


@api.put("/routers/{id}/add_router_interface", ADD, body="", about=routers.about)
def add_interface(tx: Tx, ctx: Context, row: Router, body: InterfaceBody) -> dict[str, Any]:
    port, subnet_ids = interfaces.add_interface(tx, ctx, row, body.subnet_id, body.port_id)
    routers.touch(tx, ctx, row, "interface_added")
    return interfaces.interface_view(row, port, subnet_ids)


@api.put("/routers/{id}/remove_router_interface", REMOVE, body="", about=routers.about)
def remove_interface(tx: Tx, ctx: Context, row: Router, body: InterfaceBody) -> dict[str, Any]:
    port, subnet_ids = interfaces.remove_interface(tx, ctx, row, body.subnet_id, body.port_id)
    routers.touch(tx, ctx, row, "interface_removed")
    return interfaces.interface_view(row, port, subnet_ids)


@api.put("/routers/{id}/add_extraroutes", ADD_ROUTES, wrap="router", about=routers.about)
def add_routes(tx: Tx, ctx: Context, row: Router, body: RoutesBody) -> Any:
    """Add routes to those there are; one that is there already stays."""
    there = [*row.routes, *(route for route in body.routes if route not in row.routes)]
    app.update_router(tx, ctx, row, {"routes": there})
    routers.touch(tx, ctx, row)
    return routers.views(tx, ctx, [row])[0]


@api.put("/routers/{id}/remove_extraroutes", REMOVE_ROUTES, wrap="router", about=routers.about)
def remove_routes(tx: Tx, ctx: Context, row: Router, body: RoutesBody) -> Any:
    """Remove routes; one that is not there is as good as removed."""
    app.update_router(tx, ctx, row, {"routes": [route for route in row.routes if route not in body.routes]})
    routers.touch(tx, ctx, row)
    return routers.views(tx, ctx, [row])[0]
