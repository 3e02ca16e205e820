"""Ids of other projects' things in bodies: answered like ids of nothing, wherever they stand."""

from tests.api.network.conftest import MISSING, collection


async def alike(net, method, path, body, id):
    """Insist that what is answered to a foreign id is what is answered to one of nothing."""
    answers = [await net.http.request(method, f"/networking/v2.0/{path}", json=body(tried)) for tried in (id, MISSING)]
    assert answers[0].status_code == answers[1].status_code == 404, (path, answers[0].text, answers[1].text)
    assert answers[0].text.replace(id, MISSING) == answers[1].text


async def test_a_foreign_id_is_answered_like_one_of_nothing(demo, other):
    network, subnet = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    group = await demo.make("security_group", name="g")
    scope = await demo.make("address_scope", name="s", ip_version=4)
    pool = await demo.make("subnetpool", name="p", prefixes=["10.60.0.0/16"], default_prefixlen=24)
    router = await other.make("router", name="r")
    mine = await other.make("security_group", name="mine")
    public = (await other.public())["id"]
    own, _ = await other.network("10.8.0.0/24")
    held = await other.make("port", network_id=own["id"])

    def new(kind, **fixed):
        return lambda place: (collection(kind), lambda id: {kind: {**fixed, place: id}})

    rule = {"direction": "ingress"}
    pool_body = {"name": "q", "prefixes": ["10.61.0.0/16"]}
    for make, place, id in (
        (new("port"), "network_id", network["id"]),
        (new("subnet", ip_version=4, cidr="10.9.0.0/24"), "network_id", network["id"]),
        (new("subnet", network_id=own["id"]), "subnetpool_id", pool["id"]),
        (new("floatingip"), "floating_network_id", network["id"]),
        (new("floatingip", floating_network_id=public), "port_id", port["id"]),
        (new("security_group_rule", **rule), "security_group_id", group["id"]),
        (new("security_group_rule", **rule, security_group_id=mine["id"]), "remote_group_id", group["id"]),
        (new("subnetpool", **pool_body), "address_scope_id", scope["id"]),
    ):
        path, body = make(place)
        await alike(other, "POST", path, body, id)
    for verb in ("add_router_interface", "remove_router_interface"):
        for place, id in (("subnet_id", subnet["id"]), ("port_id", port["id"])):
            await alike(other, "PUT", f"routers/{router['id']}/{verb}", lambda id, place=place: {place: id}, id)
    gateway = {"router": {"external_gateway_info": {}}}
    for method, path in (("POST", "routers"), ("PUT", f"routers/{router['id']}")):
        info = lambda id: {"router": {**gateway["router"], "external_gateway_info": {"network_id": id}}}  # noqa: E731
        await alike(other, method, path, info, network["id"])
    for body, id in (
        (lambda id: {"port": {"security_groups": [id]}}, group["id"]),
        (lambda id: {"port": {"security_groups": [mine["id"], id]}}, group["id"]),
    ):
        await alike(other, "PUT", f"ports/{held['id']}", body, id)
