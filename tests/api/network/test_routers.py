"""Routers and floating IPs: the way out and the way in."""

import asyncio

from tests.api.network.conftest import MISSING


async def plugged(net, cidr="10.7.0.0/24", gateway=True):
    """Make a router with a gateway and one subnet; return all four."""
    network, subnet = await net.network(cidr)
    info = {"network_id": (await net.public())["id"]} if gateway else None
    router = await net.make("router", name="r", external_gateway_info=info)
    answer = await net.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    return network, subnet, router, answer


async def refused(net, router, verb, code, kind, **body):
    error = (await net.call("PUT", f"routers/{router['id']}/{verb}", code, body))["NeutronError"]
    assert error["type"] == kind, error


async def test_an_interface_takes_the_gateway_address_and_comes_alive(demo):
    network, subnet, router, answer = await plugged(demo)
    assert answer["subnet_ids"] == [subnet["id"]]
    port = await demo.until("port", answer["port_id"], status="ACTIVE")
    assert port["fixed_ips"][0]["ip_address"] == "10.7.0.1"
    assert port["device_owner"] == "network:router_interface"
    driver = demo.runtime.local_hosts.hosts["fake-1"].parts[0].driver
    (leg,) = driver.routers[router["id"]].interfaces
    assert leg.addresses == ("10.7.0.1/24",)
    assert network["id"] in driver.networks
    assert await demo.drop("port", port["id"], 409) == "ServicePortInUse"
    assert await demo.drop("router", router["id"], 409) == "RouterInUse"
    await demo.call("PUT", f"routers/{router['id']}/remove_router_interface", 200, {"subnet_id": subnet["id"]})
    await demo.show("port", port["id"], 404)
    await demo.drop("router", router["id"])
    for _ in range(200):
        if router["id"] not in driver.routers and network["id"] not in driver.networks:
            break
        await asyncio.sleep(0.01)
    assert router["id"] not in driver.routers
    assert network["id"] not in driver.networks


async def test_impossible_interfaces_are_refused(demo, other):
    network, subnet, router, _ = await plugged(demo)
    add, remove = "add_router_interface", "remove_router_interface"
    await refused(demo, router, add, 400, "BadRequest")
    await refused(demo, router, add, 400, "BadRequest", subnet_id=subnet["id"])
    await refused(demo, router, add, 404, "SubnetNotFound", subnet_id=MISSING)
    await refused(demo, router, add, 404, "PortNotFound", port_id=MISSING)
    await refused(demo, router, add, 400, "HTTPBadRequest", port_id="nowhere")
    await refused(demo, router, add, 400, "HTTPBadRequest", subnet="x")
    _, overlapping = await demo.network("10.7.0.0/25")
    await refused(demo, router, add, 400, "BadRequest", subnet_id=overlapping["id"])
    _, closed = await demo.network("10.9.0.0/24", gateway_ip=None)
    await refused(demo, router, add, 400, "BadRequest", subnet_id=closed["id"])
    taken = await demo.make("port", network_id=network["id"], device_id="a-server")
    await refused(demo, router, add, 409, "PortInUse", port_id=taken["id"])
    await refused(demo, router, remove, 404, "RouterInterfaceNotFoundForSubnet", subnet_id=closed["id"])
    await refused(demo, router, remove, 404, "RouterInterfaceNotFound", port_id=taken["id"])
    await refused(other, router, add, 404, "RouterNotFound", subnet_id=subnet["id"])


async def test_a_gateway_must_be_an_external_network(demo):
    network, _ = await demo.network()
    info = {"external_gateway_info": {"network_id": network["id"]}}
    await demo.refuse("router", 400, "BadRequest", **info)
    await demo.refuse("router", 404, "NetworkNotFound", external_gateway_info={"network_id": MISSING})
    await demo.refuse("router", 400, "HTTPBadRequest", external_gateway_info={"net": "x"})
    public = (await demo.public())["id"]
    await demo.refuse(
        "router", 403, "PolicyNotAuthorized", external_gateway_info={"network_id": public, "enable_snat": False}
    )
    router = await demo.make("router", external_gateway_info={"network_id": public})
    cleared = await demo.update("router", router["id"], external_gateway_info=None)
    assert cleared["external_gateway_info"] is None


async def test_extra_routes_lead_to_neighbours(demo):
    _, subnet, router, _ = await plugged(demo)
    route = {"destination": "192.168.0.0/16", "nexthop": "10.7.0.9"}
    assert (await demo.update("router", router["id"], routes=[route]))["routes"] == [route]
    await refused(demo, router, "remove_router_interface", 409, "RouterInterfaceInUseByRoute", subnet_id=subnet["id"])
    far = {"destination": "192.168.0.0/16", "nexthop": "10.99.0.9"}
    await demo.refuse_update("router", router["id"], 400, "InvalidRoutes", routes=[far])
    await demo.refuse_update("router", router["id"], 400, "InvalidRoutes", routes=[{**route, "nexthop": "10.7.0.1"}])
    more = {"destination": "172.16.0.0/12", "nexthop": "10.7.0.9"}
    added = await demo.call(
        "PUT", f"routers/{router['id']}/add_extraroutes", 200, {"router": {"routes": [more, route]}}
    )
    assert len(added["router"]["routes"]) == 2
    left = await demo.call("PUT", f"routers/{router['id']}/remove_extraroutes", 200, {"router": {"routes": [route]}})
    assert left["router"]["routes"] == [more]


