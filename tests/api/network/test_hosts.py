"""What hosts are told: by a boot's one command, by the reconciler, after they were away."""

import asyncio

from sqlalchemy import select

from pileus.kernel.events import Event
from pileus.services.network import public
from pileus.services.network.agent import NetworkPart
from pileus.services.network.commands import EnsureNetworks, Lacks
from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.fake import FakeNetworkDriver
from pileus.services.network.model import HostWork, MemberChange
from pileus.services.network.store import members, stamps
from pileus.services.network.wanted import Member, SecurityGroupSpec


async def until(true):
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


def driver_of(runtime, host="fake-1"):
    return runtime.local_hosts.hosts[host].parts[0].driver


async def boot(net, network_id, **more) -> tuple[str, EnsureNetworks]:
    """Make and bind a server's port as compute does."""
    project = (await net.call("GET", "quotas/project", 200))["project"]["project_id"]
    ctx = net.runtime.internal(project_id=project)

    def work(tx):
        port_id = public.create_port_for_server(
            tx, ctx, network_id=network_id, server_id="server", project_id=project, **more
        )
        tx.flush()
        public.bind_ports(tx, [port_id], "fake-1")
        return port_id

    port_id = await net.runtime.db.write(work)
    return port_id, await net.runtime.db.read(public.plug_command, [port_id], "fake-1")


async def test_one_command_holds_all_that_a_boot_needs(demo):
    network, subnet = await demo.network()
    await demo.make("port", network_id=network["id"])  # that no host carries: nobody is told of it
    port_id, command = await boot(demo, network["id"], dns_name="web")
    (port,) = command.ports
    (group,) = command.rules
    (members,) = command.members
    (dhcp,) = command.served
    assert (port.id, port.ips, port.security_group_ids) == (port_id, ("10.7.0.3",), (group.id,))
    assert (members.id, members.members) == (group.id, (Member(port_id, ("10.7.0.3",)),))
    assert port.dhcp is not None
    assert (port.dhcp.port_id, port.dhcp.ips, port.dhcp.hostname) == (port_id, ("10.7.0.3",), "web")
    assert dhcp.addresses == ("10.7.0.4/24",)
    assert [spec.id for spec in dhcp.subnets] == [subnet["id"]]
    assert [spec.id for spec in command.networks] == [network["id"]]
    wired = await demo.runtime.bus.call("fake-1", command)
    assert [wiring.port_id for wiring in wired.ports] == [port_id]
    assert (await demo.show("port", port_id))["status"] == "BUILD"
    await demo.runtime.db.write(public.mark_wired, [port_id], "fake-1")
    assert (await demo.show("port", port_id))["status"] == "ACTIVE"
    events = await demo.runtime.db.read(lambda tx: tx.scalars(select(Event).where(Event.resource_id == port_id)).all())
    assert [event.kind for event in events] == ["network.port.created", "network.port.wired"]
    assert events[1].payload["device_id"] == "server"


async def test_nobody_is_told_of_a_port_that_no_host_carries(demo):
    network, _ = await demo.network()
    _, command = await boot(demo, network["id"])
    await demo.runtime.bus.call("fake-1", command)
    await settled(demo.runtime)
    stamp = await demo.runtime.db.read(stamps.current)
    port = await demo.make("port", network_id=network["id"])
    await demo.update("port", port["id"], fixed_ips=[{"ip_address": "10.7.0.77"}])
    await demo.drop("port", port["id"])
    assert await demo.runtime.db.read(stamps.current) == stamp


async def settled(runtime):
    """Wait until hosts have been told all that there is."""
    left = lambda tx: (*tx.scalars(select(HostWork.id)), *members.pending(tx), *tx.scalars(select(MemberChange.number)))  # noqa: E731
    for _ in range(500):
        if not await runtime.db.read(left):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("hosts are not told")


async def test_an_agent_that_started_again_says_what_it_lacks_and_is_told_the_whole_once(demo):
    runtime = demo.runtime
    network, _ = await demo.network()
    first, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    await settled(runtime)
    second, command = await boot(demo, network["id"])
    (told,) = command.members
    assert told.since, "only what has changed"
    assert [member.port_id for member in told.members] == [second]
    driver = FakeNetworkDriver()
    part = NetworkPart(driver)
    answer = await part.ensure_networks(command)
    assert answer.lacks == Lacks(groups=(told.id,), dhcp=(network["id"],))
    assert driver.members[told.id] == set()
    assert network["id"] not in driver.dhcp
    whole = await runtime.db.read(public.lacking_command, "fake-1", answer.lacks)
    assert not (await part.ensure_networks(whole)).lacks
    assert len(driver.members[told.id]) == 2
    assert {host.port_id for host in driver.dhcp[network["id"]].hosts} == {first, second}
    assert not (await part.ensure_networks(command)).lacks


