"""Bodies: whatever a client sends for an attribute, it is taken or refused by name; it is never a failure of ours."""

from typing import Any

import pytest

from pileus.kernel.rest.regular import Resource
from pileus.services.network.api import floating_ips, networks, ports, rbac, routers, security_groups, subnet_pools
from pileus.services.network.api import subnets as subnets_api

MODULES = (floating_ips, networks, ports, rbac, routers, security_groups, subnet_pools, subnets_api)
RESOURCES: dict[str, Resource[Any]] = {
    value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Resource)
}
WRONG = (None, -7, 1.5, "\x01 %;", True, [], {}, [None], [7], [[]], [{}], [{"ip_address": 7, "subnet_id": {}}])
OPTION = {"opt_name": "a", "opt_value": "b"}
PAIRS = [{"destination": None, "nexthop": 7}, {"start": {}, "end": []}, {"opt_name": [], "opt_value": {}}]


def test_all_resources_are_tried():
    assert len(RESOURCES) == 10


@pytest.fixture
async def world(admin) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return a body with which each resource can be made, and one of each."""
    network, subnet = await admin.network()
    public = (await admin.public())["id"]
    group = await admin.make("security_group", name="g")
    bodies = {
        "network": {"name": "n"},
        "subnet": {"network_id": network["id"], "cidr": "10.99.0.0/24", "ip_version": 4},
        "port": {"network_id": network["id"], "name": "p"},
        "router": {"name": "r"},
        "floatingip": {"floating_network_id": public},
        "security_group": {"name": "s"},
        "security_group_rule": {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"},
        "subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"]},
        "address_scope": {"name": "a", "ip_version": 4},
        "rbac_policy": {
            "object_type": "network", "object_id": network["id"], "target_tenant": "0" * 32,
            "action": "access_as_shared",
        },
    }  # fmt: skip
    made = {kind: await admin.make(kind, **body) for kind, body in bodies.items() if kind != "subnet"}
    return bodies, {**made, "subnet": subnet}


@pytest.mark.parametrize("kind", sorted(RESOURCES))
async def test_no_value_of_an_attribute_is_a_failure(admin, world, kind):
    bodies, made = world
    resource = RESOURCES[kind]
    path = f"/networking/v2.0{resource.path}"
    failed = []
    for field in resource.fields:
        for value in (*WRONG, *([pair] for pair in PAIRS)):
            sent = []
            if "c" in field.attr.on:
                sent.append(("POST", path, {**bodies[kind], field.api: value}))
            if "u" in field.attr.on:
                sent.append(("PUT", f"{path}/{made[kind]['id']}", {field.api: value}))
            for method, url, body in sent:
                answer = await admin.http.request(method, url, json={kind: body})
                if answer.status_code >= 500 or (answer.status_code == 409 and "another one" in answer.text):
                    failed.append((method, field.api, value, answer.text))
    assert not failed
    await admin.show(kind, made[kind]["id"])


@pytest.mark.parametrize(
    ("kind", "attribute", "kept"),
    [
        ("port", "binding:profile", {}), ("port", "extra_dhcp_opts", [{**OPTION, "ip_version": 4}]),
        ("port", "allowed_address_pairs", []), ("port", "security_groups", []), ("port", "binding:host_id", ""),
        ("subnet", "dns_nameservers", []), ("subnet", "host_routes", []), ("subnet", "service_types", []),
        ("router", "routes", []), ("router", "external_gateway_info", None), ("subnet", "gateway_ip", None),
    ],
)  # fmt: skip
async def test_what_null_means(admin, kind, attribute, kept):
    network, subnet = await admin.network()
    more = (
        {"extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b"}], "network_id": network["id"]}
        if kind == "port"
        else {}
    )
    thing = subnet if kind == "subnet" else await admin.make(kind, **more)
    assert (await admin.update(kind, thing["id"], **{attribute: None}))[attribute] == kept


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("port", "name"), ("port", "fixed_ips"), ("port", "mac_address"), ("port", "port_security_enabled"),
        ("network", "mtu"), ("network", "provider:network_type"), ("router", "description"),
        ("subnetpool", "default_quota"), ("subnetpool", "min_prefixlen"),
    ],
)  # fmt: skip
async def test_what_cannot_be_null(admin, kind, attribute):
    body = {"network_id": "0" * 32, "name": "x", "prefixes": ["10.0.0.0/8"]}
    known = RESOURCES[kind].by_api
    given = {**{name: value for name, value in body.items() if name in known}, attribute: None}
    message = await admin.refuse(kind, 400, "HTTPBadRequest", **given)
    assert message.startswith(f"Invalid input for {attribute}. Reason:")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("subnet", {"cidr": "fe80::1%x/64", "ip_version": 6}),
        ("subnet", {"cidr": "fd00::/64", "ip_version": 6, "dns_nameservers": ["fe80::1%\nx"]}),
        ("subnet", {"cidr": "fd00::/64", "ip_version": 6, "gateway_ip": "fe80::1%; x"}),
        ("port", {"allowed_address_pairs": [{"ip_address": "fe80::1%; x"}]}),
    ],
)
async def test_zones_of_ipv6_are_no_addresses(demo, kind, body):
    network = await demo.make("network")
    await demo.refuse(kind, 400, "HTTPBadRequest", network_id=network["id"], **body)


@pytest.mark.parametrize("domain", ["x\ndhcp-script=/bin/true", "x.\n", "example.org", "a b.", "-a.", "x/y."])
async def test_a_domain_of_the_dns_holds_names_and_dots_only(demo, domain):
    """The hosts' DHCP servers read it from their configuration."""
    message = await demo.refuse("network", 400, "HTTPBadRequest", dns_domain=domain)
    assert "a domain that ends with a dot" in message
    assert (await demo.make("network", dns_domain="Sub.example.org."))["dns_domain"] == "Sub.example.org."


async def test_an_id_with_a_line_break_is_none(demo):
    await demo.refuse("port", 400, "HTTPBadRequest", network_id=f"{'0' * 32}\n")
