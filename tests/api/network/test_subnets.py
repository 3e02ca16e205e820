"""Subnets: where addresses come from."""

import pytest


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
        (404, "NetworkNotFound", {"network_id": "nowhere"}),
        (404, "SubnetPoolNotFound", {"subnetpool_id": "nowhere", "cidr": None}),
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
    assert pool["min_prefixlen"] == 8
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
