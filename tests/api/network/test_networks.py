"""Networks: what a user makes, sees, shares and removes."""

from pileus.kernel.rest.limits import LimitSettings


async def test_a_new_cloud_has_a_way_out_and_a_private_network(demo):
    by_name = {network["name"]: network for network in await demo.list("network")}
    assert by_name["public"]["router:external"] is True
    assert by_name["private"]["mtu"] == 1450
    assert "provider:network_type" not in by_name["private"]
    (router,) = await demo.list("router")
    assert router["external_gateway_info"]["network_id"] == by_name["public"]["id"]
    assert router["external_gateway_info"]["enable_snat"] is True


async def test_a_network_is_made_shown_changed_and_removed(demo):
    made = await demo.make("network", name="a", description="mine", admin_state_up="false")
    assert made["status"] == "ACTIVE"
    assert made["admin_state_up"] is False
    assert made["tenant_id"] == made["project_id"]
    assert made["created_at"].endswith("Z")
    assert len(made["created_at"]) == 20
    changed = await demo.update("network", made["id"], name="b")
    assert changed["name"] == "b"
    assert changed["revision_number"] == made["revision_number"] + 1
    await demo.drop("network", made["id"])
    error = await demo.show("network", made["id"], 404)
    assert error["type"] == "NetworkNotFound"


async def test_many_are_made_at_once_or_none(demo):
    body = {"networks": [{"name": "x1"}, {"name": "x2"}]}
    made = (await demo.call("POST", "networks", 201, body))["networks"]
    assert [network["name"] for network in made] == ["x1", "x2"]
    await demo.call("POST", "networks", 400, {"networks": [{"name": "y1"}, {"name": 5}]})
    assert await demo.list("network", "name=y1") == []


async def test_so_many_are_made_at_once_and_no_more(demo):
    """They are counted before anything is done: none is made, and a wrong one among them is not even looked at."""
    wanted = [{"name": f"z{at}"} for at in range(LimitSettings().bulk)]
    answer = await demo.call("POST", "networks", 400, {"networks": [*wanted, {"name": 5}]})
    assert "51 things at once; at most 50" in answer["NeutronError"]["message"]
    assert await demo.list("network", "name=z1") == []


async def test_bad_bodies_are_refused_and_named(demo):
    assert "colour" in await demo.refuse("network", 400, "HTTPBadRequest", colour="red")
    assert "name" in await demo.refuse("network", 400, "HTTPBadRequest", name="x" * 256)
    assert "status" in await demo.refuse("network", 400, "HTTPBadRequest", status="DOWN")
    assert "mtu" in await demo.refuse("network", 400, "HTTPBadRequest", mtu=-1)
    assert "maximum is 1450" in await demo.refuse("network", 400, "InvalidInput", mtu=9000)
    await demo.call("POST", "networks", 400, {"net": {}})
    await demo.call("POST", "networks", 400, {"networks": []})
    await demo.call("POST", "networks", 400, [1])
    made = await demo.make("network")
    assert "status" in await demo.refuse_update("network", made["id"], 400, "HTTPBadRequest", status="DOWN")


async def test_what_is_the_operators_is_refused_to_others(demo, admin):
    await demo.refuse("network", 403, "PolicyNotAuthorized", shared=True)
    await demo.refuse("network", 403, "PolicyNotAuthorized", **{"router:external": True})
    await demo.refuse("network", 403, "PolicyNotAuthorized", **{"provider:network_type": "local"})
    assert (await demo.make("network", shared=False))["shared"] is False
    made = await admin.make("network", **{"provider:network_type": "vxlan", "provider:segmentation_id": 4711})
    assert made["provider:segmentation_id"] == 4711
    await admin.refuse(
        "network", 409, "TunnelIdInUse", **{"provider:network_type": "vxlan", "provider:segmentation_id": 4711}
    )
    await admin.refuse("network", 400, "InvalidInput", **{"provider:network_type": "vlan"})


async def test_foreign_networks_are_not_there(demo, other):
    made = await demo.make("network")
    assert (await other.show("network", made["id"], 404))["type"] == "NetworkNotFound"
    assert await other.drop("network", made["id"], 404) == "NetworkNotFound"
    await other.refuse_update("network", made["id"], 404, "NetworkNotFound", name="stolen")
    assert made["id"] not in {network["id"] for network in await other.list("network")}
    await other.refuse("network", 400, "HTTPBadRequest", project_id=made["project_id"])
    await other.refuse("subnet", 404, "NetworkNotFound", network_id=made["id"], cidr="10.0.0.0/24", ip_version=4)
    await other.refuse("port", 404, "NetworkNotFound", network_id=made["id"])


