"""Subnets: where addresses come from."""

import pytest

from tests.api.network.conftest import MISSING


async def test_defaults_leave_out_the_gateway(demo):
    _, subnet = await demo.network("10.1.2.9/24")
    assert subnet["cidr"] == "10.1.2.0/24"
    assert subnet["gateway_ip"] == "10.1.2.1"
    assert subnet["allocation_pools"] == [{"start": "10.1.2.2", "end": "10.1.2.254"}]


async def test_a_gateway_in_the_middle_splits_the_pool(demo):
    _, subnet = await demo.network("10.1.2.0/28", gateway_ip="10.1.2.5")
    assert subnet["allocation_pools"] == [
        {"start": "10.1.2.1", "end": "10.1.2.4"},
        {"start": "10.1.2.6", "end": "10.1.2.14"},
    ]


async def test_ipv6_and_no_gateway(demo):
    _, subnet = await demo.network("2001:db8::/64", gateway_ip=None)
    assert subnet["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "2001:db8::1", "end": "2001:db8::ffff:ffff:ffff:ffff"}]


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, "HTTPBadRequest", {"cidr": "10.0.0.300/24"}),
        (400, "InvalidInput", {"cidr": "10.3.0.0/24", "ip_version": 6}),
        (400, "InvalidInput", {"cidr": "10.3.0.0/24", "ip_version": None}),
        (400, "InvalidInput", {"cidr": None}),
        (400, "InvalidInput", {"cidr": "10.3.0.0/31"}),
        (400, "InvalidInput", {"gateway_ip": "10.3.0.0"}),
        (400, "InvalidInput", {"gateway_ip": "2001:db8::1"}),
        (400, "HTTPBadRequest", {"gateway_ip": "here"}),
        (409, "GatewayConflictWithAllocationPools", {"allocation_pools": [{"start": "10.3.0.1", "end": "10.3.0.9"}]}),
        (400, "OutOfBoundsAllocationPool", {"allocation_pools": [{"start": "10.3.0.250", "end": "10.3.1.9"}]}),
        (400, "InvalidAllocationPool", {"allocation_pools": [{"start": "10.3.0.20", "end": "10.3.0.9"}]}),
        (
            409,
            "OverlappingAllocationPools",
            {"allocation_pools": [{"start": "10.3.0.5", "end": "10.3.0.9"}, {"start": "10.3.0.8", "end": "10.3.0.12"}]},
        ),
        (400, "HTTPBadRequest", {"allocation_pools": [{"start": "10.3.0.5"}]}),
        (400, "HTTPBadRequest", {"dns_nameservers": ["dns"]}),
        (400, "InvalidInput", {"dns_nameservers": ["1.1.1.1", "1.1.1.1"]}),
        (400, "HTTPBadRequest", {"host_routes": [{"destination": "x", "nexthop": "10.3.0.7"}]}),
        (400, "HTTPBadRequest", {"host_routes": [{"destination": "10.0.0.0/8"}]}),
        (400, "InvalidInput", {"ipv6_ra_mode": "slaac"}),
        (400, "HTTPBadRequest", {"ipv6_ra_mode": "magic"}),
        (404, "NetworkNotFound", {"network_id": MISSING}),
        (404, "SubnetPoolNotFound", {"subnetpool_id": MISSING, "cidr": None}),
        (400, "HTTPBadRequest", {"subnetpool_id": "nowhere", "cidr": None}),
    ],
)
async def test_impossible_subnets_are_refused(demo, status, kind, body):
    network = await demo.make("network")
    given = {"network_id": network["id"], "cidr": "10.3.0.0/24", "ip_version": 4, **body}
    await demo.refuse("subnet", status, kind, **{k: v for k, v in given.items() if v is not None})
    assert await demo.list("subnet", f"network_id={network['id']}") == []


async def test_overlaps_are_refused_on_one_network_only(demo):
    network, _ = await demo.network("10.4.0.0/16")
    message = await demo.refuse(
        "subnet", 400, "InvalidInput", network_id=network["id"], cidr="10.4.3.0/24", ip_version=4
    )
    assert "overlaps with another subnet" in message
    await demo.network("10.4.3.0/24")


