"""The host's part obeys complete specs that arrive late, twice or out of order."""

import asyncio
from pathlib import Path

import pytest

from pileus.kernel.config import Configuration
from pileus.kernel.errors import Unavailable
from pileus.kernel.service import AgentSettings
from pileus.services.network import agent, metadata_signature
from pileus.services.network.agent import NetworkPart, network_part
from pileus.services.network.commands import DescribeNetworks, EnsureNetworks, Gone
from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.contract import dhcp, group, guest, leg, new_id
from pileus.services.network.drivers.fake import FakeNetworkDriver
from pileus.services.network.wanted import (
    ExternalNetworkSpec,
    GroupRules,
    Inventory,
    NetworkSpec,
    PortSpec,
    PortWiring,
    RouterSpec,
)

NETWORK, OUTSIDE = NetworkSpec(id=new_id()), NetworkSpec(id=new_id())
GROUP = group()
PORT = guest(NETWORK, "10.7.0.5", groups=(GROUP,))
DHCP = dhcp(NETWORK)
ROUTER = RouterSpec(id=new_id(), interfaces=(leg(NETWORK, "10.7.0.1/24"),))


@pytest.fixture
def driver() -> FakeNetworkDriver:
    return FakeNetworkDriver()


@pytest.fixture
def part(driver: FakeNetworkDriver) -> NetworkPart:
    return NetworkPart(driver)


def everything(stamp: int, **changes: object) -> EnsureNetworks:
    wanted: dict[str, object] = {
        "networks": (NETWORK,),
        "externals": (ExternalNetworkSpec(network=OUTSIDE),),
        "rules": (GroupRules(id=GROUP.id, rules=GROUP.rules),),
        "ports": (PORT,),
        "dhcp": (DHCP,),
        "routers": (ROUTER,),
        **changes,
    }
    return EnsureNetworks(stamp=stamp, **wanted)  # type: ignore[arg-type]


async def test_a_command_is_obeyed_whole_and_answers_the_wiring(part: NetworkPart) -> None:
    wired = await part.ensure_networks(everything(1))
    assert [wiring.port_id for wiring in wired.ports] == [PORT.id]
    assert await part.describe_networks(DescribeNetworks()) == Inventory(
        networks=tuple(sorted((NETWORK.id, OUTSIDE.id))),
        ports=(PORT.id,),
        security_groups=(GROUP.id,),
        dhcp=(NETWORK.id,),
        routers=(ROUTER.id,),
    )
    assert await part.ensure_networks(everything(1)) == wired