async def test_a_late_command_changes_nothing(demo):
    network, _ = await demo.network()
    port_id, late = await boot(demo, network["id"])
    await demo.runtime.bus.call("fake-1", late)
    await demo.update("port", port_id, fixed_ips=[{"ip_address": "10.7.0.99"}])
    driver = driver_of(demo.runtime)
    await until(lambda: driver.ports[port_id].ips == ("10.7.0.99",))
    await demo.runtime.bus.call("fake-1", late)
    assert driver.ports[port_id].ips == ("10.7.0.99",)


async def test_what_a_server_leaves_is_unplugged(demo):
    network, _ = await demo.network()
    port_id, command = await boot(demo, network["id"])
    await demo.runtime.bus.call("fake-1", command)
    driver = driver_of(demo.runtime)
    undo = await demo.runtime.db.write(public.unplug_command, [port_id])
    await demo.runtime.bus.call("fake-1", undo)
    assert port_id not in driver.ports
    await demo.runtime.db.write(public.delete_ports, [port_id])
    await until(lambda: network["id"] not in driver.networks)
    await demo.show("port", port_id, 404)


async def test_a_port_of_the_users_own_is_given_back_not_deleted(demo):
    network, _ = await demo.network()
    port = await demo.make("port", network_id=network["id"])
    ctx = demo.runtime.internal(project_id=port["project_id"])
    await demo.runtime.db.write(lambda tx: public.claim_port(tx, ctx, port["id"], server_id="server"))
    assert (await demo.show("port", port["id"]))["device_owner"] == "compute:nova"
    await demo.runtime.db.write(public.release_ports, [port["id"]])
    shown = await demo.show("port", port["id"])
    assert (shown["device_id"], shown["device_owner"], shown["status"]) == ("", "", "DOWN")


async def test_a_host_that_was_away_hears_it_later_and_loses_what_is_not_wanted(demo):
    runtime = demo.runtime
    network, _ = await demo.network()
    port_id, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    await runtime.local_hosts.lose("fake-1")
    group = (await demo.show("port", port_id))["security_groups"][0]
    rule = await demo.make("security_group_rule", security_group_id=group, direction="ingress", protocol="icmp")
    waiting = await runtime.db.read(lambda tx: tx.scalars(select(HostWork.resource_id)).all())
    assert group in waiting

    host = runtime._fake_hosts()[0]
    driver = host.parts[0].driver
    await driver.ensure_security_group(SecurityGroupSpec(id="left-by-an-earlier-life"))
    await runtime.local_hosts.start_host(host)
    await until(lambda: group in driver.security_groups and port_id in driver.ports)
    assert any(spec.id == rule["id"] for spec in driver.security_groups[group].rules)
    await until(lambda: "left-by-an-earlier-life" not in driver.security_groups)
    left = lambda: runtime.db.read(lambda tx: tx.scalars(select(HostWork.id)).all())  # noqa: E731
    for _ in range(300):
        if not await left():
            break
        await asyncio.sleep(0.01)
    assert await left() == []


async def test_a_dhcp_port_goes_although_its_host_was_told_everything_at_once(demo, admin):
    runtime = demo.runtime
    network, _ = await demo.network()
    port_id, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    owned = f"ports?network_id={network['id']}&device_owner=network:dhcp"
    assert len((await admin.call("GET", owned, 200))["ports"]) == 1
    await runtime.local_hosts.lose("fake-1")
    await demo.call("DELETE", f"ports/{port_id}", 204)
    await runtime.local_hosts.start_host(runtime._fake_hosts()[0])
    left: list = []
    for _ in range(300):
        if not (left := (await admin.call("GET", owned, 200))["ports"]):
            break
        await asyncio.sleep(0.01)
    assert left == []


