"""Where a request would fit: the simple case, and trees, groups, sharing, aggregates."""

import pytest

from pileus.kernel import ids
from tests.api.placement.build import candidates, provider, take, version

SHARES = "MISC_SHARES_VIA_AGGREGATE"


async def test_only_those_with_room(http):
    small, large = await provider(http, "small", {"VCPU": 2}), await provider(http, "large", {"VCPU": 8})
    assert await candidates(http, "resources=VCPU:4") == [{large: {"VCPU": 4}}]
    await take(http, {large: {"VCPU": 5}})
    assert await candidates(http, "resources=VCPU:4") == []
    assert await candidates(http, "resources=VCPU:2") == [{small: {"VCPU": 2}}, {large: {"VCPU": 2}}]
    assert len(await candidates(http, "resources=VCPU:2&limit=1")) == 1


async def test_traits(http):
    fast = await provider(http, "fast", {"VCPU": 2}, traits=("HW_CPU_X86_AVX2",))
    slow = await provider(http, "slow", {"VCPU": 2}, traits=("HW_CPU_X86_SSE",))
    assert await candidates(http, "resources=VCPU:1&required=HW_CPU_X86_AVX2") == [{fast: {"VCPU": 1}}]
    assert await candidates(http, "resources=VCPU:1&required=!HW_CPU_X86_AVX2") == [{slow: {"VCPU": 1}}]
    both = await candidates(http, "resources=VCPU:1&required=in:HW_CPU_X86_AVX2,HW_CPU_X86_SSE")
    assert len(both) == 2
    assert await candidates(http, "resources=VCPU:1&required=in:HW_CPU_X86_AVX2&required=HW_CPU_X86_SSE") == []


async def test_aggregates(http):
    group, far = ids.new_id(), ids.new_id()
    inside = await provider(http, "in", {"VCPU": 2}, aggregates=(group,))
    outside = await provider(http, "out", {"VCPU": 2})
    assert await candidates(http, f"resources=VCPU:1&member_of={group}") == [{inside: {"VCPU": 1}}]
    assert await candidates(http, f"resources=VCPU:1&member_of=in:{far},{group}") == [{inside: {"VCPU": 1}}]
    assert await candidates(http, f"resources=VCPU:1&member_of=!{group}") == [{outside: {"VCPU": 1}}]
    assert await candidates(http, f"resources=VCPU:1&member_of={group}&member_of={far}") == []


async def test_a_tree_gives_together(http):
    host = await provider(http, "host", {"VCPU": 4})
    gpu = await provider(http, "gpu", {"VGPU": 1}, parent=host)
    await provider(http, "lonely", {"VCPU": 4})
    wanted = "resources=VCPU:1,VGPU:1"
    assert await candidates(http, wanted) == [{host: {"VCPU": 1}, gpu: {"VGPU": 1}}]
    assert await candidates(http, wanted, "1.28") == []
    answer = (await http.get(f"allocation_candidates?{wanted}")).json()
    assert answer["provider_summaries"][gpu]["parent_provider_uuid"] == host
    assert answer["provider_summaries"][host]["resources"] == {"VCPU": {"capacity": 4, "used": 0}}
    assert sorted(answer["allocation_requests"][0]["mappings"][""]) == sorted([host, gpu])


async def test_granular_groups(http):
    host = await provider(http, "host", {"VCPU": 4})
    nics = [
        await provider(http, f"nic{n}", {"SRIOV_NET_VF": 4}, traits=("HW_NIC_SRIOV",), parent=host) for n in range(2)
    ]
    query = "resources=VCPU:1&resources1=SRIOV_NET_VF:1&resources2=SRIOV_NET_VF:1"
    assert (await http.get(f"allocation_candidates?{query}")).status_code == 400
    loose = await candidates(http, f"{query}&group_policy=none")
    assert {nics[0]: {"SRIOV_NET_VF": 2}, host: {"VCPU": 1}} in loose
    assert len(loose) == 4
    apart = await candidates(http, f"{query}&group_policy=isolate")
    assert len(apart) == 2
    assert all(set(one) == {host, *nics} for one in apart)
    tight = "resources1=SRIOV_NET_VF:3&resources2=SRIOV_NET_VF:3&group_policy=none"
    assert all(len(one) == 2 for one in await candidates(http, tight))
    none = "resources=VCPU:1&resources_NIC=SRIOV_NET_VF:1&required_NIC=HW_CPU_X86_AVX2"
    assert await candidates(http, none) == []


