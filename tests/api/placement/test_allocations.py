"""Holding resources: nobody gets more than there is, and nothing is half done."""

import pytest

from pileus.kernel import ids
from tests.api.placement.build import claim, provider, take, version


async def test_what_is_held_is_shown_from_both_sides(http):
    host = await provider(http, "host", {"VCPU": 4, "MEMORY_MB": 1024})
    consumer = await take(http, {host: {"VCPU": 2, "MEMORY_MB": 512}})
    shown = (await http.get(f"allocations/{consumer}")).json()
    assert shown["allocations"][host]["resources"] == {"VCPU": 2, "MEMORY_MB": 512}
    assert (shown["project_id"], shown["user_id"], shown["consumer_type"]) == ("p", "u", "INSTANCE")
    assert shown["consumer_generation"] == 1
    other = (await http.get(f"resource_providers/{host}/allocations")).json()
    assert other["allocations"][consumer]["resources"] == {"VCPU": 2, "MEMORY_MB": 512}
    assert (await http.get(f"resource_providers/{host}/usages")).json()["usages"] == {"VCPU": 2, "MEMORY_MB": 512}
    assert (await http.delete(f"allocations/{consumer}")).status_code == 204
    assert (await http.delete(f"allocations/{consumer}")).status_code == 404
    assert (await http.get(f"allocations/{consumer}")).json() == {"allocations": {}}


async def test_too_much_is_refused_with_the_figures_and_changes_nothing(http):
    host = await provider(http, "host", {"VCPU": {"total": 4, "reserved": 1, "allocation_ratio": 2.0}})
    await take(http, {host: {"VCPU": 5}})
    answer = await http.put(f"allocations/{ids.new_id()}", json=claim({host: {"VCPU": 2}}))
    assert answer.status_code == 409
    assert "only 1 of 6 are free" in answer.json()["errors"][0]["detail"]
    assert (await http.get(f"resource_providers/{host}/usages")).json()["usages"] == {"VCPU": 5}
    await take(http, {host: {"VCPU": 1}})


async def test_the_consumers_generation_guards_against_others(http):
    host = await provider(http, "host", {"VCPU": 4})
    consumer = await take(http, {host: {"VCPU": 1}})
    path = f"allocations/{consumer}"
    for stale in (None, 0, 7):
        answer = await http.put(path, json=claim({host: {"VCPU": 2}}, stale))
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["code"] == "placement.concurrent_update"
    assert (await http.put(path, json=claim({host: {"VCPU": 2}}, 1))).status_code == 204
    assert (await http.put(path, json=claim({}, 2))).status_code == 204
    assert (await http.get(path)).json() == {"allocations": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"allocations": None},
        {"allocations": {"x": {"resources": {"VCPU": 1}}}},
        {"allocations": {ids.new_id(): {}}},
        {"allocations": {ids.new_id(): {"resources": {}}}},
        {"allocations": {ids.new_id(): {"resources": {"VCPU": 0}}}},
        {"allocations": {ids.new_id(): {"resources": {"VCPU": "1"}}}},
        {"allocations": {ids.new_id(): {"resources": {"VCPU": 1}}}},
        {"allocations": {ids.new_id(): {"resources": {"NO_SUCH": 1}}}},
        {"project_id": ""},
        {"user_id": 5},
        {"consumer_type": "lower"},
        {"colour": 1},
    ],
)
async def test_a_malformed_claim_is_400(http, change):
    host = await provider(http, "host", {"VCPU": 4})
    body = {**claim({host: {"VCPU": 1}}), **change}
    assert (await http.put(f"allocations/{ids.new_id()}", json=body)).status_code == 400
    assert (await http.get(f"resource_providers/{host}/usages")).json()["usages"] == {"VCPU": 0}


@pytest.mark.parametrize("member", ["allocations", "project_id", "user_id", "consumer_generation", "consumer_type"])
async def test_every_member_of_a_claim_is_needed(http, member):
    host = await provider(http, "host", {"VCPU": 4})
    body = claim({host: {"VCPU": 1}})
    del body[member]
    assert (await http.put(f"allocations/{ids.new_id()}", json=body)).status_code == 400


async def test_a_consumer_must_be_a_uuid(http):
    host = await provider(http, "host", {"VCPU": 4})
    assert (await http.put("allocations/x", json=claim({host: {"VCPU": 1}}))).status_code == 400


