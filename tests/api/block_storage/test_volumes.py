"""Volumes over HTTP: what a user sees from creation to deletion."""

import pytest

from pileus.kernel.testing import client
from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"


async def test_a_volume_lives_and_dies(cloud: Cloud) -> None:
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 2, "name": "data"}})
    assert answer.status_code == 202
    volume = answer.json()["volume"]
    assert (volume["status"], volume["size"], volume["bootable"]) == ("creating", 2, "false")
    volume = await cloud.until("volume", volume["id"], "available")
    assert volume["availability_zone"] == "nova"
    assert volume["volume_type"] == "__DEFAULT__"
    answer = await cloud.http.delete(f"/volume/v3/volumes/{volume['id']}")
    assert answer.status_code == 202
    await cloud.until_gone("volume", volume["id"])


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"size": "#$%"}, 400, "size"),
        ({"size": ""}, 400, "size"),
        ({"size": 0}, 400, "size"),
        ({"size": "-1"}, 400, "size"),
        ({"size": 1.5}, 400, "size"),
        ({}, 400, "size"),
        ({"size": 1, "name": "x" * 256}, 400, "name"),
        ({"size": 1, "metadata": {"k": "v" * 256}}, 400, "metadata"),
        ({"size": 1, "metadata": {"": "v"}}, 400, "metadata"),
        ({"size": 1, "metadata": []}, 400, "metadata"),
        ({"size": 1, "availability_zone": "mars"}, 400, "mars"),
        ({"size": 1, "multiattach": "perhaps"}, 400, "multiattach"),
        ({"size": 1, "snapshot_id": MISSING, "source_volid": MISSING}, 400, "exclude"),
        ({"size": 1, "volume_type": MISSING}, 404, MISSING),
        ({"size": 1, "snapshot_id": MISSING}, 404, MISSING),
        ({"size": 1, "source_volid": MISSING}, 404, MISSING),
        ({"size": 1001}, 413, "gigabytes"),
    ],
)
async def test_bad_wishes_are_refused_and_leave_nothing(
    cloud: Cloud, body: dict[str, object], status: int, word: str
) -> None:
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": body})
    assert answer.status_code == status, answer.text
    (fault,) = answer.json().values()
    assert fault["code"] == status
    assert word in fault["message"]
    assert (await cloud.http.get("/volume/v3/volumes")).json() == {"volumes": []}


async def test_lists_are_filtered_sorted_and_paged(cloud: Cloud) -> None:
    made = [await cloud.volume(name=f"v{number}", metadata={"n": str(number), "Type": "work"}) for number in range(3)]
    http = cloud.http

    async def names(query: str) -> list[str]:
        answer = await http.get(f"/volume/v3/volumes/detail?{query}")
        assert answer.status_code == 200, answer.text
        return [volume["name"] for volume in answer.json()["volumes"]]

    assert await names("") == ["v2", "v1", "v0"]
    assert await names("name=v1") == ["v1"]
    assert await names("name~=V") == ["v2", "v1", "v0"]
    assert await names("status=available&sort=name:asc") == ["v0", "v1", "v2"]
    assert await names("status=null") == []
    assert await names("bootable=true") == []
    assert await names("metadata={'n': '1'}") == ["v1"]
    assert await names('metadata={"n":"2","Type":"work"}') == ["v2"]
    assert await names("metadata={'N': '1'}") == []
    assert await names("availability_zone=nova&sort_key=name&sort_dir=desc") == ["v2", "v1", "v0"]
    assert await names(f"sort=name:asc&marker={made[0]['id']}") == ["v1", "v2"]
    assert await names("sort=name:asc&offset=1&limit=1") == ["v1"]
    assert await names("limit=0") == []


async def test_lists_compare_times(cloud: Cloud) -> None:
    volume = await cloud.volume(name="v")
    await cloud.http.put(f"/volume/v3/volumes/{volume['id']}", json={"volume": {"name": "w"}})
    made = volume["created_at"]

    async def count(query: str, version: str = "3.60") -> int:
        headers = {"OpenStack-API-Version": f"volume {version}"}
        answer = await cloud.http.get(f"/volume/v3/volumes?{query}", headers=headers)
        return len(answer.json()["volumes"]) if answer.status_code == 200 else -answer.status_code

    for query, found in (
        ("created_at=gt:2040-01-01T00:00:00", 0),
        ("created_at=lt:2040-01-01T00:00:00Z", 1),
        ("created_at=gte:2020-01-01T00:00:00%2B02:00,lt:2040-01-01", 1),
        (f"created_at=gt:{made},lt:2020-01-01", 0),
        ("updated_at=lte:2040-01-01", 1),
        ("created_at=neq:2020-01-01", 1),
        ("created_at=eq:2020-01-01", 0),
        ("created_at=2020-01-01", -400),
        ("created_at=gt:soon", -400),
        ("created_at=gt:", -400),
        ("updated_at=like:2020-01-01", -400),
    ):
        assert await count(query) == found, query
    assert await count("created_at=lt:2040-01-01", "3.59") == -400
    paged = await cloud.http.get("/volume/v3/volumes?created_at=gt:2040-01-01&with_count=true")
    assert paged.json()["count"] == 0


