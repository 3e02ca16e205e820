"""Networks on PostgreSQL and MariaDB: transactions that truly run side by side must not share an address."""

import asyncio

import pytest

from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login
from tests.api.network.conftest import Net


@pytest.fixture
async def demo(tmp_path, server_url):
    tables = {"identity": {"password_hash_rounds": 4}}
    services = find_services(["identity", "network"])
    async with (
        running(tmp_path, services, tables, database=server_url) as cloud,
        client(cloud, await login(cloud)) as http,
    ):
        yield Net(cloud, http)


async def test_the_last_addresses_are_given_once(demo):
    network, _ = await demo.network("10.6.0.0/29")
    body = {"port": {"network_id": network["id"]}}
    answers = await asyncio.gather(*(demo.http.post("/networking/v2.0/ports", json=body) for _ in range(8)))
    made = [answer.json()["port"]["fixed_ips"][0]["ip_address"] for answer in answers if answer.status_code == 201]
    assert len(set(made)) == len(made) == 5, [answer.text for answer in answers]
    assert {answer.status_code for answer in answers} == {201, 409}


async def test_the_whole_path_works_there_too(demo):
    network, subnet = await demo.network()
    public = (await demo.public())["id"]
    router = await demo.make("router", external_gateway_info={"network_id": public})
    await demo.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    port = await demo.make("port", network_id=network["id"], name="p")
    floating = await demo.make("floatingip", floating_network_id=public, port_id=port["id"])
    await demo.until("floatingip", floating["id"], status="ACTIVE")
    await demo.call("PUT", f"ports/{port['id']}/tags", 200, {"tags": ["a"]})
    found = await demo.list("port", "name=p&tags=a&fixed_ips=ip_address_substr=10.7&sort_key=name&limit=1&fields=id")
    assert found == [{"id": port["id"]}]
    await demo.make("security_group", name="g")
    assert {group["name"] for group in await demo.list("security_group", "sort_key=name")} == {"default", "g"}
    await demo.drop("port", port["id"])
    await demo.call("PUT", f"routers/{router['id']}/remove_router_interface", 200, {"subnet_id": subnet["id"]})
    await demo.drop("network", network["id"])