async def test_in_tree_and_root_required(http):
    host = await provider(http, "host", {"VCPU": 4}, traits=("HW_CPU_X86_AVX2",))
    other = await provider(http, "other", {"VCPU": 4})
    assert await candidates(http, f"resources=VCPU:1&in_tree={other}") == [{other: {"VCPU": 1}}]
    assert await candidates(http, "resources=VCPU:1&root_required=HW_CPU_X86_AVX2") == [{host: {"VCPU": 1}}]
    assert await candidates(http, "resources=VCPU:1&root_required=!HW_CPU_X86_AVX2") == [{other: {"VCPU": 1}}]


async def test_same_subtree(http):
    host = await provider(http, "host", {"MEMORY_MB": 1024})
    parts = {}
    for node in ("a", "b"):
        numa = await provider(http, f"numa-{node}", {"VCPU": 4}, parent=host)
        gpu = await provider(http, f"gpu-{node}", {"VGPU": 1}, parent=numa)
        parts[node] = {numa: {"VCPU": 1}, gpu: {"VGPU": 1}}
    query = "resources_CPU=VCPU:1&resources_GPU=VGPU:1&group_policy=none"
    assert len(await candidates(http, query)) == 4
    together = await candidates(http, f"{query}&same_subtree=_CPU,_GPU")
    assert sorted(map(sorted, together)) == sorted(map(sorted, parts.values()))


async def test_a_sharing_provider_serves_the_trees_of_its_aggregate(http):
    group = ids.new_id()
    host = await provider(http, "host", {"VCPU": 4}, aggregates=(group,))
    await provider(http, "far", {"VCPU": 4})
    store = await provider(http, "store", {"DISK_GB": 100}, traits=(SHARES,), aggregates=(group,))
    assert await candidates(http, "resources=VCPU:1,DISK_GB:10") == [{host: {"VCPU": 1}, store: {"DISK_GB": 10}}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "resources=",
        "resources=VCPU",
        "resources=VCPU:0",
        "resources=VCPU:x",
        "resources=VCPU:1,VCPU:2",
        "resources=NO_SUCH:1",
        "resources=VCPU:1&required=NO_SUCH",
        "resources=VCPU:1&required=",
        "resources=VCPU:1&required=HW_CPU_X86_AVX2,!HW_CPU_X86_AVX2",
        "resources=VCPU:1&member_of=x",
        "resources=VCPU:1&in_tree=x",
        "resources=VCPU:1&limit=0",
        "resources=VCPU:1&limit=x",
        "resources=VCPU:1&group_policy=x",
        "resources=VCPU:1&required1=HW_CPU_X86_AVX2",
        "resources=VCPU:1&same_subtree=_X",
        "resources=VCPU:1&colour=red",
        "resources=VCPU:1&resources=VCPU:2",
    ],
)
async def test_malformed_requests_are_400(http, query):
    answer = await http.get(f"allocation_candidates?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("query", "since"),
    [
        ("limit=1", "1.16"),
        ("required=HW_CPU_X86_AVX2", "1.17"),
        ("required=!HW_CPU_X86_AVX2", "1.22"),
        ("resources1=VCPU:1", "1.25"),
        ("resources_A=VCPU:1", "1.33"),
        ("required=in:HW_CPU_X86_AVX2", "1.39"),
    ],
)
async def test_what_came_later_is_refused_before(http, query, since):
    await provider(http, "host", {"VCPU": 4})
    before = f"1.{int(since.split('.')[1]) - 1}"
    path = f"allocation_candidates?resources=VCPU:1&{query}"
    assert (await http.get(path, headers=version(before))).status_code == 400
    assert (await http.get(path, headers=version(since))).status_code == 200


async def test_the_format_of_old(http):
    host = await provider(http, "host", {"VCPU": 4})
    answer = (await http.get("allocation_candidates?resources=VCPU:1", headers=version("1.10"))).json()
    assert answer["allocation_requests"] == [
        {"allocations": [{"resource_provider": {"uuid": host}, "resources": {"VCPU": 1}}]}
    ]
    assert answer["provider_summaries"] == {host: {"resources": {"VCPU": {"capacity": 4, "used": 0}}}}