async def test_the_formats_of_old(http):
    host = await provider(http, "host", {"VCPU": 4})
    part = {"allocations": [{"resource_provider": {"uuid": host}, "resources": {"VCPU": 1}}]}
    path = f"allocations/{ids.new_id()}"
    assert (await http.put(path, json=part, headers=version("1.0"))).status_code == 204
    assert (await http.put(path, json=part, headers=version("1.8"))).status_code == 400
    owned = {**part, "project_id": "p", "user_id": "u"}
    assert (await http.put(path, json=owned, headers=version("1.8"))).status_code == 204
    assert (await http.put(path, json=owned, headers=version("1.7"))).status_code == 400
    assert (await http.put(path, json=owned, headers=version("1.12"))).status_code == 400
    shown = (await http.get(path, headers=version("1.11"))).json()
    assert shown.keys() == {"allocations"}
    new = {"allocations": {host: {"resources": {"VCPU": 2}}}, "project_id": "p", "user_id": "u"}
    assert (await http.put(path, json=new, headers=version("1.12"))).status_code == 204
    assert (await http.get(path, headers=version("1.28"))).json()["consumer_generation"] == 3
    empty = {**new, "allocations": {}}
    assert (await http.put(path, json=empty, headers=version("1.27"))).status_code == 400


async def test_many_at_once_is_all_or_nothing(http):
    host, other = await provider(http, "host", {"VCPU": 4}), await provider(http, "other", {"VCPU": 4})
    one = await take(http, {host: {"VCPU": 4}})
    two = ids.new_id()
    too_much = {one: claim({other: {"VCPU": 4}}, 1), two: claim({other: {"VCPU": 1}})}
    assert (await http.post("allocations", json=too_much)).status_code == 409
    assert (await http.get(f"resource_providers/{host}/usages")).json()["usages"] == {"VCPU": 4}
    swap = {one: claim({other: {"VCPU": 4}}, 1), two: claim({host: {"VCPU": 4}})}
    assert (await http.post("allocations", json=swap)).status_code == 204
    assert (await http.get(f"resource_providers/{other}/usages")).json()["usages"] == {"VCPU": 4}
    assert (await http.post("allocations", json={})).status_code == 400


async def test_usages_of_a_project(http, cloud):
    host = await provider(http, "host", {"VCPU": 8})
    await take(http, {host: {"VCPU": 1}})
    await take(http, {host: {"VCPU": 2}})
    assert (await http.get("usages?project_id=p")).json() == {"usages": {"INSTANCE": {"consumer_count": 2, "VCPU": 3}}}
    assert (await http.get("usages?project_id=p", headers=version("1.9"))).json() == {"usages": {"VCPU": 3}}
    every = (await http.get("usages?project_id=p&consumer_type=all")).json()
    assert every == {"usages": {"all": {"consumer_count": 2, "VCPU": 3}}}
    assert (await http.get("usages?project_id=p&user_id=x")).json() == {"usages": {}}
    for bad in ("", "?user_id=u", "?project_id=p&colour=1"):
        assert (await http.get(f"usages{bad}")).status_code == 400


async def test_a_reshape_moves_inventories_and_what_is_held_together(http):
    host = await provider(http, "host", {"VCPU": 4, "VGPU": 2})
    child = await provider(http, "gpu", parent=host)
    consumer = await take(http, {host: {"VCPU": 1, "VGPU": 2}})
    generations = {uuid: (await http.get(f"resource_providers/{uuid}")).json()["generation"] for uuid in (host, child)}

    def part(uuid, stocks):
        return {"resource_provider_generation": generations[uuid], "inventories": stocks}

    body = {
        "inventories": {host: part(host, {"VCPU": {"total": 4}}), child: part(child, {"VGPU": {"total": 2}})},
        "allocations": {consumer: claim({host: {"VCPU": 1}, child: {"VGPU": 2}}, 1)},
    }
    left_behind = {**body, "allocations": {}}
    assert (await http.post("reshaper", json=left_behind)).status_code == 409
    assert (await http.post("reshaper", json=body)).status_code == 204
    assert (await http.get(f"resource_providers/{child}/usages")).json()["usages"] == {"VGPU": 2}
    assert (await http.get(f"resource_providers/{host}/inventories")).json()["inventories"].keys() == {"VCPU"}
    assert (await http.post("reshaper", json=body)).status_code == 409
