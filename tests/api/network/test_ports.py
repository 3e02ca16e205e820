"""Ports: addresses, MACs, groups and who may ask for what."""

import asyncio

import pytest
from sqlalchemy import select

from pileus.services.network.model import HostWork
from pileus.services.network.store import work as store
from tests.api.network.conftest import MISSING


async def test_a_port_gets_an_address_a_mac_and_the_default_group(demo):
    network, subnet = await demo.network()
    port = await demo.make("port", network_id=network["id"], name="p")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.7.0.2"}]
    assert port["mac_address"].startswith("fa:16:3e:")
    assert port["status"] == "DOWN"
    (default,) = await demo.list("security_group", "name=default")
    assert port["security_groups"] == [default["id"]]
    assert "binding:host_id" not in port
    assert port["dns_assignment"][0]["fqdn"] == "host-10-7-0-2.openstacklocal."
    await demo.drop("port", port["id"])
    assert (await demo.show("port", port["id"], 404))["type"] == "PortNotFound"


async def test_addresses_can_be_asked_for(demo):
    network, subnet = await demo.network()
    id = network["id"]
    port = await demo.make("port", network_id=id, fixed_ips=[{"ip_address": "10.7.0.99"}])
    assert port["fixed_ips"][0]["subnet_id"] == subnet["id"]
    two = await demo.make("port", network_id=id, fixed_ips=[{"subnet_id": subnet["id"]}, {"subnet_id": subnet["id"]}])
    assert len({ip["ip_address"] for ip in two["fixed_ips"]}) == 2
    none = await demo.make("port", network_id=id, fixed_ips=[])
    assert none["fixed_ips"] == []
    assert none["ip_allocation"] == "none"
    changed = await demo.update(
        "port", port["id"], fixed_ips=[{"ip_address": "10.7.0.98"}, {"ip_address": "10.7.0.99"}]
    )
    assert [ip["ip_address"] for ip in changed["fixed_ips"]] == ["10.7.0.98", "10.7.0.99"]
    turned = await demo.update("port", port["id"], fixed_ips=[{"ip_address": ip} for ip in ("10.7.0.99", "10.7.0.9")])
    assert [ip["ip_address"] for ip in turned["fixed_ips"]] == ["10.7.0.9", "10.7.0.99"]
    odd = await demo.make("port", network_id=id, mac_address="01-00-5E-00-00-01")
    assert odd["mac_address"] == "01:00:5e:00:00:01"


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (409, "IpAddressAlreadyAllocated", {"fixed_ips": [{"ip_address": "10.7.0.50"}]}),
        (400, "InvalidIpForNetwork", {"fixed_ips": [{"ip_address": "10.8.0.50"}]}),
        (400, "InvalidIpForSubnet", {"fixed_ips": [{"ip_address": "10.7.0.255"}]}),
        (404, "SubnetNotFound", {"fixed_ips": [{"subnet_id": MISSING}]}),
        (400, "HTTPBadRequest", {"fixed_ips": [{"subnet_id": "nowhere"}]}),
        (400, "HTTPBadRequest", {"fixed_ips": [{"ip_address": "here"}]}),
        (400, "HTTPBadRequest", {"fixed_ips": [{}]}),
        (400, "HTTPBadRequest", {"fixed_ips": [{"ip_address": "10.7.0.9"}, {"ip_address": "10.7.0.9"}]}),
        (400, "HTTPBadRequest", {"fixed_ips": "10.7.0.9"}),
        (409, "MacAddressInUse", {"mac_address": "FA:16:3E:00:00:01"}),
        (400, "HTTPBadRequest", {"mac_address": "00:00:00:00:00:00"}),
        (400, "HTTPBadRequest", {"mac_address": "no mac"}),
        (404, "SecurityGroupNotFound", {"security_groups": [MISSING]}),
        (400, "HTTPBadRequest", {"security_groups": ["nowhere"]}),
        (400, "HTTPBadRequest", {"security_groups": [MISSING, MISSING]}),
        (400, "HTTPBadRequest", {"network_id": "nowhere"}),
        (
            400,
            "HTTPBadRequest",
            {"allowed_address_pairs": [{"ip_address": "10.7.0.9", "mac_address": "01:00:5e:00:00:01"}]},
        ),
        (
            400,
            "PortSecurityAndIPRequiredForSecurityGroups",
            {"port_security_enabled": False, "security_groups": [MISSING]},
        ),
        (
            409,
            "AddressPairAndPortSecurityRequired",
            {"port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "1.1.1.1"}]},
        ),
        (400, "HTTPBadRequest", {"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:02"}]}),
        (400, "HTTPBadRequest", {"allowed_address_pairs": [{"ip_address": "300.1.1.1"}]}),
        (400, "AllowedAddressPairExhausted", {"allowed_address_pairs": [{"ip_address": "300.1.1.1"}] * 11}),
        (400, "HTTPBadRequest", {"extra_dhcp_opts": [{"opt_name": "x\ny", "opt_value": "1"}]}),
        (400, "HTTPBadRequest", {"dns_name": "not a name"}),
        (403, "PolicyNotAuthorized", {"binding:host_id": "h"}),
        (400, "HTTPBadRequest", {"binding:vnic_type": "wireless"}),
        (400, "HTTPBadRequest", {"status": "ACTIVE"}),
    ],
)
async def test_impossible_ports_are_refused(demo, status, kind, body):
    network, _ = await demo.network()
    taken = await demo.make(
        "port", network_id=network["id"], fixed_ips=[{"ip_address": "10.7.0.50"}], mac_address="fa:16:3e:00:00:01"
    )
    await demo.refuse("port", status, kind, **{"network_id": network["id"], **body})
    assert [port["id"] for port in await demo.list("port", f"network_id={network['id']}")] == [taken["id"]]