async def test_a_shared_network_can_be_used_but_not_changed(admin, demo):
    network = await admin.make("network", name="common", shared=True)
    subnet = await admin.make("subnet", network_id=network["id"], cidr="10.9.0.0/24", ip_version=4)
    assert (await demo.show("network", network["id"]))["shared"] is True
    assert (await demo.show("subnet", subnet["id"]))["cidr"] == "10.9.0.0/24"
    assert [n["id"] for n in await demo.list("network", "shared=true")] == [network["id"]]
    await demo.refuse_update("network", network["id"], 403, "PolicyNotAuthorized", name="x")
    assert await demo.drop("network", network["id"], 403) == "PolicyNotAuthorized"
    port = await demo.make("port", network_id=network["id"])
    await demo.refuse(
        "port", 403, "PolicyNotAuthorized", network_id=network["id"], fixed_ips=[{"ip_address": "10.9.0.77"}]
    )
    await admin.refuse_update("network", network["id"], 409, "InvalidSharedSetting", shared=False)
    await demo.drop("port", port["id"])
    assert (await admin.update("network", network["id"], shared=False))["shared"] is False
    await demo.show("network", network["id"], 404)


async def test_a_network_shared_with_one_project_by_a_policy(demo, other):
    network = await demo.make("network")
    await other.show("network", network["id"], 404)
    theirs = (await other.call("GET", "quotas/project", 200))["project"]["project_id"]
    policy = await demo.make(
        "rbac_policy", object_type="network", object_id=network["id"], target_tenant=theirs, action="access_as_shared"
    )
    assert (await other.show("network", network["id"]))["shared"] is True
    assert (await demo.show("network", network["id"]))["shared"] is False
    port = await other.make("port", network_id=network["id"])
    assert await demo.drop("rbac_policy", policy["id"], 409) == "RbacPolicyInUse"
    await other.drop("port", port["id"])
    await demo.drop("rbac_policy", policy["id"])
    await other.show("network", network["id"], 404)
    await demo.refuse(
        "rbac_policy", 403, "PolicyNotAuthorized",
        object_type="network", object_id=network["id"], target_tenant="*", action="access_as_shared",
    )  # fmt: skip


async def test_a_network_in_use_stays(demo):
    network, subnet = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    assert await demo.drop("network", network["id"], 409) == "NetworkInUse"
    assert await demo.drop("subnet", subnet["id"], 409) == "SubnetInUse"
    await demo.drop("port", port["id"])
    await demo.drop("network", network["id"])
    await demo.show("subnet", subnet["id"], 404)


async def test_quota_is_kept_and_its_details_are_counted(admin, demo):
    mine = (await demo.call("GET", "quotas/project", 200))["project"]["project_id"]
    used = (await demo.call("GET", f"quotas/{mine}/details", 200))["quota"]["network"]["used"]
    await admin.call("PUT", f"quotas/{mine}", 200, {"quota": {"network": used + 1}})
    await demo.make("network")
    message = await demo.refuse("network", 409, "OverQuota")
    assert "['network']" in message
    details = (await demo.call("GET", f"quotas/{mine}/details", 200))["quota"]
    assert details["network"] == {"limit": used + 1, "used": used + 1, "reserved": 0}
    await demo.call("PUT", f"quotas/{mine}", 403, {"quota": {"network": -1}})
    await admin.call("PUT", f"quotas/{mine}", 400, {"quota": {"networks": 1}})
    await admin.call("PUT", f"quotas/{mine}", 400, {"quota": {"network": "many"}})
    await admin.call("DELETE", f"quotas/{mine}", 204)
    assert (await demo.call("GET", f"quotas/{mine}", 200))["quota"]["network"] == 100


async def test_a_change_can_insist_on_the_revision_it_was_made_for(demo):
    made = await demo.make("network", name="a")
    path, body = f"networks/{made['id']}", {"network": {"name": "b"}}
    header = {"If-Match": f"revision_number={made['revision_number']}"}
    await demo.call("PUT", path, 200, body, headers=header)
    error = await demo.call("PUT", path, 412, body, headers=header)
    assert error["NeutronError"]["type"] == "RevisionNumberConstraintFailed"
    await demo.call("DELETE", path, 412, headers=header)
    await demo.call("PUT", path, 400, body, headers={"If-Match": "new"})
