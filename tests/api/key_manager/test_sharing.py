"""Who reads and changes secrets and containers: roles, makers, access lists, and who uses them."""

from tests.api.key_manager.conftest import make, speaking

NOBODY = "5eed0000-0000-4000-8000-00000000000b"
TEXT = {"Accept": "text/plain"}


async def statuses(http, id: str) -> list[int]:
    """Return what a caller gets of a secret: what it is, its payload, its metadata, its access list, its consumers."""
    found = []
    for below in ("", "/payload", "/metadata", "/acl", "/consumers"):
        answer = await http.get(f"secrets/{id}{below}", headers=TEXT if below == "/payload" else {})
        found.append(answer.status_code)
    return found


async def test_a_secret_is_its_projects_members(http, mate, admin, stranger, cloud):
    id = await make(http)
    assert await statuses(http, id) == await statuses(mate, id) == await statuses(admin, id) == [200] * 5
    assert await statuses(stranger, id) == [403] * 5
    assert await statuses(stranger, NOBODY) == [404] * 5
    async with speaking(cloud, "p1/u3/reader") as reader:
        assert await statuses(reader, id) == [403] * 5
        assert (await reader.get("secrets")).status_code == 403
        assert (await reader.post("secrets", json={})).status_code == 403
        assert (await reader.post("containers", json={"no": "type"})).status_code == 403
    put = await stranger.put(f"secrets/{id}", content=b"x", headers={"Content-Type": "text/plain"})
    assert put.status_code == (await stranger.delete(f"secrets/{id}")).status_code == 403
    assert (await stranger.get("secrets")).json() == {"secrets": [], "total": 0}
    async with speaking(cloud, "p2/u8/admin+member") as other_admin:  # as upstream: any administrator sees and deletes
        assert await statuses(other_admin, id) == [200, 403, 403, 403, 403]
        assert (await other_admin.delete(f"secrets/{id}")).status_code == 204


async def test_an_access_list_lets_users_in_and_members_out(http, mate, admin, stranger):
    id = await make(http)
    path = f"secrets/{id}/acl"
    assert (await http.get(path)).json() == {"read": {"project-access": True}}
    answer = await http.put(path, json={"read": {"users": ["u9", "u9"], "project-access": False}})
    assert (answer.status_code, answer.json()["acl_ref"].endswith(path)) == (200, True)
    assert await statuses(stranger, id) == [200, 200, 200, 403, 200]
    assert await statuses(mate, id) == [403] * 5
    assert await statuses(http, id) == await statuses(admin, id) == [200] * 5
    assert (await stranger.get("secrets?acl_only=true")).json()["total"] == 1
    assert (await stranger.get("secrets?acl_only=false")).json()["total"] == 0
    assert (await stranger.delete(f"secrets/{id}")).status_code == 403
    assert (await http.patch(path, json={"read": {"project-access": True}})).status_code == 200
    read = (await http.get(path)).json()["read"]
    assert (read["users"], read["project-access"], len(read["created"])) == (["u9"], True, 19)
    assert (await http.put(path, json={"write": {}})).status_code == 400
    assert (await http.delete(path)).json() is None
    assert await statuses(stranger, id) == [403] * 5
    assert await statuses(mate, id) == [200] * 5


async def test_a_private_container_is_read_by_whom_its_list_names(http, mate, stranger):
    made = await http.post("containers", json={"type": "generic", "name": "c"})
    id = made.json()["container_ref"].rpartition("/")[2]
    assert (await stranger.get(f"containers/{id}")).status_code == 403
    await http.put(f"containers/{id}/acl", json={"read": {"users": ["u9"], "project-access": False}})
    assert (await stranger.get(f"containers/{id}")).status_code == 200
    assert (await mate.get(f"containers/{id}")).status_code == 403
    assert (await stranger.delete(f"containers/{id}")).status_code == 403


async def test_consumers_are_registered_once_and_hold_a_secret(http, stranger):
    id = await make(http)
    path, body = f"secrets/{id}/consumers", {"service": "image", "resource_type": "image", "resource_id": "i1"}
    for _ in range(2):
        answer = await http.post(path, json=body)
        assert (answer.status_code, answer.json()["consumers"]) == (200, [body]), answer.text
    listed = (await http.get(path)).json()
    assert listed["total"] == 1
    assert {name: listed["consumers"][0][name] for name in body} == body
    assert (await http.delete(f"secrets/{id}")).status_code == 400
    assert (await stranger.post(path, json=body)).status_code == 403
    await http.put(f"secrets/{id}/acl", json={"read": {"users": ["u9"]}})
    assert (await stranger.request("DELETE", path, json=body)).status_code == 403
    assert (await stranger.post(path, json=body | {"resource_id": "i2"})).status_code == 200
    assert (await http.request("DELETE", path, json=body)).json()["consumers"][0]["resource_id"] == "i2"
    assert (await http.request("DELETE", path, json=body)).status_code == 404
    assert (await http.delete(f"secrets/{id}?force=perhaps")).status_code == 400
    assert (await http.delete(f"secrets/{id}?force=true")).status_code == 204
    assert (await http.get(f"secrets/{id}")).status_code == 404


async def test_consumers_of_containers(http, admin):
    made = await http.post("containers", json={"type": "generic"})
    id = made.json()["container_ref"].rpartition("/")[2]
    path = f"containers/{id}/consumers"
    assert (await http.get(path)).json() == {"consumers": [], "total": 0}
    for name in ("a", "b"):
        answer = await http.post(path, json={"name": name, "URL": f"http://{name}"})
        assert answer.headers["location"].endswith(path)
    assert answer.json()["consumers"] == [{"name": "a", "URL": "http://a"}, {"name": "b", "URL": "http://b"}]
    page = (await http.get(f"{path}?limit=1")).json()
    assert (page["total"], len(page["consumers"])) == (2, 1)
    assert page["next"] == f"http://cloud.test/key-manager/v1/{path}?limit=1&offset=1"
    assert (await admin.get(f"{path}/{NOBODY}")).status_code == 404
    assert (await http.request("DELETE", path, json={"name": "a", "URL": "http://a"})).status_code == 200
    assert (await http.delete(f"containers/{id}")).status_code == 204
