"""Somebody else's hand on the host: what was made and is gone is found, told, and made again."""

import asyncio

import pytest

from pileus.services.network.agent import NetworkPart
from pileus.services.network.commands import EnsureNetworks, FindNetworkDrift
from pileus.services.network.drivers.linux import names
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.wanted import ExternalNetworkSpec
from tests.host.network import scenario
from tests.host.network.conftest import host_state
from tests.host.network.guests import run

pytestmark = pytest.mark.host

OUTSIDE = ExternalNetworkSpec(network=scenario.OUTSIDE, host_addresses=("198.51.100.1/24",), masquerade=True)
EVERYTHING = EnsureNetworks(
    stamp=1,
    networks=(scenario.NETWORK,),
    externals=(OUTSIDE,),
    security_groups=(scenario.GROUP,),
    ports=(scenario.PORT, scenario.TAP),
    dhcp=(scenario.DHCP,),
    routers=(scenario.ROUTER,),
    complete=True,
)


def meddle(settings: Settings, how: str) -> list[str]:
    """Take something away by hand; return what should be missed."""
    of = names.Names(settings.cloud_id)
    tap = of.interface(names.TAP, scenario.TAP.id)
    match how:
        case "a tap":
            run("ip", "link", "del", tap)
            return [f"ports {scenario.TAP.id}"]
        case "the DHCP server's namespace":
            run("ip", "netns", "pids", of.dhcp_namespace(scenario.NETWORK.id))
            run("ip", "link", "del", of.interface(names.PLUG, scenario.DHCP.port_id))
            run("ip", "netns", "delete", of.dhcp_namespace(scenario.NETWORK.id))
            return [f"dhcp {scenario.NETWORK.id}"]
        case "the router's namespace":
            run("ip", "netns", "delete", of.router_namespace(scenario.ROUTER.id))
            return [f"routers {scenario.ROUTER.id}"]
        case "all rules":
            run("nft", "flush", "table", "inet", of.table)
            return ["the rules of inet from_guest", f"the rules of inet out_{tap}"]
        case "the tables":
            run("nft", "delete", "table", "inet", of.table)
            run("nft", "delete", "table", "bridge", of.table)
            return ["the rules of bridge prerouting", f"security_groups {scenario.GROUP.id}"]
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how", ["a tap", "the DHCP server's namespace", "the router's namespace", "all rules", "the tables"]
)
async def test_what_was_taken_away_is_missed_and_made_again(
    driver: LinuxNetworkDriver, settings: Settings, how: str
) -> None:
    part = NetworkPart(driver)
    await part.ensure_networks(EVERYTHING)
    assert await part.find_drift(FindNetworkDrift()) == []
    whole = sorted(set(run("nft", "list", "tables").splitlines())), host_state()["links"], rules(settings)
    missed = await asyncio.to_thread(meddle, settings, how)
    told = await part.find_drift(FindNetworkDrift())
    for _ in range(100):  # the kernel takes a deleted namespace apart, with its links, when it finds the time
        if set(missed) <= set(told):
            break
        await asyncio.sleep(0.1)
        told = await part.find_drift(FindNetworkDrift())
    assert set(missed) <= set(told), told
    await part.ensure_networks(EVERYTHING)
    assert await part.find_drift(FindNetworkDrift()) == []
    assert (sorted(set(run("nft", "list", "tables").splitlines())), host_state()["links"], rules(settings)) == whole


def rules(settings: Settings) -> int:
    """Count the lines of this cloud's rules."""
    table = names.Names(settings.cloud_id).table
    return sum(len(run("nft", "list", "table", family, table).splitlines()) for family in ("inet", "bridge"))