async def test_what_somebody_took_from_a_host_is_put_back(demo):
    runtime = demo.runtime
    network, _ = await demo.network()
    port_id, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    driver = runtime.local_hosts.hosts["fake-1"].parts[0].driver
    await until(lambda: network["id"] in driver.dhcp and port_id in driver.ports)
    await runtime.reconcilers.run_once("network.hosts")
    del driver.ports[port_id], driver.dhcp[network["id"]]
    await runtime.reconcilers.run_once("network.drift")
    await until(lambda: network["id"] in driver.dhcp and port_id in driver.ports)
    assert driver.calls["doubt"] == 1
    await runtime.reconcilers.run_once("network.drift")
    assert driver.calls["doubt"] == 1


async def test_the_api_says_what_a_host_has_lost_until_it_is_mended(demo):
    runtime = demo.runtime
    network, subnet = await demo.network()
    router = await demo.make("router", external_gateway_info={"network_id": (await demo.public())["id"]})
    leg = await demo.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    port_id, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    await runtime.db.write(public.mark_wired, [port_id], "fake-1")
    fip = await demo.make("floatingip", floating_network_id=(await demo.public())["id"], port_id=port_id)
    await demo.until("floatingip", fip["id"], status="ACTIVE")
    await demo.until("port", leg["port_id"], status="ACTIVE")
    driver = driver_of(runtime)

    def refuses(verb, id):
        if verb == "ensure_router":
            raise HostNetworkError(f"Router {id} cannot be made.")

    driver.fault = refuses
    del driver.routers[router["id"]]
    await runtime.reconcilers.run_once("network.drift")
    assert (await demo.show("router", router["id"]))["status"] == "ERROR"
    assert (await demo.show("port", leg["port_id"]))["status"] == "DOWN"
    assert (await demo.show("floatingip", fip["id"]))["status"] == "DOWN"
    driver.fault = None
    await runtime.reconcilers.run_once("network.hosts")
    await demo.until("router", router["id"], status="ACTIVE")
    await demo.until("port", leg["port_id"], status="ACTIVE")
    await demo.until("floatingip", fip["id"], status="ACTIVE")


async def test_a_port_whose_tap_was_made_again_is_down_until_its_guest_holds_it(demo):
    runtime = demo.runtime
    network, _ = await demo.network()
    port_id, command = await boot(demo, network["id"])
    await runtime.bus.call("fake-1", command)
    await runtime.db.write(public.mark_wired, [port_id], "fake-1")
    driver = driver_of(runtime)
    driver.unheld.add(port_id)
    await runtime.reconcilers.run_once("network.drift")
    assert (await demo.show("port", port_id))["status"] == "ACTIVE", "a guest that is off holds no tap either"
    del driver.ports[port_id]
    await runtime.reconcilers.run_once("network.drift")
    await until(lambda: port_id in driver.ports)
    await runtime.reconcilers.run_once("network.hosts")

    async def seen(status: str) -> None:
        """Look at the host, which keeps silent about a port that is being changed, until the port is so."""
        for _ in range(100):
            await runtime.reconcilers.run_once("network.drift")
            if (await demo.show("port", port_id))["status"] == status:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the port is never {status}")

    await seen("DOWN")
    driver.unheld.clear()
    await seen("ACTIVE")


async def test_the_guest_that_asks_for_metadata_is_found_by_network_or_router(demo):
    network, subnet = await demo.network()
    router = await demo.make("router")
    await demo.call("PUT", f"routers/{router['id']}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    port_id, _ = await boot(demo, network["id"])
    ip = (await demo.show("port", port_id))["fixed_ips"][0]["ip_address"]

    def find(tx):
        return (
            public.find_guest(tx, ip, network_id=network["id"]),
            public.find_guest(tx, ip, router_id=router["id"]),
            public.find_guest(tx, "10.7.0.1", network_id=network["id"]),
            public.find_guest(tx, ip, network_id="another"),
        )

    by_network, by_router, the_router, nobody = await demo.runtime.db.read(find)
    assert by_network.id == by_router.id == port_id
    assert the_router is None
    assert nobody is None


async def test_an_operator_sees_which_host_serves_what(demo, admin):
    network, _ = await demo.network()
    router = await demo.make("router")
    await boot(demo, network["id"])
    for path, plural, id in (
        (f"networks/{network['id']}/dhcp-agents", "dhcp-networks", network["id"]),
        (f"routers/{router['id']}/l3-agents", "l3-routers", router["id"]),
    ):
        (agent,) = (await admin.call("GET", path, 200))["agents"]
        assert agent["host"] == "fake-1"
        served = await admin.call("GET", f"agents/{agent['id']}/{plural}", 200)
        assert id in {one["id"] for one in next(iter(served.values()))}
        await demo.call("GET", path, 403)
