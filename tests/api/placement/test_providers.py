"""Providers, inventories, traits, classes and aggregates as clients of any version see them."""

import pytest

from pileus.kernel import ids
from pileus.kernel.testing import client
from pileus.services.identity.testing import login
from tests.api.placement.build import provider, take, version


async def test_the_version_is_open_to_all(cloud):
    async with client(cloud) as http:
        answer = await http.get("/placement/")
        assert answer.json()["versions"][0]["max_version"] == "1.39"
        assert (await http.get("/placement/resource_providers")).status_code == 401


async def test_only_operators_and_services_enter(cloud):
    async with client(cloud, await login(cloud, "demo")) as http:
        for path in ("resource_providers", "traits", "allocation_candidates?resources=VCPU:1"):
            answer = await http.get(f"/placement/{path}", headers=version("1.39"))
            assert answer.status_code == 403, path


async def test_a_provider_from_birth_to_death(http):
    made = await http.post("resource_providers", json={"name": "host"})
    assert made.status_code == 200
    row = made.json()
    path = f"resource_providers/{row['uuid']}"
    assert row["root_provider_uuid"] == row["uuid"]
    assert row["parent_provider_uuid"] is None
    assert {link["rel"] for link in row["links"]} == {
        "self", "inventories", "usages", "aggregates", "traits", "allocations",
    }  # fmt: skip
    renamed = await http.put(path, json={"name": "other"})
    assert renamed.json()["name"] == "other"
    assert (await http.get("resource_providers?name=other")).json()["resource_providers"][0]["uuid"] == row["uuid"]
    assert (await http.get("resource_providers?name=host")).json() == {"resource_providers": []}
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.delete(path)).status_code == 404