async def test_a_subnet_is_cut_from_the_default_pool(demo):
    network = await demo.make("network")
    first = await demo.make("subnet", network_id=network["id"], ip_version=4, use_default_subnetpool=True)
    second = await demo.make("subnet", network_id=network["id"], ip_version=4, use_default_subnetpool=True)
    assert first["cidr"].endswith("/26")
    assert first["cidr"] != second["cidr"]
    assert first["subnetpool_id"] == second["subnetpool_id"]
    await demo.refuse(
        "subnet", 400, "MinPrefixSubnetAllocationError",
        network_id=network["id"], ip_version=4, subnetpool_id=first["subnetpool_id"], prefixlen=7,
    )  # fmt: skip


async def test_a_gateway_that_a_router_holds_cannot_be_changed(demo):
    _, subnet = await demo.network()
    assert (await demo.update("subnet", subnet["id"], gateway_ip=None))["gateway_ip"] is None
    assert (await demo.update("subnet", subnet["id"], gateway_ip="10.7.0.1"))["gateway_ip"] == "10.7.0.1"
    router = await demo.make("router")
    await demo.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    await demo.refuse_update("subnet", subnet["id"], 409, "GatewayIpInUse", gateway_ip="10.7.0.254")


async def test_pools_of_prefixes(demo, admin):
    scope = await demo.make("address_scope", name="s", ip_version=4)
    pool = await demo.make(
        "subnetpool", name="p", prefixes=["10.20.0.0/16", "10.21.0.0/16"], default_prefixlen=24,
        address_scope_id=scope["id"],
    )  # fmt: skip
    assert pool["prefixes"] == ["10.20.0.0/15"]
    assert (pool["min_prefixlen"], pool["default_prefixlen"], pool["max_prefixlen"]) == ("8", "24", "32")
    network = await demo.make("network")
    subnet = await demo.make("subnet", network_id=network["id"], subnetpool_id=pool["id"], ip_version=4)
    assert subnet["cidr"] == "10.20.0.0/24"
    assert (await demo.show("network", network["id"]))["ipv4_address_scope"] == scope["id"]
    assert await demo.drop("subnetpool", pool["id"], 409) == "SubnetPoolDeleteError"
    assert await demo.drop("address_scope", scope["id"], 409) == "AddressScopeInUse"
    more = await demo.call("PUT", f"subnetpools/{pool['id']}/add_prefixes", 200, {"prefixes": ["10.22.0.0/24"]})
    assert "10.22.0.0/24" in more["prefixes"]
    await demo.call("PUT", f"subnetpools/{pool['id']}/remove_prefixes", 409, {"prefixes": ["10.20.0.0/16"]})
    less = await demo.call("PUT", f"subnetpools/{pool['id']}/remove_prefixes", 200, {"prefixes": ["10.22.0.0/24"]})
    assert less["prefixes"] == ["10.20.0.0/15"]
    await demo.refuse("subnetpool", 403, "PolicyNotAuthorized", name="q", prefixes=["10.0.0.0/8"], shared=True)
    await demo.refuse(
        "subnetpool",
        400,
        "IllegalSubnetPoolPrefixBounds",
        name="q",
        prefixes=["10.0.0.0/8"],
        min_prefixlen=30,
        max_prefixlen=20,
    )
    await demo.refuse("subnetpool", 400, "PrefixVersionMismatch", name="q", prefixes=["10.0.0.0/8", "fd00::/48"])


async def test_addresses_left_are_counted_for_the_operator(demo, admin):
    network, _ = await demo.network("10.8.0.0/28")
    await demo.make("port", network_id=network["id"])
    found = (await admin.call("GET", f"network-ip-availabilities/{network['id']}", 200))["network_ip_availability"]
    assert found["total_ips"] == 13
    assert found["used_ips"] == 1
    await demo.call("GET", "network-ip-availabilities", 403)


