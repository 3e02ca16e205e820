"""Members of groups come to a host by difference: late, twice, out of order, with gaps, and it knows the right ones."""

import random

import msgspec
import pytest

from pileus.services.network.drivers.contract import dhcp, guest, new_id
from pileus.services.network.drivers.fake import FakeNetworkDriver
from pileus.services.network.told import Answers, Groups
from pileus.services.network.wanted import DhcpHost, DhcpSpec, GroupMembers, Member, NetworkSpec, PortSpec, RuleSpec

GROUP = "group"


class Cloud:
    """The rows of one group: who is in it after each change, and what a host would be told of them."""

    def __init__(self) -> None:
        self.moments: list[dict[str, tuple[str, ...]]] = [{}]

    @property
    def stamp(self) -> int:
        return len(self.moments) - 1

    def change(self, port_id: str, *ips: str) -> None:
        now = {**self.moments[-1], port_id: ips}
        self.moments.append({id: held for id, held in now.items() if held})

    def whole(self) -> tuple[int, GroupMembers]:
        return self.stamp, GroupMembers(id=GROUP, members=tuple(Member(*one) for one in self.moments[-1].items()))

    def since(self, number: int) -> tuple[int, GroupMembers]:
        then, now = self.moments[number], self.moments[-1]
        ids = {id for moment in self.moments[number:] for id in moment if moment.get(id) != then.get(id)}
        ids |= {id for id in then if now.get(id) != then[id]}
        members = tuple(Member(id, now.get(id, ())) for id in sorted(ids))
        return self.stamp, GroupMembers(id=GROUP, members=members, since=number)

    @property
    def ips(self) -> set[str]:
        return {ip for held in self.moments[-1].values() for ip in held}


class Host:
    """A host that hears of one group."""

    def __init__(self) -> None:
        self.driver, self.groups = FakeNetworkDriver(), Groups()

    async def hears(self, stamp: int, told: GroupMembers) -> bool:
        """Return whether it lacks the whole."""
        return await self.groups.ensure(self.driver, GROUP, stamp, None, told)

    @property
    def ips(self) -> set[str]:
        return self.driver.members.get(GROUP, set())


async def test_a_difference_changes_what_is_known_and_nothing_else() -> None:
    cloud, host = Cloud(), Host()
    cloud.change("a", "10.0.0.1", "10.9.0.9")
    cloud.change("b", "10.0.0.2", "10.9.0.9")
    assert not await host.hears(*cloud.whole())
    at = cloud.stamp
    cloud.change("a")
    cloud.change("c", "10.0.0.3")
    assert not await host.hears(*cloud.since(at))
    assert host.ips == cloud.ips == {"10.0.0.2", "10.9.0.9", "10.0.0.3"}, "b has the shared address still"
    assert host.driver.calls["ensure_security_group"] == 1
    assert host.driver.calls["change_members"] == 1


async def test_a_gap_is_told_and_nothing_is_taken_over_it() -> None:
    cloud, host = Cloud(), Host()
    cloud.change("a", "10.0.0.1")
    assert await host.hears(*cloud.since(0)), "a process that has just started knows nothing"
    assert not await host.hears(*cloud.whole())
    cloud.change("b", "10.0.0.2")
    missed = cloud.stamp
    cloud.change("c", "10.0.0.3")
    assert await host.hears(*cloud.since(missed))
    assert host.ips == {"10.0.0.1"}
    assert not await host.hears(*cloud.whole())
    assert host.ips == cloud.ips


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_comes_late_twice_or_not_at_all_the_host_ends_with_the_right_members(seed: int) -> None:
    chance, cloud, host = random.Random(seed), Cloud(), Host()
    ports, addresses = "abcdef", [f"10.0.0.{number}" for number in range(8)]
    on_the_way: list[tuple[int, GroupMembers]] = []
    for _ in range(80):
        if chance.random() < 0.5:
            cloud.change(chance.choice(ports), *chance.sample(addresses, chance.randrange(3)))
        on_the_way.append(cloud.whole() if chance.random() < 0.1 else cloud.since(chance.randrange(cloud.stamp + 1)))
        for _ in range(chance.randrange(3)):
            word = chance.choice(on_the_way)
            await host.hears(*word)
            if chance.random() < 0.7:
                on_the_way.remove(word)
            if not on_the_way:
                break
    if await host.hears(*cloud.since(chance.randrange(cloud.stamp + 1))):
        assert not await host.hears(*cloud.whole())
    assert host.ips == cloud.ips
    for word in on_the_way:
        await host.hears(*word)
    assert host.ips == cloud.ips, "what comes too late changes nothing"


async def test_members_that_somebody_else_has_changed_are_written_whole() -> None:
    cloud, host = Cloud(), Host()
    cloud.change("a", "10.0.0.1")
    await host.hears(*cloud.whole())
    at = cloud.stamp
    host.driver.members[GROUP].add("10.0.0.2")
    cloud.change("b", "10.0.0.2")
    cloud.change("a", "10.0.0.3")
    assert not await host.hears(*cloud.since(at))
    assert host.ips == cloud.ips


async def test_rules_and_members_of_one_group_are_each_as_new_as_the_newest_word_about_them() -> None:
    cloud, host = Cloud(), Host()
    rule = RuleSpec(id=new_id(), direction="ingress", remote_group_id=GROUP)
    cloud.change("a", "10.0.0.1")
    early = cloud.whole()
    cloud.change("b", "10.0.0.2")
    await host.hears(*cloud.whole())
    await host.groups.ensure(host.driver, GROUP, early[0], (rule,), early[1])
    assert host.driver.security_groups[GROUP].rules == (rule,)
    assert host.ips == cloud.ips
    host.groups.forget(GROUP, cloud.stamp + 1)
    before = host.driver.calls.copy()
    await host.hears(*cloud.whole())
    assert host.driver.calls == before, "a word from before the group went"


def test_dhcp_is_not_served_before_all_ports_it_answers_are_known() -> None:
    network = NetworkSpec(id=new_id())
    server, answers = dhcp(network), Answers()
    first, second = guest(network, "10.7.0.5"), guest(network, "10.7.0.6")
    entries = [DhcpHost(port_id=one.id, mac=one.mac, ips=one.ips) for one in (first, second)]
    answers.plugged(_with(second, entries[1]))
    assert answers.serve(server, whole=False) is None
    told = answers.serve(_serving(server, *entries), whole=True)
    assert told is not None
    assert {host.port_id for host in told.hosts} == {first.id, second.id}
    assert answers.unplugged(first.id) == network.id
    assert answers.present(network.id).hosts == (entries[1],)
    assert answers.unplugged(first.id) is None


def test_a_process_that_was_told_everything_knows_who_is_first_on_a_network() -> None:
    network = NetworkSpec(id=new_id())
    server, answers, port = dhcp(network), Answers(complete=True), guest(network, "10.7.0.5")
    entry = DhcpHost(port_id=port.id, mac=port.mac, ips=port.ips)
    answers.plugged(_with(port, entry))
    told = answers.serve(server, whole=False)
    assert told is not None
    assert told.hosts == (entry,)
    answers.gone(network.id)
    again = answers.serve(server, whole=False)
    assert again is not None
    assert again.hosts == ()


def _with(port: PortSpec, entry: DhcpHost) -> PortSpec:
    return msgspec.structs.replace(port, dhcp=entry)


def _serving(server: DhcpSpec, *entries: DhcpHost) -> DhcpSpec:
    return msgspec.structs.replace(server, hosts=entries)
