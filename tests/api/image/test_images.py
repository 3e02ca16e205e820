"""Images over HTTP: created, listed, shown, patched, shared, deleted."""

import uuid
from typing import Any

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from tests.api.image.conftest import PATCH, create, speaking, upload

ATTRIBUTES = {
    *("id", "name", "status", "visibility", "owner", "protected", "os_hidden", "container_format", "disk_format"),
    *("min_disk", "min_ram", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "tags"),
    *("created_at", "updated_at", "self", "file", "schema"),
}


async def test_versions(http: httpx.AsyncClient) -> None:
    answer = await http.get("http://cloud.test/image")
    assert answer.status_code == 300
    assert answer.json()["versions"][0]["links"][0]["href"] == "http://cloud.test/image/v2/"
    assert (await http.get("http://cloud.test/image/versions")).json() == answer.json()


async def test_create_and_show(http: httpx.AsyncClient) -> None:
    answer = await http.post("images", json={"name": "a", "os_distro": "debian", "min_ram": 64, "tags": ["b", "a"]})
    assert answer.status_code == 201
    image = answer.json()
    assert answer.headers["location"] == f"http://cloud.test/image/v2/images/{image['id']}"
    assert answer.headers["openstack-image-import-methods"] == "glance-direct,web-download"
    assert set(image) == ATTRIBUTES | {"os_distro"}
    assert (image["status"], image["visibility"], image["owner"]) == ("queued", "shared", "p1")
    assert (image["os_distro"], image["min_ram"], image["tags"]) == ("debian", 64, ["a", "b"])
    assert image["self"] == f"/v2/images/{image['id']}"
    assert (await http.get(f"images/{image['id']}")).json() == image


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": 7}, 400, "name"),
        ({"name": "n" * 256}, 400, "name"),
        ({"disk_format": "wrong"}, 400, "disk_format"),
        ({"container_format": "wrong"}, 400, "container_format"),
        ({"visibility": "secret"}, 400, "visibility"),
        ({"min_disk": -1}, 400, "min_disk"),
        ({"min_ram": 2**31}, 400, "min_ram"),
        ({"protected": "yes"}, 400, "protected"),
        ({"tags": "a"}, 400, "tags"),
        ({"tags": ["t" * 256]}, 400, "tags"),
        ({"anything": 5}, 400, "anything"),
        ({"anything": None}, 400, "anything"),
        ({"kernel_id": "x"}, 400, "kernel_id"),
        ({"id": "x"}, 400, "UUID"),
        ({"p" * 256: "x"}, 400, "255"),
        ({"status": "active"}, 403, "read-only"),
        ({"checksum": "x"}, 403, "read-only"),
        ({"locations": []}, 403, "read-only"),
        ({"deleted": "x"}, 403, "reserved"),
        ({"os_glance_x": "x"}, 403, "reserved"),
        ({"owner": "p2"}, 403, "p2"),
        ({"visibility": "public"}, 403, "publicize_image"),
        ({f"p{i}": "x" for i in range(129)}, 413, "128"),
        ({"tags": [f"t{i}" for i in range(129)]}, 413, "128"),
        ([], 400, ""),
        ("x", 400, ""),
    ],
)
async def test_bad_bodies_create_nothing(http: httpx.AsyncClient, body: Any, status: int, words: str) -> None:
    answer = await http.post("images", json=body)
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert (await http.get("images")).json()["images"] == []


async def test_a_client_may_choose_the_id_once(http: httpx.AsyncClient) -> None:
    id = str(uuid.uuid4())
    assert (await create(http, id=id))["id"] == id
    assert (await http.post("images", json={"id": id})).status_code == 409


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_unknown_images(http: httpx.AsyncClient, method: str) -> None:
    for id in (str(uuid.uuid4()), "nonsense"):
        answer = await http.request(method, f"images/{id}", headers=PATCH, content=b"[]")
        assert answer.status_code == 404
        assert id in answer.json()["message"]


async def test_an_empty_id_is_not_the_list(http: httpx.AsyncClient) -> None:
    assert (await http.get("images/")).status_code == 404
    assert (await http.delete("images/")).status_code == 404


async def test_nobody_is_refused(cloud: Runtime) -> None:
    async with speaking(cloud, "") as http:
        http.headers.pop("x-auth-token", None)
        assert (await http.get("images")).status_code == 401
        assert (await http.post("images", json={})).status_code == 401