async def test_an_address_of_a_scope_is_in_one_of_its_pools(demo):
    scope = (await demo.make("address_scope", name="s", ip_version=4))["id"]
    pool = await demo.make("subnetpool", name="p", prefixes=["10.20.0.0/16"], address_scope_id=scope)
    await demo.refuse(
        "subnetpool", 409, "AddressScopePrefixConflict", name="q", prefixes=["10.20.0.0/24"], address_scope_id=scope
    )
    other = await demo.make("subnetpool", name="q", prefixes=["10.30.0.0/16"], address_scope_id=scope)
    over = {"prefixes": ["10.0.0.0/8"]}
    await demo.refuse_update("subnetpool", other["id"], 409, "AddressScopePrefixConflict", **over)
    await demo.call("PUT", f"subnetpools/{other['id']}/add_prefixes", 409, {"prefixes": ["10.20.0.0/24"]})
    free = await demo.make("subnetpool", name="r", prefixes=["10.20.0.0/16"])
    await demo.refuse_update("subnetpool", free["id"], 409, "AddressScopePrefixConflict", address_scope_id=scope)
    assert (await demo.update("subnetpool", pool["id"], prefixes=["10.20.0.0/15"]))["prefixes"] == ["10.20.0.0/15"]
    missing = {"name": "x", "prefixes": ["10.0.0.0/8"], "address_scope_id": MISSING}
    await demo.refuse("subnetpool", 404, "AddressScopeNotFound", **missing)
    await demo.refuse("subnetpool", 400, "HTTPBadRequest", **{**missing, "address_scope_id": "scope"})
    assert (await demo.show("address_scope", MISSING, 404))["type"] == "AddressScopeNotFound"


async def test_a_pool_in_somebody_elses_scope_is_not_changed(admin, demo, other):
    scope = (await admin.make("address_scope", name="s", ip_version=4, shared=True))["id"]
    pool = await demo.make("subnetpool", name="p", prefixes=["10.20.0.0/16"], address_scope_id=scope)
    await demo.refuse_update("subnetpool", pool["id"], 400, "IllegalSubnetPoolUpdate", prefixes=["10.20.0.0/15"])
    await demo.call("PUT", f"subnetpools/{pool['id']}/remove_prefixes", 400, {"prefixes": ["10.20.0.0/24"]})
    await admin.update("subnetpool", pool["id"], prefixes=["10.20.0.0/15"])
    await demo.refuse_update("subnetpool", pool["id"], 400, "HTTPBadRequest", shared=True)
    await other.refuse_update("subnetpool", pool["id"], 404, "SubnetPoolNotFound", name="mine")


async def test_a_pool_is_shared_with_whom_its_scope_is(admin, demo, other):
    ours, theirs = [(await net.make("network"))["project_id"] for net in (demo, other)]
    scope = (await admin.make("address_scope", name="s", ip_version=4))["id"]
    share = {"action": "access_as_shared", "object_type": "address_scope", "object_id": scope}
    await admin.make("rbac_policy", **share, target_tenant=ours)
    pool = await demo.make("subnetpool", name="p", prefixes=["10.20.0.0/16"], address_scope_id=scope)
    share = {**share, "object_type": "subnetpool", "object_id": pool["id"]}
    await demo.refuse("rbac_policy", 400, "InvalidInput", **share, target_tenant=theirs)


async def test_the_smallest_packet_of_each_version(admin):
    network = await admin.make("network", mtu=1000)
    four = {"network_id": network["id"], "cidr": "10.9.0.0/24", "ip_version": 4}
    six = {"network_id": network["id"], "cidr": "fd00::/64", "ip_version": 6}
    await admin.refuse("subnet", 409, "NetworkMTUSubnetConflict", **six)
    await admin.make("subnet", **four)
    await admin.refuse_update("network", network["id"], 409, "NetworkMTUSubnetConflict", mtu=67)
    await admin.update("network", network["id"], mtu=1280)
    await admin.make("subnet", **six)
    await admin.refuse_update("network", network["id"], 409, "NetworkMTUSubnetConflict", mtu=1279)
    await admin.refuse(
        "subnet", 409, "NetworkMTUSubnetConflict", **{**four, "network_id": (await admin.make("network", mtu=60))["id"]}
    )


async def test_an_address_outside_a_pool_is_a_conflict(demo):
    pool = await demo.make("subnetpool", name="p", prefixes=["10.20.0.0/16"])
    network = await demo.make("network")
    wanted = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"], "cidr": "10.99.0.0/24"}
    await demo.refuse("subnet", 409, "SubnetAllocationError", **wanted)


async def test_an_owner_says_whose_ports_a_subnet_is_for(demo):
    network, subnet = await demo.network(service_types=["network:router_interface"])
    assert subnet["service_types"] == ["network:router_interface"]
    assert (await demo.make("port", network_id=network["id"]))["fixed_ips"] == []
    await demo.update("subnet", subnet["id"], service_types=["compute:"])
    assert len((await demo.make("port", network_id=network["id"], device_owner="compute:nova"))["fixed_ips"]) == 1
