"""RBAC policies: what is shared with whom, who may do so, and when it cannot be taken back."""

import pytest


async def _project(net):
    return (await net.make("network"))["project_id"]


async def _share(net, kind, id, project, action="access_as_shared"):
    return await net.make("rbac_policy", object_type=kind, object_id=id, target_tenant=project, action=action)


async def test_an_address_scope_in_use_stays_shared(demo, other):
    scope = await demo.make("address_scope", name="s", ip_version=4)
    policy = await _share(demo, "address_scope", scope["id"], await _project(other))
    pool = await other.make("subnetpool", name="p", prefixes=["10.20.0.0/16"], address_scope_id=scope["id"])
    assert await demo.drop("rbac_policy", policy["id"], 409) == "RbacPolicyInUse"
    await other.drop("subnetpool", pool["id"])
    await demo.drop("rbac_policy", policy["id"])


@pytest.mark.parametrize("kind", ["network", "security_group", "subnetpool"])
async def test_what_another_project_uses_stays_shared(demo, other, kind):
    theirs = await _project(other)
    made = {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24}}.get(kind, {})
    thing = await demo.make(kind, **made)
    policy = await _share(demo, kind, thing["id"], theirs)
    network, _ = await other.network()
    if kind == "network":
        user = "port", await other.make("port", network_id=thing["id"])
    elif kind == "security_group":
        user = "port", await other.make("port", network_id=network["id"], security_groups=[thing["id"]])
    else:
        made = {"network_id": (await other.make("network"))["id"], "ip_version": 4, "subnetpool_id": thing["id"]}
        user = "subnet", await other.make("subnet", **made)
    assert await demo.drop("rbac_policy", policy["id"], 409) == "RbacPolicyInUse"
    elsewhere = {"target_tenant": "0" * 32}
    assert await demo.refuse_update("rbac_policy", policy["id"], 409, "RbacPolicyInUse", **elsewhere)
    await other.drop(user[0], user[1]["id"])
    await demo.drop("rbac_policy", policy["id"])


async def test_one_policy_may_go_while_another_covers_the_same_project(admin, other):
    theirs = await _project(other)
    network = await admin.make("network", shared=True)
    await other.make("port", network_id=network["id"])
    own = await _share(admin, "network", network["id"], theirs)
    assert (await admin.update("network", network["id"], shared=False))["shared"] is False
    await admin.update("network", network["id"], shared=True)
    await admin.drop("rbac_policy", own["id"])
    await admin.refuse_update("network", network["id"], 409, "InvalidSharedSetting", shared=False)


async def test_a_network_external_to_one_project_is_external(admin, demo, other):
    theirs, ours = await _project(other), await _project(demo)
    network = await admin.make("network")
    await admin.make("subnet", network_id=network["id"], cidr="203.0.113.0/24", ip_version=4)
    policy = await _share(admin, "network", network["id"], theirs, "access_as_external")
    assert (await admin.show("network", network["id"]))["router:external"] is True
    assert network["id"] in [n["id"] for n in await admin.list("network", "router:external=true")]
    await demo.show("network", network["id"], 404)
    await demo.refuse("floatingip", 404, "NetworkNotFound", floating_network_id=network["id"])
    router = await other.make("router", external_gateway_info={"network_id": network["id"]})
    assert await admin.drop("rbac_policy", policy["id"], 409) == "RbacPolicyInUse"
    everybody = await _share(admin, "network", network["id"], "*", "access_as_external")
    await admin.drop("rbac_policy", policy["id"])
    assert await admin.drop("rbac_policy", everybody["id"], 409) == "RbacPolicyInUse"
    await admin.refuse_update("rbac_policy", everybody["id"], 409, "RbacPolicyInUse", target_tenant=ours)
    assert (await admin.update("rbac_policy", everybody["id"], target_tenant=theirs))["target_tenant"] == theirs
    await other.drop("router", router["id"])
    await admin.drop("rbac_policy", everybody["id"])
    assert (await admin.show("network", network["id"]))["router:external"] is False


async def test_a_member_lends_its_network_as_external_to_a_project_but_not_to_all(demo, other):
    network = await demo.make("network")
    theirs = await _project(other)
    await _share(demo, "network", network["id"], theirs, "access_as_external")
    assert (await other.show("network", network["id"]))["router:external"] is True
    await demo.refuse(
        "rbac_policy", 403, "PolicyNotAuthorized",
        object_type="network", object_id=network["id"], target_tenant="*", action="access_as_external",
    )  # fmt: skip


async def test_the_default_external_network_stays_everybodys(admin):
    public = await admin.public()
    await admin.update("network", public["id"], is_default=True)
    (policy,) = await admin.list("rbac_policy", f"object_id={public['id']}&action=access_as_external")
    assert await admin.drop("rbac_policy", policy["id"], 409) == "RbacPolicyInUse"


async def test_policies_are_their_owners(admin, demo):
    network = await admin.make("network")
    policy = await _share(admin, "network", network["id"], await _project(demo))
    assert await demo.list("rbac_policy") == []
    await demo.show("rbac_policy", policy["id"], 404)
    seen = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    await demo.refuse("rbac_policy", 400, "InvalidInput", **seen, target_tenant="0" * 32)
    hidden = {**seen, "object_id": (await admin.make("network"))["id"]}
    await demo.refuse("rbac_policy", 404, "RbacObjectNotFound", **hidden, target_tenant="0" * 32)


async def test_a_member_cannot_widen_a_policy_to_everybody(demo):
    network = await demo.make("network")
    policy = await _share(demo, "network", network["id"], "0" * 32)
    await demo.refuse_update("rbac_policy", policy["id"], 403, "PolicyNotAuthorized", target_tenant="*")
    assert (await demo.show("rbac_policy", policy["id"]))["target_tenant"] == "0" * 32


@pytest.mark.parametrize("project", ["1" * 300, "", "somebody", None])
async def test_a_policy_names_a_project_or_everybody(demo, project):
    network = await demo.make("network")
    named = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    await demo.refuse("rbac_policy", 400, "HTTPBadRequest", **named, target_tenant=project)


async def test_sharing_and_subnets_count_as_changes_of_the_network(demo):
    network = await demo.make("network")
    seen = [network["revision_number"]]

    async def grown():
        seen.append((await demo.show("network", network["id"]))["revision_number"])
        return seen[-1] > seen[-2]

    policy = await _share(demo, "network", network["id"], "0" * 32)
    assert await grown()
    await demo.update("rbac_policy", policy["id"], target_tenant="1" * 32)
    assert await grown()
    await demo.drop("rbac_policy", policy["id"])
    assert await grown()
    subnet = await demo.make("subnet", network_id=network["id"], cidr="10.9.0.0/24", ip_version=4)
    assert await grown()
    await demo.update("subnet", subnet["id"], name="renamed")
    assert await grown()
    await demo.drop("subnet", subnet["id"])
    assert await grown()
