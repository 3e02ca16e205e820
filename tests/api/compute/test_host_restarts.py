"""What becomes of guests when their host's agent, or the host itself, was away."""

from pileus.kernel.agent.host import Host
from pileus.services.compute.agent import ComputePart
from pileus.services.compute.commands import Power
from pileus.services.compute.drivers.fake import FakeHypervisor
from tests.api.compute.cloud import Cloud


async def lose_agent(cloud: Cloud, name: str) -> Host:
    """Kill a host's agent; return the one that will take its place."""
    assert cloud.runtime.local_hosts is not None
    await cloud.runtime.local_hosts.lose(name)
    return next(host for host in cloud.runtime._fake_hosts() if host.name == name)


async def bring_back(cloud: Cloud, host: Host) -> None:
    assert cloud.runtime.local_hosts is not None
    await cloud.runtime.local_hosts.start_host(host)


async def hypervisor(host: Host) -> FakeHypervisor:
    """Return the driver of an agent that has not come up yet, as it finds its guests."""
    part = next(part for part in host.parts if isinstance(part, ComputePart))
    await part.start(host)
    assert isinstance(part.driver, FakeHypervisor)
    return part.driver


async def test_a_guest_that_was_shut_down_from_inside_while_the_agent_was_away_stays_off(cloud: Cloud) -> None:
    server, other = await cloud.boot(), await cloud.boot()
    places = {id: (await cloud.ask("GET", f"/servers/{id}", 200, who=cloud.admin))["server"] for id in (server, other)}
    host = await lose_agent(cloud, places[server]["OS-EXT-SRV-ATTR:host"])
    driver = await hypervisor(host)
    driver.stop_by_itself(server, Power.OFF)
    await bring_back(cloud, host)
    await cloud.runtime.reconcilers.run_once("compute.guests")
    shown = await cloud.rest(server)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("SHUTOFF", 4)
    assert (await cloud.rest(other))["status"] == "ACTIVE"


async def test_what_ran_when_a_host_lost_power_runs_again_when_it_is_back(cloud: Cloud) -> None:
    running, stopped = await cloud.boot(), await cloud.boot()
    await cloud.act(stopped, os_stop=None)
    await cloud.runtime.reconcilers.run_once("compute.guests")
    for name in ("fake-1", "fake-2"):
        host = await lose_agent(cloud, name)
        (await hypervisor(host)).lose_power()
        await bring_back(cloud, host)
    await cloud.runtime.reconcilers.run_once("compute.guests")
    assert (await cloud.rest(running))["status"] == "ACTIVE"
    actions = (await cloud.ask("GET", f"/servers/{running}/os-instance-actions", 200))["instanceActions"]
    assert [one["action"] for one in actions] == ["start", "create"]
    assert (await cloud.rest(stopped))["status"] == "SHUTOFF"
