"""Security groups: who may talk to whom."""

import asyncio

import pytest


async def test_every_project_finds_its_default_group(other):
    (default,) = await other.list("security_group")
    assert default["name"] == "default"
    rules = {
        (rule["direction"], rule["ethertype"], rule["remote_group_id"]) for rule in default["security_group_rules"]
    }
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    }
    assert await other.drop("security_group", default["id"], 409) == "SecurityGroupCannotRemoveDefault"
    await other.refuse("security_group", 409, "SecurityGroupDefaultAlreadyExists", name="default")
    await other.refuse_update("security_group", default["id"], 409, "SecurityGroupCannotUpdateDefault", name="x")


async def test_the_default_group_is_made_once_however_many_ask(other):
    answers = await asyncio.gather(*(other.list("security_group") for _ in range(5)))
    assert len({tuple(group["id"] for group in answer) for answer in answers}) == 1


async def test_a_group_is_made_used_and_removed(demo):
    group = await demo.make("security_group", name="web", description="d")
    assert len(group["security_group_rules"]) == 2
    rule = await demo.make(
        "security_group_rule", security_group_id=group["id"], direction="ingress", protocol="TCP",
        port_range_min=80, port_range_max="80", remote_ip_prefix="10.0.0.7/8",
    )  # fmt: skip
    assert (rule["protocol"], rule["ethertype"], rule["remote_ip_prefix"]) == ("tcp", "IPv4", "10.0.0.7/8")
    assert rule["normalized_cidr"] == "10.0.0.0/8"
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"], security_groups=[group["id"]])
    assert [p["id"] for p in await demo.list("port", f"security_groups={group['id']}")] == [port["id"]]
    assert await demo.drop("security_group", group["id"], 409) == "SecurityGroupInUse"
    assert (await demo.update("port", port["id"], security_groups=[]))["security_groups"] == []
    await demo.drop("security_group", group["id"])
    await demo.show("security_group_rule", rule["id"], 404)


@pytest.mark.parametrize(
    ("code", "kind", "body"),
    [
        (400, "HTTPBadRequest", {"direction": "up"}),
        (400, "SecurityGroupRuleInvalidEtherType", {"ethertype": "IPX"}),
        (400, "SecurityGroupRuleInvalidProtocol", {"protocol": "carrier-pigeon"}),
        (400, "SecurityGroupRuleInvalidProtocol", {"protocol": 256}),
        (400, "SecurityGroupProtocolRequiredWithPorts", {"port_range_min": 1, "port_range_max": 2}),
        (400, "SecurityGroupInvalidPortRange", {"protocol": "tcp", "port_range_min": 9, "port_range_max": 2}),
        (400, "SecurityGroupInvalidPortValue", {"protocol": "tcp", "port_range_min": 9, "port_range_max": 65536}),
        (400, "SecurityGroupInvalidIcmpValue", {"protocol": "icmp", "port_range_min": 300}),
        (400, "SecurityGroupMissingIcmpType", {"protocol": "icmp", "port_range_max": 3}),
        (400, "HTTPBadRequest", {"remote_ip_prefix": "everywhere"}),
        (400, "SecurityGroupRuleParameterConflict", {"remote_ip_prefix": "2001:db8::/32"}),
        (400, "SecurityGroupEthertypeConflictWithProtocol", {"protocol": "ipv6-icmp"}),
        (400, "SecurityGroupEthertypeConflictWithProtocol", {"protocol": 41}),
        (400, "SecurityGroupEthertypeConflictWithProtocol", {"protocol": "58"}),
        (404, "SecurityGroupNotFound", {"remote_group_id": "nowhere"}),
        (404, "SecurityGroupNotFound", {"security_group_id": "nowhere"}),
        (409, "SecurityGroupRuleExists", {"direction": "egress"}),
    ],
)
async def test_impossible_rules_are_refused(demo, code, kind, body):
    group = await demo.make("security_group", name="g")
    await demo.refuse(
        "security_group_rule", code, kind, **{"security_group_id": group["id"], "direction": "ingress", **body}
    )
    assert len((await demo.show("security_group", group["id"]))["security_group_rules"]) == 2