async def test_unknown_members_are_refused_from_3_53_on(cloud: Cloud) -> None:
    wish = {"volume": {"size": 1, "bogus": 1}}

    async def status(version: str) -> int:
        headers = {"OpenStack-API-Version": f"volume {version}"}
        return (await cloud.http.post("/volume/v3/volumes", json=wish, headers=headers)).status_code

    assert (await status("3.53"), await status("3.71")) == (400, 400)
    assert (await cloud.http.get("/volume/v3/volumes")).json() == {"volumes": []}
    assert await status("3.52") == 202
    volume = await cloud.volume(display_name="n", display_description="d", consistencygroup_id=None)
    assert (volume["name"], volume["description"]) == ("n", "d")
    body = {"volume": {"name": "x", "bogus": 1}}
    assert (await cloud.http.put(f"/volume/v3/volumes/{volume['id']}", json=body)).status_code == 400


async def test_a_volume_that_never_had_a_host_is_deleted_at_once(cloud: Cloud) -> None:
    wish = {"name": "far", "extra_specs": {"volume_backend_name": "mars"}}
    made = (await cloud.admin.post("/volume/v3/types", json={"volume_type": wish})).json()["volume_type"]
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "volume_type": "far"}})
    id = answer.json()["volume"]["id"]
    await cloud.until("volume", id, "error")
    assert (await cloud.http.delete(f"/volume/v3/volumes/{id}")).status_code == 202
    assert (await cloud.admin.delete(f"/volume/v3/types/{made['id']}")).status_code == 202
    assert (await cloud.http.get(f"/volume/v3/volumes/{id}")).status_code == 404


async def test_a_mistyped_path_is_no_version_document(cloud: Cloud) -> None:
    project = (await cloud.volume())["os-vol-tenant-attr:tenant_id"]
    async with client(cloud.runtime) as http:  # whose token is of another project than the path's is told so, with 400
        for path, status in (("", 200), ("/", 200), (f"/{project}", 200), ("/bogus", 404), ("/volumes.xml", 404)):
            assert (await http.get(f"/volume/v3{path}")).status_code == status, path


async def test_following_the_links_visits_every_volume_once(cloud: Cloud) -> None:
    made = {(await cloud.volume())["id"] for _ in range(3)}
    seen, path = [], "/volume/v3/volumes?limit=1"
    while path:
        answer = (await cloud.http.get(path)).json()
        seen += [volume["id"] for volume in answer["volumes"]]
        links = {link["rel"]: link["href"] for link in answer.get("volumes_links", [])}
        path = links.get("next", "").removeprefix("http://cloud.test")
    assert sorted(seen) == sorted(made)


async def test_a_page_can_tell_how_many_there_are(cloud: Cloud) -> None:
    for _ in range(2):
        await cloud.volume()
    answer = (await cloud.http.get("/volume/v3/volumes/detail?limit=1&with_count=true")).json()
    assert (answer["count"], len(answer["volumes"])) == (2, 1)


@pytest.mark.parametrize(
    "query",
    [
        "sort_key=colour",
        "sort=name:sideways",
        "limit=-1",
        "limit=x",
        "offset=-1",
        "metadata=oops",
        "bootable=perhaps",
        "sort=name&sort_key=name",
        "colour=red",
    ],
)
async def test_bad_queries_are_refused(cloud: Cloud, query: str) -> None:
    assert (await cloud.http.get(f"/volume/v3/volumes?{query}")).status_code == 400


async def test_a_marker_that_is_gone_is_named(cloud: Cloud) -> None:
    answer = await cloud.http.get(f"/volume/v3/volumes?marker={MISSING}")
    assert answer.status_code == 404
    assert MISSING in answer.json()["itemNotFound"]["message"]


async def test_a_volume_is_renamed_and_told_apart_by_version(cloud: Cloud) -> None:
    volume = await cloud.volume(name="old", metadata={"k": "v"})
    path = f"/volume/v3/volumes/{volume['id']}"
    answer = await cloud.http.put(path, json={"volume": {"name": "new", "description": "text"}})
    assert answer.status_code == 200
    changed = answer.json()["volume"]
    assert (changed["name"], changed["description"], changed["metadata"]) == ("new", "text", {"k": "v"})
    assert (await cloud.http.put(path, json={"volume": {}})).status_code == 400
    assert (await cloud.http.put(path, json={"volume": {"name": "x" * 256}})).status_code == 400
    old = (await cloud.http.get(path, headers={"OpenStack-API-Version": "volume 3.0"})).json()["volume"]
    new = (await cloud.http.get(path)).json()["volume"]
    assert {"volume_type_id", "consumes_quota", "shared_targets", "group_id"} <= new.keys() - old.keys()
    assert "os-vol-host-attr:host" not in new
    assert (await cloud.show("volume", volume["id"], cloud.admin))["os-vol-host-attr:host"] == "fake-1@fake#fake"