async def test_a_floating_ip_stands_before_a_port(demo):
    network, subnet, router, _ = await plugged(demo)
    port = await demo.make("port", network_id=network["id"], name="p")
    public = (await demo.public())["id"]
    floating = await demo.make("floatingip", floating_network_id=public)
    assert floating["status"] == "DOWN"
    assert floating["floating_ip_address"].startswith("172.24.4.")
    moved = await demo.update("floatingip", floating["id"], port_id=port["id"])
    assert moved["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
    assert moved["router_id"] == router["id"]
    assert moved["port_details"]["name"] == "p"
    await demo.until("floatingip", floating["id"], status="ACTIVE")
    driver = demo.runtime.local_hosts.hosts["fake-1"].parts[0].driver
    (translation,) = driver.routers[router["id"]].floating_ips
    assert translation.floating_ip == floating["floating_ip_address"]
    await refused(
        demo, router, "remove_router_interface", 409, "RouterInterfaceInUseByFloatingIP", subnet_id=subnet["id"]
    )
    await demo.refuse_update(
        "router", router["id"], 409, "RouterExternalGatewayInUseByFloatingIp", external_gateway_info=None
    )
    await demo.refuse(
        "floatingip", 409, "FloatingIPPortAlreadyAssociated", floating_network_id=public, port_id=port["id"]
    )
    await demo.refuse_update("port", port["id"], 400, "BadRequest", fixed_ips=[{"ip_address": "10.7.0.77"}])
    assert (await demo.update("floatingip", floating["id"], description="d"))["port_id"] == port["id"]
    assert (await demo.update("floatingip", floating["id"], fixed_ip_address=None))["port_id"] == port["id"]
    await demo.refuse_update("floatingip", floating["id"], 400, "BadRequest", fixed_ip_address="10.7.0.3")
    assert (await demo.update("floatingip", floating["id"]))["port_id"] is None
    await demo.update("floatingip", floating["id"], port_id=port["id"])
    await demo.drop("port", port["id"])
    freed = await demo.show("floatingip", floating["id"])
    assert (freed["port_id"], freed["router_id"], freed["status"]) == (None, None, "DOWN")
    await demo.drop("floatingip", floating["id"])
    await demo.show("floatingip", floating["id"], 404)


async def test_impossible_floating_ips_are_refused(demo, other):
    network, _ = await demo.network()
    public = (await demo.public())["id"]
    await demo.refuse("floatingip", 404, "NetworkNotFound", floating_network_id=MISSING)
    await demo.refuse("floatingip", 400, "BadRequest", floating_network_id=network["id"])
    await demo.refuse("floatingip", 404, "PortNotFound", floating_network_id=public, port_id=MISSING)
    await demo.refuse("floatingip", 400, "HTTPBadRequest", floating_network_id=public, port_id="nowhere")
    await demo.refuse("floatingip", 400, "HTTPBadRequest")
    await demo.refuse(
        "floatingip", 403, "PolicyNotAuthorized", floating_network_id=public, floating_ip_address="172.24.4.99"
    )
    port = await demo.make("port", network_id=network["id"])
    await demo.refuse(
        "floatingip", 404, "ExternalGatewayForFloatingIPNotFound", floating_network_id=public, port_id=port["id"]
    )
    mine = await other.make("floatingip", floating_network_id=public)
    await other.refuse_update("floatingip", mine["id"], 404, "PortNotFound", port_id=port["id"])
    await demo.show("floatingip", mine["id"], 404)
    share = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    await demo.make("rbac_policy", **share, target_tenant=mine["project_id"])
    theirs = await other.make("port", network_id=network["id"])
    await demo.refuse("floatingip", 400, "BadRequest", floating_network_id=public, port_id=theirs["id"])


async def test_agents_zones_and_extensions(demo, admin):
    agents = await admin.list("agent")
    assert {agent["host"] for agent in agents} == {"fake-1"}
    assert all(agent["alive"] for agent in agents)
    assert await demo.list("agent") == []
    zones = (await demo.call("GET", "availability_zones", 200))["availability_zones"]
    assert {zone["resource"] for zone in zones} == {"network", "router"}
    aliases = {extension["alias"] for extension in await demo.list("extension")}
    assert {"router", "security-group", "quotas", "standard-attr-tag"} <= aliases
    assert (await demo.call("GET", "extensions/nothing", 404))["NeutronError"]["type"] == "ExtensionNotFound"
    versions = (await demo.http.get("/networking/")).json()["versions"]
    assert versions[0]["id"] == "v2.0"
    assert (await demo.http.get("/networking/v2.0/networks", headers={"X-Auth-Token": ""})).status_code == 401