async def test_a_port_is_either_filtered_by_state_or_not(demo):
    network, _ = await demo.network()
    kinds = [(await demo.make("security_group", name="g", stateful=stateful))["id"] for stateful in (True, False)]
    await demo.refuse("port", 409, "SecurityGroupConflict", network_id=network["id"], security_groups=kinds)
    port = await demo.make("port", network_id=network["id"], security_groups=kinds[:1])
    await demo.refuse_update("port", port["id"], 409, "SecurityGroupConflict", security_groups=kinds)
    await demo.refuse_update("port", port["id"], 400, "HTTPBadRequest", security_groups=[kinds[0], kinds[0]])
    assert (await demo.show("port", port["id"]))["security_groups"] == kinds[:1]


async def test_groups_go_before_port_security(demo):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    off = {"port_security_enabled": False}
    await demo.refuse_update("port", port["id"], 409, "PortSecurityPortHasSecurityGroup", **off)
    asked = {**off, "security_groups": port["security_groups"]}
    await demo.refuse_update("port", port["id"], 400, "PortSecurityAndIPRequiredForSecurityGroups", **asked)
    assert (await demo.update("port", port["id"], **off, security_groups=[]))["port_security_enabled"] is False


async def test_an_admin_who_lists_a_projects_groups_finds_its_default_one(admin, demo):
    project = (await admin.http.post("/identity/v3/projects", json={"project": {"name": "new"}})).json()["project"][
        "id"
    ]
    (default,) = await admin.list("security_group", f"project_id={project}")
    assert default["name"] == "default"
    assert await demo.list("security_group", f"project_id={project}") == []
    assert await admin.list("security_group", "project_id=nobody") == []


async def test_foreign_groups_are_not_there(demo, other):
    group = await demo.make("security_group", name="g")
    await other.show("security_group", group["id"], 404)
    await other.refuse(
        "security_group_rule", 404, "SecurityGroupNotFound", security_group_id=group["id"], direction="egress"
    )
    network, _ = await other.network()
    await other.refuse("port", 404, "SecurityGroupNotFound", network_id=network["id"], security_groups=[group["id"]])


async def test_hosts_hear_of_new_rules_and_members(demo, admin):
    group = await demo.make("security_group", name="g")
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"], security_groups=[group["id"]])
    await admin.update("port", port["id"], **{"binding:host_id": "fake-1"})
    await demo.until("port", port["id"], status="ACTIVE")
    driver = demo.runtime.local_hosts.hosts["fake-1"].parts[0].driver
    rule = await demo.make(
        "security_group_rule",
        security_group_id=group["id"],
        direction="ingress",
        protocol="icmp",
        remote_group_id=group["id"],
    )
    await _until(lambda: any(r.id == rule["id"] for r in driver.security_groups[group["id"]].rules))
    second = await demo.make("port", network_id=network["id"], security_groups=[group["id"]])
    await admin.update("port", second["id"], **{"binding:host_id": "fake-1"})
    first_ip, second_ip = (one["fixed_ips"][0]["ip_address"] for one in (port, second))
    await _until(lambda: driver.members[group["id"]] == {first_ip, second_ip})
    pairs = [{"ip_address": "10.8.0.0/24"}]
    await demo.update("port", second["id"], allowed_address_pairs=pairs)
    await _until(lambda: driver.members[group["id"]] == {first_ip, second_ip, "10.8.0.0/24"})
    await admin.update("port", second["id"], **{"binding:host_id": ""})
    await _until(lambda: driver.members[group["id"]] == {first_ip})
    await admin.update("port", second["id"], **{"binding:host_id": "fake-1"})
    await _until(lambda: driver.members[group["id"]] == {first_ip, second_ip, "10.8.0.0/24"})
    await demo.drop("port", second["id"])
    await _until(lambda: driver.members[group["id"]] == {first_ip})
    await demo.drop("security_group_rule", rule["id"])
    await _until(lambda: all(r.id != rule["id"] for r in driver.security_groups[group["id"]].rules))


async def _until(true):
    for _ in range(300):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the host was not told")


async def test_the_default_group_goes_with_its_project(admin):
    made = await admin.http.post("/identity/v3/projects", json={"project": {"name": "brief"}})
    project = made.json()["project"]["id"]
    await admin.make("network", project_id=project)
    assert len(await admin.list("security_group", f"project_id={project}")) == 1
    await admin.http.delete(f"/identity/v3/projects/{project}")
    for _ in range(300):
        if not await admin.list("security_group", f"project_id={project}"):
            break
        await asyncio.sleep(0.01)
    assert await admin.list("security_group", f"project_id={project}") == []