async def test_a_reader_reads_only(cloud: Runtime, http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    async with speaking(cloud, "p1/u3/reader") as reader:
        assert (await reader.get(f"images/{id}")).status_code == 200
        assert (await reader.post("images", json={})).status_code == 403
        assert (await reader.delete(f"images/{id}")).status_code == 403
        assert (await upload(reader, id)).status_code == 403


async def test_who_sees_what(http: httpx.AsyncClient, other: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    ids = {kind: (await create(http, name=kind, visibility=kind))["id"] for kind in ("private", "shared", "community")}
    ids["public"] = (await create(admin, name="public", visibility="public"))["id"]

    async def seen(who: httpx.AsyncClient, query: str = "") -> set[str]:
        return {image["name"] for image in (await who.get(f"images{query}")).json()["images"]}

    assert await seen(http) == {"private", "shared", "community", "public"}
    assert await seen(other) == {"public"}
    assert await seen(other, "?visibility=community") == {"community"}
    assert await seen(other, "?visibility=all") == {"community", "public"}
    assert await seen(admin) == {"private", "shared", "community", "public"}
    assert await seen(admin, "?visibility=private") == {"private"}
    for kind, status in {"private": 404, "shared": 404, "community": 200, "public": 200}.items():
        assert (await other.get(f"images/{ids[kind]}")).status_code == status
    assert (await other.delete(f"images/{ids['private']}")).status_code == 404
    assert (await other.delete(f"images/{ids['public']}")).status_code == 403
    assert (await http.delete(f"images/{ids['public']}")).status_code == 403


async def test_members(http: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    url = f"images/{id}/members"
    member = (await http.post(url, json={"member": "p2"})).json()
    assert (member["member_id"], member["image_id"], member["status"]) == ("p2", id, "pending")
    assert (await http.post(url, json={"member": "p2"})).status_code == 409
    assert (await http.post(url, json={"member": ""})).status_code == 400
    assert (await http.post(url, json={"wrong": "p2"})).status_code == 400
    assert (await other.get(f"images/{id}")).status_code == 200
    assert (await other.get("images")).json()["images"] == []
    assert len((await other.get("images?member_status=pending")).json()["images"]) == 1
    assert (await http.put(f"{url}/p2", json={"status": "accepted"})).status_code == 403
    assert (await other.put(f"{url}/p2", json={"status": "perhaps"})).status_code == 400
    assert (await other.put(f"{url}/p2", json={"status": "accepted", "member": "p2"})).json()["status"] == "accepted"
    assert len((await other.get("images")).json()["images"]) == 1
    assert len((await other.get("images?visibility=shared")).json()["images"]) == 1
    await http.post(url, json={"member": "p3"})
    assert [m["member_id"] for m in (await http.get(url)).json()["members"]] == ["p2", "p3"]
    assert [m["member_id"] for m in (await other.get(url)).json()["members"]] == ["p2"]
    assert (await other.get(f"{url}/p3")).status_code == 404
    assert (await http.get(f"{url}/p3")).json()["schema"] == "/v2/schemas/member"
    assert (await other.post(url, json={"member": "p4"})).status_code == 403
    assert (await other.delete(f"{url}/p2")).status_code == 403
    assert (await http.delete(f"{url}/p2")).status_code == 204
    assert (await http.delete(f"{url}/p2")).status_code == 404
    assert (await other.get(f"images/{id}")).status_code == 404


async def test_a_reader_accepts_no_image_for_its_project(cloud: Runtime, http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    url = f"images/{id}/members"
    await http.post(url, json={"member": "p2"})
    async with speaking(cloud, "p2/u3/reader") as reader:
        assert (await reader.get(f"{url}/p2")).status_code == 200
        for status in ("accepted", "rejected"):
            answer = await reader.put(f"{url}/p2", json={"status": status})
            assert answer.status_code == 403
            assert "modify_member" in answer.json()["message"]
    assert (await http.get(f"{url}/p2")).json()["status"] == "pending"


async def test_only_shared_images_have_members(http: httpx.AsyncClient) -> None:
    id = (await create(http, visibility="private"))["id"]
    assert (await http.post(f"images/{id}/members", json={"member": "p2"})).status_code == 403
    assert (await http.get(f"images/{id}/members")).status_code == 404


async def patch(http: httpx.AsyncClient, id: str, *changes: Any) -> httpx.Response:
    return await http.patch(f"images/{id}", json=list(changes), headers=PATCH)


async def test_patches(http: httpx.AsyncClient) -> None:
    id = (await create(http, colour="red"))["id"]
    answer = await patch(
        http,
        id,
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/shape", "value": "round"},
        {"op": "replace", "path": "/colour", "value": "blue"},
        {"op": "replace", "path": "/tags", "value": ["x", "y"]},
        {"op": "add", "path": "/a~1b", "value": "slash"},
    )
    assert answer.status_code == 200
    image = answer.json()
    assert (image["name"], image["shape"], image["colour"], image["tags"]) == ("new", "round", "blue", ["x", "y"])
    assert image["a/b"] == "slash"
    answer = await patch(http, id, {"op": "remove", "path": "/colour"})
    assert "colour" not in answer.json()
    assert (await http.get(f"images/{id}")).json() == answer.json()


async def test_the_older_patch(http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    old = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    answer = await http.patch(f"images/{id}", json=[{"replace": "/name", "value": "old way"}], headers=old)
    assert answer.json()["name"] == "old way"
    two = [{"replace": "/name", "add": "/x", "value": "old way"}]
    assert (await http.patch(f"images/{id}", json=two, headers=old)).status_code == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "add", "path": "/locations/-", "value": {}}, 403),
        ({"op": "replace", "path": "/owner", "value": "p2"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "add", "path": "/os_glance_x", "value": "1"}, 403),
        ({"op": "replace", "path": "/none", "value": "x"}, 409),
        ({"op": "remove", "path": "/none"}, 409),
        ({"op": "replace", "path": "/min_disk", "value": "x"}, 400),
        ({"op": "replace", "path": "/disk_format", "value": "x"}, 400),
        ({"op": "replace", "path": "/visibility", "value": "x"}, 400),
        ({"op": "add", "path": "/x", "value": 7}, 400),
        ({"op": "add", "path": "/x"}, 400),
        ({"op": "move", "path": "/x", "value": "1"}, 400),
        ({"op": "add", "path": "x", "value": "1"}, 400),
        ({"op": "add", "path": "/x/y", "value": "1"}, 400),
        ({"op": "add", "path": 5, "value": "1"}, 400),
        ("nonsense", 400),
    ],
)
async def test_bad_patches_change_nothing(http: httpx.AsyncClient, change: Any, status: int) -> None:
    before = await create(http)
    answer = await patch(http, before["id"], {"op": "replace", "path": "/name", "value": "changed"}, change)
    assert answer.status_code == status
    assert (await http.get(f"images/{before['id']}")).json() == before


async def test_bad_patch_bodies(http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    answer = await http.patch(f"images/{id}", json=[])
    assert answer.status_code == 415
    assert "v2.1-json-patch" in answer.headers["accept-patch"]
    assert (await http.patch(f"images/{id}", json={}, headers=PATCH)).status_code == 400
    assert (await http.patch(f"images/{id}", content=b"{", headers=PATCH)).status_code == 400


async def test_formats_are_fixed_once_there_are_bytes(http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    assert (await upload(http, id)).status_code == 204
    assert (await patch(http, id, {"op": "replace", "path": "/disk_format", "value": "vdi"})).status_code == 403


async def test_protection(http: httpx.AsyncClient) -> None:
    id = (await create(http, protected=True))["id"]
    answer = await http.delete(f"images/{id}")
    assert answer.status_code == 403
    assert "protected" in answer.json()["message"]
    await patch(http, id, {"op": "replace", "path": "/protected", "value": False})
    assert (await http.delete(f"images/{id}")).status_code == 204
    assert (await http.get(f"images/{id}")).status_code == 404
    assert (await http.delete(f"images/{id}")).status_code == 404


async def test_tags(http: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    for _ in range(2):
        assert (await http.put(f"images/{id}/tags/t%201")).status_code == 204
    assert (await http.get(f"images/{id}")).json()["tags"] == ["t 1"]
    assert (await http.delete(f"images/{id}/tags/t%201")).status_code == 204
    assert (await http.delete(f"images/{id}/tags/t%201")).status_code == 404
    assert (await http.put(f"images/{id}/tags/{'t' * 256}")).status_code == 400
    assert (await http.put(f"images/{uuid.uuid4()}/tags/t")).status_code == 404
    assert (await other.put(f"images/{id}/tags/t")).status_code == 404
    for i in range(128):
        assert (await http.put(f"images/{id}/tags/{i}")).status_code == 204
    assert (await http.put(f"images/{id}/tags/one-more")).status_code == 413


async def test_deactivation(http: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    assert (await http.post(f"images/{id}/actions/deactivate")).status_code == 403
    await upload(http, id)
    for _ in range(2):
        assert (await http.post(f"images/{id}/actions/deactivate")).status_code == 204
    assert (await http.get(f"images/{id}")).json()["status"] == "deactivated"
    assert (await http.get(f"images/{id}/file")).status_code == 403
    assert (await admin.get(f"images/{id}/file")).content == b"data"
    assert (await http.post(f"images/{id}/actions/reactivate")).status_code == 204
    assert (await http.get(f"images/{id}/file")).content == b"data"


@pytest.fixture
async def three(http: httpx.AsyncClient) -> httpx.AsyncClient:
    for name, size, fmt in (("a", 10, "raw"), ("b", 30, "raw"), ("c,d", 20, "iso")):
        image = await create(http, name=name, disk_format=fmt, container_format="ovf", kind=name, tags=[name, "all"])
        assert (await upload(http, image["id"], bytes(size))).status_code == 204
    return http


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c,d", "b", "a"]),
        ("name=a", ["a"]),
        ("name=in:a,b", ["b", "a"]),
        ('name=in:a,"c,d"', ["c,d", "a"]),
        ("status=active", ["c,d", "b", "a"]),
        ("status=in:queued,saving", []),
        ("disk_format=iso", ["c,d"]),
        ("container_format=ovf", ["c,d", "b", "a"]),
        ("size=20", ["c,d"]),
        ("size_min=15&size_max=25", ["c,d"]),
        ("tag=a&tag=all", ["a"]),
        ("kind=b", ["b"]),
        ("nothing=b", []),
        ("owner=p1", ["c,d", "b", "a"]),
        ("owner=p2", []),
        ("protected=true", []),
        ("os_hidden=true", []),
        ("created_at=gt:2099-01-01T00:00:00Z", []),
        ("created_at=lte:2099-01-01T00:00:00Z&name=a", ["a"]),
        ("sort=size:desc", ["b", "c,d", "a"]),
        ("sort=disk_format:asc,size:asc", ["c,d", "a", "b"]),
        ("sort_key=name&sort_dir=asc", ["a", "b", "c,d"]),
        ("sort_key=size&limit=2", ["b", "c,d"]),
        ("limit=0", []),
    ],
)
async def test_filters_and_order(three: httpx.AsyncClient, query: str, names: list[str]) -> None:
    page = (await three.get(f"images?{query}")).json()
    assert [image["name"] for image in page["images"]] == names


@pytest.mark.parametrize(
    "query",
    [
        *("limit=-1", "limit=x", "marker=none", "sort_key=colour", "sort_dir=up", "sort=size:up"),
        *("sort=size&sort_key=name", "visibility=secret", "member_status=perhaps", "size_min=x", "size=-1"),
        *("protected=perhaps", "created_at=yesterday", 'name=in:"a', "sort_key=name&sort_dir=asc&sort_dir=asc"),
    ],
)
async def test_bad_queries(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"images?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] == "400 Bad Request"


async def test_pages(three: httpx.AsyncClient) -> None:
    page = (await three.get("images?limit=1&sort=name:asc")).json()
    assert page["first"] == "/v2/images?limit=1&sort=name%3Aasc"
    names = []
    while True:
        names += [image["name"] for image in page["images"]]
        if "next" not in page:
            break
        page = (await three.get(f"http://cloud.test/image{page['next']}")).json()
    assert names == ["a", "b", "c,d"]


async def test_hidden_images(http: httpx.AsyncClient) -> None:
    id = (await create(http, os_hidden=True))["id"]
    assert (await http.get("images")).json()["images"] == []
    assert [image["id"] for image in (await http.get("images?os_hidden=true")).json()["images"]] == [id]


async def test_a_listing_takes_few_statements(cloud: Runtime, http: httpx.AsyncClient) -> None:
    from sqlalchemy import event

    for i in range(20):
        await create(http, name=str(i), colour="red", tags=["t"])
    statements: list[str] = []
    engine = cloud.db._reader  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len((await http.get("images")).json()["images"]) == 20
    assert len([text for text in statements if text.startswith("SELECT")]) == 3


@pytest.mark.parametrize("name", ["image", "images", "member", "members", "task", "tasks"])
async def test_schemas(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"schemas/{name}")).json()["name"] == name
    assert (await http.get("schemas/none")).status_code == 404


async def test_the_schema_names_every_attribute(http: httpx.AsyncClient) -> None:
    schema = (await http.get("schemas/image")).json()
    assert schema["properties"].keys() >= ATTRIBUTES
    assert schema["properties"]["status"]["readOnly"] is True
    assert "readOnly" not in schema["properties"]["name"]


async def test_info(http: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    assert (await http.get("info/import")).json()["import-methods"]["value"] == ["glance-direct", "web-download"]
    assert (await http.get("info/stores")).json()["stores"][0]["id"] == "object_store"
    assert (await http.get("info/stores/detail")).status_code == 403
    assert (await admin.get("info/stores/detail")).status_code == 200
    await upload(http, (await create(http))["id"], bytes(1 << 20))
    usage = (await http.get("info/usage")).json()["usage"]
    assert usage["image_count_total"] == {"limit": -1, "usage": 1}
    assert usage["image_size_total"] == {"limit": -1, "usage": 1}
