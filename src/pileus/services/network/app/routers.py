"""Routers: their gateway and their extra routes.  Their inner legs are in ``interfaces``."""

import ipaddress
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids
from pileus.kernel.agent import hosts
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.policy import ADMIN, Rule
from pileus.kernel.rest import at_most
from pileus.services.network.app import addressing, interfaces, limits, ports, telling
from pileus.services.network.app.ranges import valid_routes
from pileus.services.network.app.references import ONE_OF_NETWORK, NetworkId
from pileus.services.network.app.refusals import bad_request
from pileus.services.network.model import ROUTER_GATEWAY, Port, Router
from pileus.services.network.store import addresses, networks, roles, sharing
from pileus.services.network.store import ports as port_store
from pileus.services.network.store import routers as store

MAX_ROUTES = 30
SET_SNAT = Rule("update_router:external_gateway_info:enable_snat", ADMIN, "Switch source NAT of a router on or off.")
SET_FIXED = Rule(
    "update_router:external_gateway_info:external_fixed_ips", ADMIN, "Choose a router's own external addresses."
)


class Gateway(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``external_gateway_info``: a router's way out; an empty object means none."""

    network_id: NetworkId | None = None
    enable_snat: bool | UnsetType = UNSET
    external_fixed_ips: (
        Annotated[list[Annotated[dict[str, str | None], at_most(16), ONE_OF_NETWORK]], at_most(100)] | UnsetType
    ) = UNSET


def create_router(tx: Tx, ctx: Context, body: Any) -> Router:
    """Add a router, with a gateway if one is named."""
    limits.claim(tx, body.project_id, "router")
    row = Router(
        id=ids.new_id(),
        project_id=body.project_id,
        name=body.name,
        description=body.description,
        admin_state_up=body.admin_state_up,
        availability_zone_hints=body.availability_zone_hints,
        enable_snat=True,
        routes=[],
    )
    row.host = network_host(tx)
    tx.add(row)
    tx.flush()
    if body.external_gateway_info is not None:
        set_gateway(tx, ctx, row, body.external_gateway_info)
    telling.router_changed(tx, row)
    return row


def network_host(tx: Tx) -> str:
    """Return the one host that carries routers: where they are already, else the first that is up, else none."""
    there = [host for host in hosts.every(tx) if "network" in host.services]
    return there[0].name if there else ""


def update_router(tx: Tx, ctx: Context, row: Router, changes: dict[str, Any]) -> None:
    """Apply changes."""
    if "external_gateway_info" in changes:
        set_gateway(tx, ctx, row, changes.pop("external_gateway_info") or Gateway())
    if "routes" in changes:
        changes["routes"] = checked_routes(tx, row, changes["routes"])
    for name, value in changes.items():
        setattr(row, name, value)
    telling.router_changed(tx, row)


def set_gateway(tx: Tx, ctx: Context, row: Router, info: Gateway) -> None:
    """Give a router its way out, change it, or (with nothing) take it away."""
    if info.network_id is None and info != Gateway():
        raise Invalid("Invalid input for external_gateway_info. Reason: it takes a network_id, or nothing at all.")
    _check_gateway_rights(ctx, row, info)
    network_id = info.network_id
    if network_id != row.gateway_network_id:
        _drop_gateway(tx, row)
    if network_id is None:
        row.enable_snat = True
        return
    if row.gateway_port_id is None:
        _add_gateway(tx, row, network_id, info)
    elif info.external_fixed_ips is not UNSET:
        port = port_store.get_port(tx, row.gateway_port_id)
        assert port is not None
        addressing.reallocate(tx, port, addressing.wishes(info.external_fixed_ips))
    row.enable_snat = info.enable_snat is not False


def _check_gateway_rights(ctx: Context, row: Router, info: Gateway) -> None:
    if info.enable_snat is False:
        ctx.require(SET_SNAT, row)
    if info.external_fixed_ips:
        ctx.require(SET_FIXED, row)


def _add_gateway(tx: Tx, row: Router, network_id: str, info: Gateway) -> None:
    if not sharing.is_external(tx, network_id):
        raise bad_request("router", f"Network {network_id} is not an external network")
    fixed = info.external_fixed_ips
    port = Port(
        id=ids.new_id(),
        project_id="",
        network_id=network_id,
        mac_address=ports.new_mac(tx, network_id),
        port_security_enabled=False,
        binding_host=row.host,
        **roles.held(ROUTER_GATEWAY, row.id),
    )
    ports.add_port(tx, port, addressing.wishes(fixed) if fixed else None)
    for address in addresses.of_port(tx, port.id):
        interfaces.check_no_overlap(tx, row, networks.subnets(tx, [address.subnet_id]).values())
    row.gateway_port_id, row.gateway_network_id = port.id, network_id


def _drop_gateway(tx: Tx, row: Router) -> None:
    if row.gateway_port_id is None:
        return
    if store.floating_ips_of_routers(tx, [row.id]):
        raise Conflict(
            f"Gateway cannot be updated for router {row.id}, since a gateway to external network"
            f" {row.gateway_network_id} is required by one or more floating IPs.",
            kind="RouterExternalGatewayInUseByFloatingIp",
        )
    port = port_store.get_port(tx, row.gateway_port_id)
    if port is not None:
        ports.delete_ports(tx, [port])
    row.gateway_port_id = row.gateway_network_id = None


def delete_router(tx: Tx, ctx: Context, row: Router) -> None:
    """Remove a router and its gateway, unless it has interfaces."""
    if port_store.router_interfaces(tx, row.id):
        raise Conflict(f"Router {row.id} still has ports: remove its interfaces first.", kind="RouterInUse")
    _drop_gateway(tx, row)
    telling.router_changed(tx, row)
    tx.delete(row)


def checked_routes(tx: Tx, row: Router, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return extra routes; raise Invalid unless each next hop is a neighbour that is not the router itself."""
    if len(given) > MAX_ROUTES:
        raise Invalid(
            f"Unable to complete operation for {row.id}. The number of routes exceeds the maximum {MAX_ROUTES}.",
            kind="RoutesExhausted",
        )
    routes = valid_routes(given, "routes")
    held = [address for _, address in interfaces.legs(tx, row)]
    if row.gateway_port_id is not None:
        held += addresses.of_port(tx, row.gateway_port_id)
    near = [ipaddress.ip_network(s.cidr) for s in networks.subnets(tx, [a.subnet_id for a in held]).values()]
    for route in routes:
        nexthop = ipaddress.ip_address(route["nexthop"])
        if not any(nexthop.version == cidr.version and nexthop in cidr for cidr in near):
            raise _bad_routes(given, "the nexthop is not connected with router")
        if any(route["nexthop"] == address.ip for address in held):
            raise _bad_routes(given, "the nexthop is used by router")
    return routes


def _bad_routes(given: Any, why: str) -> Invalid:
    return Invalid(f"Invalid format for routes: {given}, {why}", kind="InvalidRoutes")