async def test_a_volume_is_invisible_to_other_projects(cloud: Cloud) -> None:
    volume = await cloud.volume()
    path = f"/volume/v3/volumes/{volume['id']}"
    assert (await cloud.other.get(path)).status_code == 404
    assert (await cloud.other.delete(path)).status_code == 404
    assert (await cloud.other.put(path, json={"volume": {"name": "mine"}})).status_code == 404
    assert (await cloud.other.get("/volume/v3/volumes?all_tenants=1")).json() == {"volumes": []}
    everything = (await cloud.admin.get("/volume/v3/volumes?all_tenants=1")).json()["volumes"]
    assert [entry["id"] for entry in everything] == [volume["id"]]


async def test_an_id_that_is_missing_never_means_the_whole_list(cloud: Cloud) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert (await cloud.http.request(method, "/volume/v3/volumes/")).status_code == 404
        answer = await cloud.http.request(method, f"/volume/v3/volumes/{MISSING}", json={"volume": {"name": "n"}})
        assert answer.status_code == 404
        assert MISSING in answer.json()["itemNotFound"]["message"]


async def test_the_project_may_stand_in_the_path(cloud: Cloud) -> None:
    volume = await cloud.volume()
    project = (await cloud.show("volume", volume["id"]))["os-vol-tenant-attr:tenant_id"]
    assert (await cloud.http.get(f"/volume/v3/{project}/volumes/{volume['id']}")).status_code == 200
    assert (await cloud.other.get(f"/volume/v3/{project}/volumes")).status_code == 400


async def test_a_clone_and_a_larger_volume_from_a_snapshot(cloud: Cloud) -> None:
    origin = await cloud.volume()
    clone = await cloud.volume(source_volid=origin["id"], size=None)
    assert (clone["source_volid"], clone["size"]) == (origin["id"], 1)
    snapshot = await cloud.snapshot(origin["id"])
    larger = await cloud.volume(snapshot_id=snapshot["id"], size=3)
    assert (larger["snapshot_id"], larger["size"]) == (snapshot["id"], 3)
    big = await cloud.volume(size=2)
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "source_volid": big["id"]}})
    assert answer.status_code == 400
    assert "smaller than its source" in answer.json()["badRequest"]["message"]


async def test_metadata_is_added_replaced_and_removed(cloud: Cloud) -> None:
    volume = await cloud.volume(metadata={"a": "1"})
    path, http = f"/volume/v3/volumes/{volume['id']}/metadata", cloud.http
    assert (await http.post(path, json={"metadata": {"b": "2"}})).json() == {"metadata": {"a": "1", "b": "2"}}
    assert (await http.put(f"{path}/b", json={"meta": {"b": "3"}})).json() == {"meta": {"b": "3"}}
    assert (await http.get(f"{path}/b")).json() == {"meta": {"b": "3"}}
    assert (await http.delete(f"{path}/b")).status_code == 200
    assert (await http.get(path)).json() == {"metadata": {"a": "1"}}
    assert (await http.put(path, json={"metadata": {}})).json() == {"metadata": {}}
    assert (await http.get(f"{path}/b")).status_code == 404
    assert (await http.delete(f"{path}/b")).status_code == 404
    for bad in ({"metadata": {"": "x"}}, {"metadata": {"k" * 256: "x"}}, {"metadata": {"k": 1}}, {"other": {}}, []):
        assert (await http.post(path, json=bad)).status_code == 400
    assert (await http.put(f"{path}/b", json={"meta": {"c": "3"}})).status_code == 400


async def test_a_summary_counts_what_the_project_has(cloud: Cloud) -> None:
    await cloud.volume(size=2, metadata={"k": "v"})
    answer = (await cloud.http.get("/volume/v3/volumes/summary")).json()["volume-summary"]
    assert answer == {"total_count": 1, "total_size": 2, "metadata": {"k": ["v"]}}


async def test_versions_are_announced(cloud: Cloud) -> None:
    answer = await cloud.http.get("/volume/")
    assert answer.status_code == 300
    (version,) = answer.json()["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")
    assert (await cloud.http.get("/volume/v3/")).json()["versions"] == [version]
    refused = await cloud.http.get("/volume/v3/volumes", headers={"OpenStack-API-Version": "volume 3.999"})
    assert refused.status_code == 406
    answered = await cloud.http.get("/volume/v3/volumes")
    assert answered.headers["OpenStack-API-Version"] == "volume 3.71"