async def test_older_versions_know_less(http):
    made = await http.post("resource_providers", json={"name": "host"}, headers=version("1.0"))
    assert (made.status_code, made.content) == (201, b"")
    row = (await http.get(made.headers["location"], headers=version("1.0"))).json()
    assert row.keys() == {"uuid", "name", "generation", "links"}
    assert {link["rel"] for link in row["links"]} == {"self", "inventories", "usages"}
    assert (await http.get("traits", headers=version("1.5"))).status_code == 404
    refused = await http.post(
        "resource_providers", json={"name": "b", "parent_provider_uuid": row["uuid"]}, headers=version("1.13")
    )
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": 5},
        {"name": "a", "uuid": "x"},
        {"name": "a", "colour": 1},
        [],
        None,
    ],
)
async def test_a_malformed_provider_is_refused(http, body):
    answer = await http.post("resource_providers", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"]
    assert (await http.get("resource_providers")).json() == {"resource_providers": []}


async def test_names_and_uuids_are_unique(http):
    uuid = await provider(http, "host")
    assert (await http.post("resource_providers", json={"name": "host"})).status_code == 409
    assert (await http.post("resource_providers", json={"name": "b", "uuid": uuid})).status_code == 409
    other = await provider(http, "b")
    answer = await http.put(f"resource_providers/{other}", json={"name": "host"})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "placement.duplicate_name"


async def test_trees(http):
    root = await provider(http, "root")
    child = await provider(http, "child", parent=root)
    leaf = await provider(http, "leaf", parent=child)
    tree = (await http.get(f"resource_providers?in_tree={leaf}")).json()["resource_providers"]
    assert {row["name"] for row in tree} == {"root", "child", "leaf"}
    assert {row["root_provider_uuid"] for row in tree} == {root}
    refused = await http.delete(f"resource_providers/{root}")
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["code"] == "placement.resource_provider.cannot_delete_parent"
    circle = await http.put(f"resource_providers/{root}", json={"name": "root", "parent_provider_uuid": leaf})
    assert circle.status_code == 400
    nowhere = {"name": "leaf", "parent_provider_uuid": ids.new_id()}
    assert (await http.put(f"resource_providers/{leaf}", json=nowhere)).status_code == 400
    assert (await http.post("resource_providers", json={**nowhere, "name": "x"})).status_code == 400
    moved = {"name": "child", "parent_provider_uuid": None}
    refused = await http.put(f"resource_providers/{child}", json=moved, headers=version("1.36"))
    assert refused.status_code == 400
    assert (await http.put(f"resource_providers/{child}", json=moved)).json()["root_provider_uuid"] == child
    assert (await http.get(f"resource_providers/{leaf}")).json()["root_provider_uuid"] == child


async def test_inventories_need_the_generation_they_were_decided_on(http):
    uuid = await provider(http, "host", {"VCPU": 4})
    path = f"resource_providers/{uuid}/inventories"
    shown = (await http.get(path)).json()
    assert shown["inventories"]["VCPU"]["total"] == 4
    body = {"inventories": {"VCPU": {"total": 8}}, "resource_provider_generation": 0}
    stale = await http.put(path, json=body)
    assert stale.status_code == 409
    assert stale.json()["errors"][0]["code"] == "placement.concurrent_update"
    fresh = {**body, "resource_provider_generation": shown["resource_provider_generation"]}
    done = (await http.put(path, json=fresh)).json()
    assert done["inventories"]["VCPU"]["total"] == 8
    assert done["resource_provider_generation"] == shown["resource_provider_generation"] + 1


async def test_single_inventories(http):
    uuid = await provider(http, "host")
    path = f"resource_providers/{uuid}/inventories"
    made = await http.post(path, json={"resource_class": "VCPU", "total": 4, "allocation_ratio": 16})
    assert made.status_code == 201
    assert made.json()["allocation_ratio"] == 16.0
    assert (await http.post(path, json={"resource_class": "VCPU", "total": 4})).status_code == 409
    assert (await http.get(f"{path}/VCPU")).json()["total"] == 4
    assert (await http.get(f"{path}/VGPU")).status_code == 404
    update = {"total": 5, "resource_provider_generation": made.json()["resource_provider_generation"]}
    assert (await http.put(f"{path}/VGPU", json=update)).status_code == 400
    assert (await http.put(f"{path}/VCPU", json=update)).json()["total"] == 5
    assert (await http.put(f"{path}/VCPU", json=update)).status_code == 409
    assert (await http.delete(f"{path}/VGPU")).status_code == 404
    assert (await http.delete(f"{path}/VCPU")).status_code == 204
    assert (await http.get(path)).json()["inventories"] == {}


@pytest.mark.parametrize(
    "stock",
    [
        {},
        {"total": 0},
        {"total": -1},
        {"total": "4"},
        {"total": 2**31},
        {"total": 4, "reserved": 5},
        {"total": 4, "min_unit": 0},
        {"total": 4, "step_size": 0},
        {"total": 4, "allocation_ratio": 0},
        {"total": 4, "colour": 1},
    ],
)
async def test_a_malformed_inventory_is_refused_and_nothing_changes(http, stock):
    uuid = await provider(http, "host", {"VCPU": 4})
    path = f"resource_providers/{uuid}/inventories"
    before = (await http.get(path)).json()
    body = {"inventories": {"VCPU": stock}, "resource_provider_generation": before["resource_provider_generation"]}
    assert (await http.put(path, json=body)).status_code == 400
    body["inventories"] = {"NO_SUCH_CLASS": {"total": 1}}
    assert (await http.put(path, json=body)).status_code == 400
    assert (await http.get(path)).json() == before


async def test_reserving_everything_came_with_1_26(http):
    uuid = await provider(http, "host")
    body = {"resource_class": "VCPU", "total": 4, "reserved": 4}
    path = f"resource_providers/{uuid}/inventories"
    assert (await http.post(path, json=body, headers=version("1.25"))).status_code == 400
    assert (await http.post(path, json=body)).status_code == 201


async def test_what_is_held_cannot_be_taken_away(http):
    uuid = await provider(http, "host", {"VCPU": 4, "DISK_GB": 10})
    await take(http, {uuid: {"VCPU": 1}})
    path = f"resource_providers/{uuid}/inventories"
    for answer in (await http.delete(path), await http.delete(f"{path}/VCPU")):
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["code"] == "placement.inventory.inuse"
    assert (await http.delete(f"{path}/DISK_GB")).status_code == 204
    assert (await http.delete(f"resource_providers/{uuid}")).status_code == 409
    assert (await http.get(f"resource_providers/{uuid}/usages")).json()["usages"] == {"VCPU": 1}


async def test_resource_classes(http):
    names = [row["name"] for row in (await http.get("resource_classes")).json()["resource_classes"]]
    assert {"VCPU", "MEMORY_MB", "DISK_GB", "PCPU"} <= set(names)
    assert (await http.put("resource_classes/CUSTOM_GOLD")).status_code in (200, 201)
    assert (await http.put("resource_classes/CUSTOM_GOLD")).status_code == 204
    assert (await http.get("resource_classes/CUSTOM_GOLD")).json()["name"] == "CUSTOM_GOLD"
    assert (await http.post("resource_classes", json={"name": "CUSTOM_GOLD"})).status_code == 409
    assert (await http.post("resource_classes", json={"name": "CUSTOM_TIN"})).status_code == 201
    for bad in ("GOLD", "CUSTOM_gold", "CUSTOM_", ""):
        assert (await http.post("resource_classes", json={"name": bad})).status_code == 400
    assert (await http.put("resource_classes/GOLD")).status_code == 400
    await provider(http, "host", {"CUSTOM_GOLD": 1})
    assert (await http.delete("resource_classes/CUSTOM_GOLD")).status_code == 409
    assert (await http.delete("resource_classes/CUSTOM_TIN")).status_code == 204
    assert (await http.delete("resource_classes/CUSTOM_TIN")).status_code == 404
    assert (await http.delete("resource_classes/VCPU")).status_code == 400


async def test_traits(http):
    assert "HW_CPU_X86_AVX2" in (await http.get("traits")).json()["traits"]
    assert (await http.put("traits/CUSTOM_FAST")).status_code in (200, 201)
    assert (await http.put("traits/CUSTOM_FAST")).status_code == 204
    assert (await http.put("traits/FAST")).status_code == 400
    assert (await http.get("traits/CUSTOM_FAST")).status_code == 204
    assert (await http.get("traits/CUSTOM_SLOW")).status_code == 404
    assert (await http.get("traits?name=startswith:CUSTOM_")).json()["traits"] == ["CUSTOM_FAST"]
    assert (await http.get("traits?name=in:CUSTOM_FAST,CUSTOM_NONE")).json()["traits"] == ["CUSTOM_FAST"]
    assert (await http.get("traits?name=CUSTOM_FAST")).status_code == 400
    assert (await http.get("traits?associated=perhaps")).status_code == 400
    uuid = await provider(http, "host", traits=("CUSTOM_FAST",))
    assert (await http.get("traits?associated=true")).json()["traits"] == ["CUSTOM_FAST"]
    assert (await http.delete("traits/CUSTOM_FAST")).status_code == 409
    assert (await http.delete("traits/HW_CPU_X86_AVX2")).status_code == 400
    path = f"resource_providers/{uuid}/traits"
    body = {"traits": ["CUSTOM_NONE"], "resource_provider_generation": 1}
    assert (await http.put(path, json=body)).status_code == 400
    stale = {"traits": ["CUSTOM_FAST"], "resource_provider_generation": 0}
    assert (await http.put(path, json=stale)).status_code == 409
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).json()["traits"] == []
    assert (await http.delete("traits/CUSTOM_FAST")).status_code == 204
    assert (await http.delete("traits/CUSTOM_FAST")).status_code == 404


