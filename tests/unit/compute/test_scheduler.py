"""What a user relies on: the server goes where it was asked to go, or the refusal says why, host by host."""

from typing import Any

import pytest

from pileus.services.compute.scheduler import Candidate, Demand, NoValidHost, choose

ROOM = {"VCPU": 8, "MEMORY_MB": 8192, "DISK_GB": 100}
SMALL = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}


def host(name: str, **more: Any) -> Candidate:
    return Candidate(**{"name": name, "zone": "nova", "capacity": ROOM, "used": {}, **more})


def test_the_emptiest_host_is_chosen_and_ties_go_by_name() -> None:
    hosts = [host("b"), host("a"), host("full", used={"MEMORY_MB": 4096, "VCPU": 4, "DISK_GB": 50})]
    assert choose(hosts, Demand(SMALL)) == ["a", "b", "full"]


def test_a_refusal_counts_the_hosts_and_names_what_each_lacks() -> None:
    hosts = [host(name, used={"MEMORY_MB": 8000}) for name in ("a", "b", "c")]
    with pytest.raises(NoValidHost) as refusal:
        choose(hosts, Demand({"MEMORY_MB": 4096}))
    assert refusal.value.message.startswith("No valid host: 3 of 3 hosts lack 4096 MB of memory: a lacks 4096 MB")
    assert "(has 192)" in refusal.value.message
    assert "Choose a smaller flavor" in refusal.value.message


def test_different_reasons_are_told_host_by_host() -> None:
    hosts = [host("a", up=False), host("b", enabled=False, disabled_reason="disk is being replaced")]
    with pytest.raises(NoValidHost, match=r"a is down; b is disabled \(disk is being replaced\)"):
        choose(hosts, Demand(SMALL))


def test_a_cloud_without_hosts_says_so() -> None:
    with pytest.raises(NoValidHost, match="there is no compute host yet"):
        choose([], Demand(SMALL))


@pytest.mark.parametrize(
    ("demand", "chosen"),
    [
        (Demand(SMALL, zone="east"), ["east"]),
        (Demand(SMALL, host="east"), ["east"]),
        (Demand(SMALL, exclude=frozenset({"west"})), ["east"]),
        (Demand(SMALL, different_from=frozenset({"west"})), ["east"]),
        (Demand(SMALL, same_as=frozenset({"west"})), ["west"]),
        (Demand(SMALL, group_policy="anti-affinity", group_hosts={"west": 1}), ["east"]),
        (Demand(SMALL, group_policy="anti-affinity", group_hosts={"west": 1}, max_per_host=2), ["east", "west"]),
        (Demand(SMALL, group_policy="affinity", group_hosts={"west": 1}), ["west"]),
        (Demand(SMALL, group_policy="soft-affinity", group_hosts={"west": 1}), ["west", "east"]),
        (Demand(SMALL, group_policy="soft-anti-affinity", group_hosts={"east": 1}), ["west", "east"]),
        (Demand(SMALL, extra_specs={"trait:CUSTOM_FAST": "required"}), ["east"]),
        (Demand(SMALL, extra_specs={"trait:CUSTOM_FAST": "forbidden"}), ["west"]),
        (Demand(SMALL, extra_specs={"aggregate_instance_extra_specs:ssd": "true"}), ["west"]),
        (Demand(SMALL, project_id="mine"), ["east", "west"]),
        (Demand(SMALL, project_id="theirs"), ["east"]),
    ],
)
def test_what_is_asked_for_decides(demand: Demand, chosen: list[str]) -> None:
    east = host("east", zone="east", traits=frozenset({"CUSTOM_FAST"}))
    kept = ({"ssd": "true"}, {"filter_tenant_id": "mine"})
    west = host("west", aggregates=kept if demand.project_id else kept[:1])
    assert choose([east, west], demand) == chosen


def test_a_forced_host_is_asked_only_for_room() -> None:
    disabled = host("a", enabled=False, zone="far")
    assert choose([disabled, host("b")], Demand(SMALL, zone="nova", host="a", forced=True)) == ["a"]
    with pytest.raises(NoValidHost):
        choose([disabled], Demand({"MEMORY_MB": 9000}, host="a", forced=True))


def test_room_is_exact_to_the_last_unit() -> None:
    almost = host("a", used={"MEMORY_MB": 8192 - 512})
    assert choose([almost], Demand({"MEMORY_MB": 512})) == ["a"]
    with pytest.raises(NoValidHost):
        choose([almost], Demand({"MEMORY_MB": 513}))