async def test_what_hangs_is_stopped_and_does_not_keep_the_next_word_waiting(
    part: NetworkPart, driver: FakeNetworkDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug, hung = driver.ensure_port, asyncio.Event()

    async def hang(port: PortSpec) -> PortWiring:
        driver.ensure_port = plug
        hung.set()
        await asyncio.Event().wait()
        return await plug(port)

    monkeypatch.setattr(agent, "TURN_S", 0.05)
    driver.ensure_port = hang
    first = asyncio.create_task(part.ensure_networks(everything(1)))
    await hung.wait()
    wired = await asyncio.wait_for(part.ensure_networks(everything(2)), 10)
    assert [wiring.port_id for wiring in wired.ports] == [PORT.id]
    with pytest.raises(Unavailable, match=f"ports {PORT.id} was not done"):
        await first
    assert driver.dhcp[NETWORK.id] == DHCP


async def test_what_is_gone_is_removed_in_reverse_order(part: NetworkPart) -> None:
    await part.ensure_networks(everything(1))
    gone = Gone(
        routers=(ROUTER.id,),
        dhcp=(NETWORK.id,),
        ports=(PORT.id,),
        security_groups=(GROUP.id,),
        networks=(NETWORK.id, OUTSIDE.id),
    )
    await part.ensure_networks(EnsureNetworks(stamp=2, gone=gone))
    assert await part.describe_networks(DescribeNetworks()) == Inventory()


async def test_an_older_word_does_not_undo_a_newer_one(part: NetworkPart, driver: FakeNetworkDriver) -> None:
    newer = NetworkSpec(id=NETWORK.id, mtu=1400)
    await part.ensure_networks(EnsureNetworks(stamp=5, networks=(newer,)))
    await part.ensure_networks(EnsureNetworks(stamp=4, networks=(NETWORK,), gone=Gone(networks=(NETWORK.id,))))
    assert driver.networks[NETWORK.id] == newer
    await part.ensure_networks(EnsureNetworks(stamp=6, gone=Gone(networks=(NETWORK.id,))))
    await part.ensure_networks(EnsureNetworks(stamp=5, networks=(newer,)))
    assert driver.networks == {}


async def test_a_port_obeyed_before_still_answers_its_wiring(part: NetworkPart) -> None:
    wired = await part.ensure_networks(everything(5))
    late = EnsureNetworks(stamp=4, networks=(NETWORK,), rules=(GroupRules(id=GROUP.id),), ports=(PORT,))
    assert await part.ensure_networks(late) == wired
    await part.ensure_networks(EnsureNetworks(stamp=6, gone=Gone(ports=(PORT.id,))))
    assert (await part.ensure_networks(late)).ports == ()


async def test_a_complete_command_removes_the_rest_but_nothing_newer(part: NetworkPart) -> None:
    await part.ensure_networks(everything(1))
    late = NetworkSpec(id=new_id())
    await part.ensure_networks(EnsureNetworks(stamp=9, networks=(late,)))
    await part.ensure_networks(EnsureNetworks(stamp=5, networks=(NETWORK,), complete=True))
    found = await part.describe_networks(DescribeNetworks())
    assert found == Inventory(networks=tuple(sorted((NETWORK.id, late.id))))


async def test_what_is_still_used_is_left_for_later(part: NetworkPart) -> None:
    await part.ensure_networks(everything(1))
    early = Gone(security_groups=(GROUP.id,), networks=(NETWORK.id,))
    await part.ensure_networks(EnsureNetworks(stamp=2, gone=early))
    found = await part.describe_networks(DescribeNetworks())
    assert found.security_groups == (GROUP.id,)
    gone = Gone(routers=(ROUTER.id,), dhcp=(NETWORK.id,), ports=(PORT.id,), security_groups=(GROUP.id,))
    await part.ensure_networks(EnsureNetworks(stamp=3, gone=gone))
    await part.ensure_networks(EnsureNetworks(stamp=2, gone=early))
    assert (await part.describe_networks(DescribeNetworks())).networks == (OUTSIDE.id,)


async def test_one_refusal_does_not_keep_the_rest_from_being_done(part: NetworkPart, driver: FakeNetworkDriver) -> None:
    def refuse(verb: str, id: str) -> None:
        if verb == "ensure_dhcp":
            raise HostNetworkError("dnsmasq is missing; install dnsmasq-base.")

    driver.fault = refuse
    with pytest.raises(Unavailable, match="install dnsmasq-base"):
        await part.ensure_networks(everything(1))
    assert list(driver.routers) == [ROUTER.id]
    driver.fault = None
    await part.ensure_networks(everything(1))
    assert list(driver.dhcp) == [NETWORK.id]


async def test_down_ends_servers_and_purge_removes_everything(part: NetworkPart, driver: FakeNetworkDriver) -> None:
    await part.ensure_networks(everything(1))
    await part.clear(purge=False)
    assert driver.calls["stop_servers"] == 1
    assert driver.networks
    await part.clear(purge=True)
    assert await driver.inventory() == Inventory()


async def test_a_fake_cloud_has_a_fake_host(tmp_path: Path) -> None:
    part = network_part(AgentSettings(Configuration(tmp_path, fake=True), "fake-1"))
    assert (await part.facts())["driver"] == "fake"


def test_api_and_agent_share_one_secret(tmp_path: Path) -> None:
    first = metadata_signature.shared_secret(tmp_path)
    assert metadata_signature.shared_secret(tmp_path) == first
    assert len(first) >= 32
    assert (tmp_path / "network" / "metadata.secret").stat().st_mode & 0o077 == 0