async def test_the_last_address_is_given_once(demo):
    network, _ = await demo.network("10.6.0.0/29")
    answers = await asyncio.gather(
        *(demo.http.post("/networking/v2.0/ports", json={"port": {"network_id": network["id"]}}) for _ in range(12))
    )
    made = [answer.json()["port"]["fixed_ips"][0]["ip_address"] for answer in answers if answer.status_code == 201]
    refused = [answer.json()["NeutronError"]["type"] for answer in answers if answer.status_code != 201]
    assert sorted(made) == [f"10.6.0.{last}" for last in range(2, 7)]
    assert refused == ["IpAddressGenerationFailure"] * 7
    await demo.drop(
        "port", (await demo.list("port", f"network_id={network['id']}&fixed_ips=ip_address=10.6.0.4"))[0]["id"]
    )
    again = await demo.make("port", network_id=network["id"])
    assert again["fixed_ips"][0]["ip_address"] == "10.6.0.4"


async def test_an_address_asked_for_by_many_is_given_once(demo):
    network, _ = await demo.network()
    body = {"port": {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.7.0.42"}]}}
    answers = await asyncio.gather(*(demo.http.post("/networking/v2.0/ports", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


async def test_slaac_addresses_follow_from_the_mac(demo):
    network, subnet = await demo.network("2001:db8:1::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = await demo.make("port", network_id=network["id"], mac_address="fa:16:3e:12:34:56")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "2001:db8:1:0:f816:3eff:fe12:3456"}]
    await demo.refuse(
        "port", 400, "AllocationOnAutoAddressSubnet",
        network_id=network["id"], fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "2001:db8:1::7"}],
    )  # fmt: skip


async def test_two_families_give_one_address_each(demo):
    network, four = await demo.network()
    six = await demo.make("subnet", network_id=network["id"], cidr="fd00::/64", ip_version=6)
    port = await demo.make("port", network_id=network["id"])
    assert {ip["subnet_id"] for ip in port["fixed_ips"]} == {four["id"], six["id"]}


async def test_lists_are_filtered_sorted_and_paged(demo):
    network, _ = await demo.network()
    made = [await demo.make("port", network_id=network["id"], name=name) for name in ("c", "a", "b", "a")]
    base = f"network_id={network['id']}"
    assert len(await demo.list("port", f"{base}&name=a&name=b")) == 3
    assert [p["name"] for p in await demo.list("port", f"{base}&sort_key=name&sort_dir=desc&fields=name")] == [
        "c",
        "b",
        "a",
        "a",
    ]
    first = await demo.call("GET", f"ports?{base}&sort_key=name&limit=3", 200)
    assert [p["name"] for p in first["ports"]] == ["a", "a", "b"]
    following = next(link["href"] for link in first["ports_links"] if link["rel"] == "next")
    second = (await demo.http.get(following)).json()
    assert [p["name"] for p in second["ports"]] == ["c"]
    back = next(link["href"] for link in second["ports_links"] if link["rel"] == "previous")
    assert (await demo.http.get(back)).json()["ports"] == first["ports"]
    substring = await demo.list("port", f"{base}&fixed_ips=ip_address_substr=7.0.2")
    assert [p["id"] for p in substring] == [made[0]["id"]]
    assert (await demo.list("port", f"{base}&fields=id&fields=mac_address"))[0].keys() == {"id", "mac_address"}
    assert len(await demo.list("port", f"{base}&device_id=")) == 4
    await demo.call("GET", f"ports?{base}&sort_key=colour", 400)
    await demo.call("GET", "ports?colour=red", 400)
    await demo.call("GET", "ports?limit=-1", 400)
    await demo.call("GET", "ports?marker=nowhere", 400)
    await demo.call("GET", "ports?admin_state_up=perhaps", 400)


async def test_foreign_ports_are_not_there(demo, other, admin):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    await other.show("port", port["id"], 404)
    assert await other.drop("port", port["id"], 404) == "PortNotFound"
    seen = await admin.show("port", port["id"])
    assert seen["binding:vif_type"] == "unbound"


async def test_an_operator_binds_a_port_to_a_host(demo, admin):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    bound = await admin.update("port", port["id"], **{"binding:host_id": "fake-1"})
    assert bound["binding:vif_type"] == "bridge"
    await demo.until("port", port["id"], status="ACTIVE")
    driver = demo.runtime.local_hosts.hosts["fake-1"].parts[0].driver
    assert driver.ports[port["id"]].ips == ("10.7.0.2",)
    assert [host.port_id for host in driver.dhcp[network["id"]].hosts] == [port["id"]]
    await demo.drop("port", port["id"])
    for _ in range(200):
        if network["id"] not in driver.networks:
            break
        await asyncio.sleep(0.01)
    assert port["id"] not in driver.ports
    assert network["id"] not in driver.dhcp
    assert network["id"] not in driver.networks


async def test_extra_dhcp_options_and_pairs_are_kept(demo):
    network, _ = await demo.network()
    port = await demo.make(
        "port", network_id=network["id"],
        extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxe"}],
        allowed_address_pairs=[{"ip_address": "10.7.0.200"}, {"ip_address": "10.8.0.0/24"}],
    )  # fmt: skip
    assert port["extra_dhcp_opts"] == [{"opt_name": "bootfile-name", "opt_value": "pxe", "ip_version": 4}]
    assert port["allowed_address_pairs"][0]["mac_address"] == port["mac_address"]
    gone = await demo.update("port", port["id"], extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": None}])
    assert gone["extra_dhcp_opts"] == []


async def test_tags(demo):
    network, _ = await demo.network()
    path = f"networks/{network['id']}/tags"
    await demo.call("PUT", path, 200, {"tags": ["red", "blue"]})
    await demo.call("PUT", f"{path}/green", 201)
    assert (await demo.show("network", network["id"]))["tags"] == ["blue", "green", "red"]
    assert [n["id"] for n in await demo.list("network", "tags=red,blue")] == [network["id"]]
    assert await demo.list("network", "tags=red,black") == []
    assert [n["id"] for n in await demo.list("network", "tags-any=red,black")] == [network["id"]]
    assert network["id"] not in {n["id"] for n in await demo.list("network", "not-tags-any=red")}
    await demo.call("GET", f"{path}/red", 204)
    await demo.call("DELETE", f"{path}/red", 204)
    await demo.call("GET", f"{path}/red", 404)
    await demo.call("PUT", path, 400, {"tags": [1]})
    await demo.call("DELETE", path, 204)
    assert (await demo.call("GET", path, 200))["tags"] == []


async def test_dhcp_follows_guests_and_subnets(demo, admin):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    await admin.update("port", port["id"], **{"binding:host_id": "fake-1"})
    await demo.until("port", port["id"], status="ACTIVE")
    servers = f"network_id={network['id']}&device_owner=network:dhcp"
    (server,) = await demo.list("port", servers)
    assert len(server["fixed_ips"]) == 1
    await demo.make("subnet", network_id=network["id"], cidr="fd00::/64", ip_version=6)
    (server,) = await demo.list("port", servers)
    assert len(server["fixed_ips"]) == 2
    await demo.drop("port", port["id"])
    for _ in range(200):
        if not await demo.list("port", servers):
            break
        await asyncio.sleep(0.01)
    assert await demo.list("port", servers) == []


async def test_a_host_that_is_none_carries_nothing(demo, admin):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    work = lambda: demo.runtime.db.read(lambda tx: [row.host for row in tx.scalars(select(HostWork))])  # noqa: E731
    for name in ("ghost-1", "ghost-2"):
        failed = await admin.update("port", port["id"], **{"binding:host_id": name})
        assert (failed["binding:vif_type"], failed["status"]) == ("binding_failed", "DOWN")
        assert (failed["binding:host_id"], failed["binding:vif_details"]) == (name, {})
    assert [row["id"] for row in await admin.list("port", "binding:host_id=ghost-2")] == [port["id"]]
    assert await admin.list("port", "binding:host_id=ghost-1") == []
    made = await admin.make("port", network_id=network["id"], **{"binding:host_id": "ghost-3"})
    assert (made["binding:vif_type"], made["status"]) == ("binding_failed", "DOWN")
    assert len(await demo.list("port", f"network_id={network['id']}&device_owner=network:dhcp")) == 0
    assert not {"ghost-1", "ghost-2", "ghost-3"} & set(await work())
    bound = await admin.update("port", port["id"], **{"binding:host_id": "fake-1"})
    assert (bound["binding:vif_type"], bound["binding:host_id"]) == ("bridge", "fake-1")
    await demo.until("port", port["id"], status="ACTIVE")
    freed = await admin.update("port", made["id"], **{"binding:host_id": ""})
    assert (freed["binding:vif_type"], freed["binding:host_id"]) == ("unbound", "")


async def test_notes_for_hosts_that_are_none_are_dropped(demo):
    def note_and_drop(tx):  # at once: a reconciler drops them too
        store.add(tx, "ghost", store.PORT, ["a", "b"])
        store.add(tx, "fake-1", store.PORT, ["c"])
        return store.drop_unregistered(tx)

    assert await demo.runtime.db.write(note_and_drop) == 2
    left = await demo.runtime.db.read(lambda tx: [row.host for row in tx.scalars(select(HostWork))])
    assert "ghost" not in left