async def test_aggregates_in_both_formats(http):
    uuid, group = await provider(http, "host"), ids.new_id()
    path = f"resource_providers/{uuid}/aggregates"
    old = await http.put(path, json=[group], headers=version("1.18"))
    assert old.json() == {"aggregates": [group]}
    plain = ids.new_id().replace("-", "")
    as_sent = await http.put(path, json={"aggregates": [plain], "resource_provider_generation": 0})
    assert as_sent.json()["aggregates"] == [plain]
    assert (await http.put(path, json=[group], headers=version("1.18"))).status_code == 200
    assert (await http.put(path, json=["x"], headers=version("1.18"))).status_code == 400
    assert (await http.put(path, json={"aggregates": [], "resource_provider_generation": 7})).status_code == 409
    assert (await http.get(f"resource_providers?member_of={group}")).json()["resource_providers"][0]["uuid"] == uuid
    assert (await http.get(f"resource_providers?member_of=!{group}")).json()["resource_providers"] == []
    assert (await http.get("resource_providers?member_of=x")).status_code == 400


async def test_listing_filters(http):
    fast = await provider(http, "fast", {"VCPU": 4}, traits=("HW_CPU_X86_AVX2",))
    slow = await provider(http, "slow", {"VCPU": 2})

    async def found(query):
        answer = await http.get(f"resource_providers?{query}")
        assert answer.status_code == 200, answer.text
        return {row["uuid"] for row in answer.json()["resource_providers"]}

    assert await found("resources=VCPU:3") == {fast}
    assert await found("resources=VCPU:1") == {fast, slow}
    assert await found("required=HW_CPU_X86_AVX2") == {fast}
    assert await found("required=!HW_CPU_X86_AVX2") == {slow}
    assert await found(f"uuid={slow}") == {slow}
    for bad in ("resources=VCPU", "resources=VCPU:0", "resources=NONE:1", "required=NONE", "uuid=x", "colour=red"):
        assert (await http.get(f"resource_providers?{bad}")).status_code == 400, bad
