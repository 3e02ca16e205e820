"""What a port is stands in rows that the services write; the words that users set on a port give them nothing."""

import asyncio

import pytest

from pileus.services.network import public

ROUTER_WORD = "network:router_interface"


async def plugged(net, cidr="10.7.0.0/24"):
    network, subnet = await net.network(cidr)
    router = await net.make("router", external_gateway_info={"network_id": (await net.public())["id"]})
    leg = await net.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    return network, subnet, router, leg


async def legs_on_host(net, router_id):
    """Return the legs of a router as its host was told last, once it has been told all there is."""
    await net.runtime.reconcilers.run_once("network.hosts")
    driver = net.runtime.local_hosts.hosts["fake-1"].parts[0].driver
    for _ in range(500):
        if router_id in driver.routers:
            return [leg.port_id for leg in driver.routers[router_id].interfaces]
        await asyncio.sleep(0.01)
    raise AssertionError(f"router {router_id} did not come to its host")


async def card_of(net, network_id, server_id="server"):
    project = (await net.call("GET", "quotas/project", 200))["project"]["project_id"]
    ctx = net.runtime.internal(project_id=project)
    return await net.runtime.db.write(
        lambda tx: public.create_port_for_server(
            tx, ctx, network_id=network_id, server_id=server_id, project_id=project
        )
    )


async def test_no_word_plugs_a_network_into_a_foreign_router(demo, other):
    _, _, router, _ = await plugged(demo)
    network, _ = await other.network("10.9.0.0/24")
    words = {"device_owner": ROUTER_WORD, "device_id": router["id"]}
    sentence = await other.refuse("port", 403, "PolicyNotAuthorized", network_id=network["id"], **words)
    assert "add_router_interface" in sentence
    await other.refuse("port", 409, "DeviceIDNotOwnedByTenant", network_id=network["id"], device_id=router["id"])
    port = await other.make("port", network_id=network["id"])
    await other.refuse_update("port", port["id"], 403, "PolicyNotAuthorized", **words)
    await other.refuse_update("port", port["id"], 409, "DeviceIDNotOwnedByTenant", device_id=router["id"])
    shown = await other.show("port", port["id"])
    assert (shown["device_id"], shown["device_owner"]) == ("", "")


async def test_words_that_an_operator_writes_make_no_leg(demo, other, admin):
    _, _, router, leg = await plugged(demo)
    network, subnet = await other.network("10.9.0.0/24")
    port = await admin.make(
        "port", network_id=network["id"], device_id=router["id"], device_owner="network:ha_router_replicated_interface"
    )
    await other.update("subnet", subnet["id"], dns_nameservers=["9.9.9.9"])
    await demo.update("router", router["id"], name="told anew")
    assert await legs_on_host(demo, router["id"]) == [leg["port_id"]]
    fip = {"floating_network_id": (await other.public())["id"]}
    guest = await other.make("port", network_id=network["id"])
    await other.refuse("floatingip", 404, "ExternalGatewayForFloatingIPNotFound", port_id=guest["id"], **fip)
    await demo.call("PUT", f"routers/{router['id']}/remove_router_interface", 200, {"port_id": leg["port_id"]})
    await demo.drop("router", router["id"])
    assert (await admin.show("port", port["id"]))["device_id"] == router["id"]


@pytest.mark.parametrize("word", [ROUTER_WORD, "network:router_gateway", "network:dhcp", "network:floatingip"])
async def test_nobody_claims_the_name_of_a_role(demo, admin, word):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    for caller in (demo, admin):
        await caller.refuse("port", 403, "PolicyNotAuthorized", network_id=network["id"], device_owner=word)
        await caller.refuse_update("port", port["id"], 403, "PolicyNotAuthorized", device_owner=word)


async def test_a_port_that_is_held_keeps_its_words(demo, admin):
    network, _, _, leg = await plugged(demo)
    card = await card_of(demo, network["id"])
    for port_id in (leg["port_id"], card):
        shown = await demo.show("port", port_id)
        for words in ({"device_id": ""}, {"device_owner": ""}, {"device_id": "another", "device_owner": "compute:x"}):
            for caller in (demo, admin):
                await caller.refuse_update("port", port_id, 409, "PortInUse", **words)
        words = {name: shown[name] for name in ("device_id", "device_owner")}
        assert (await demo.update("port", port_id, name="renamed", **words))["name"] == "renamed"


async def test_a_server_of_another_project_is_not_claimed(demo, other, admin):
    network, _ = await demo.network()
    await card_of(demo, network["id"], server_id="server-of-demo")
    mine, _ = await other.network("10.9.0.0/24")
    words = {"device_id": "server-of-demo", "device_owner": "compute:nova"}
    await other.refuse("port", 409, "DeviceIDNotOwnedByTenant", network_id=mine["id"], **words)
    await demo.make("port", network_id=network["id"], **words)


async def test_a_port_keeps_the_words_that_other_programs_write(demo):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"], device_owner="compute:kuryr", device_id="a-pod")
    ctx = demo.runtime.internal(project_id=port["project_id"])
    with pytest.raises(Exception, match="still in use by a-pod"):
        await demo.runtime.db.write(lambda tx: public.claim_port(tx, ctx, port["id"], server_id="server"))
    freed = await demo.update("port", port["id"], device_id="", device_owner="")
    assert (freed["device_id"], freed["device_owner"]) == ("", "")
    await demo.runtime.db.write(lambda tx: public.claim_port(tx, ctx, port["id"], server_id="server"))
    assert (await demo.show("port", port["id"]))["device_id"] == "server"


async def test_metadata_through_a_router_is_for_guests_of_its_own_subnets(demo):
    network, _, router, _ = await plugged(demo)
    aside, _ = await demo.network("10.8.0.0/24")
    (leg,) = [await demo.make("subnet", network_id=aside["id"], cidr="10.6.0.0/24", ip_version=4)]
    await demo.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": leg["id"]})
    await demo.make("subnet", network_id=aside["id"], cidr="10.7.0.0/24", ip_version=4)
    right = await card_of(demo, network["id"], "right")
    ip = (await demo.show("port", right))["fixed_ips"][0]["ip_address"]
    project = (await demo.show("port", right))["project_id"]
    ctx = demo.runtime.internal(project_id=project)
    wrong = await demo.runtime.db.write(
        lambda tx: public.create_port_for_server(
            tx, ctx, network_id=aside["id"], server_id="wrong", project_id=project, fixed_ip=ip
        )
    )
    find = lambda tx: public.find_guest(tx, ip, router_id=router["id"])  # noqa: E731
    found = await demo.runtime.db.read(find)
    assert found is not None
    assert (found.id, wrong != right) == (right, True)
