"""Accounts and containers over HTTP."""

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client

ROOT = "/object-store/v1"


async def test_an_account_without_anything_is_empty(http: httpx.AsyncClient) -> None:
    answer = await http.get("")
    assert answer.status_code == 204
    assert answer.headers["x-account-container-count"] == "0"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-trans-id"].startswith("tx")
    assert "x-timestamp" in answer.headers


async def test_container_life(http: httpx.AsyncClient) -> None:
    assert (await http.put("box")).status_code == 201
    assert (await http.put("box")).status_code == 202
    head = await http.head("box")
    assert (head.status_code, head.headers["x-container-object-count"]) == (204, "0")
    assert head.headers["x-storage-policy"] == "Policy-0"
    assert (await http.get("box")).status_code == 204
    assert (await http.get("box?format=json")).json() == []
    assert (await http.delete("box")).status_code == 204
    assert (await http.head("box")).status_code == 404
    assert (await http.delete("box")).status_code == 404


async def test_usage_is_what_is_there(http: httpx.AsyncClient) -> None:
    await http.put("box")
    await http.put("box/a", content=b"12345")
    await http.put("box/b", content=b"1")
    await http.put("box/a", content=b"123")
    head = await http.head("box")
    assert (head.headers["x-container-object-count"], head.headers["x-container-bytes-used"]) == ("2", "4")
    account = await http.head("")
    assert account.headers["x-account-bytes-used"] == "4"
    assert account.headers["x-account-object-count"] == "2"
    assert account.headers["x-account-storage-policy-policy-0-bytes-used"] == "4"
    assert (await http.delete("box")).status_code == 409


async def test_listings_in_every_form(http: httpx.AsyncClient) -> None:
    await http.put("box")
    for name in ("a", "b/1", "b/2", "<&>"):
        await http.put(f"box/{name}", content=b"x", headers={"Content-Type": "text/x"})
    assert (await http.get("box")).text == "<&>\na\nb/1\nb/2\n"
    assert (await http.get("box?delimiter=/&prefix=b")).text == "b/\n"
    assert (await http.get("box?path=b")).text == "b/1\nb/2\n"
    assert (await http.get("box?limit=1&marker=a&reverse=true")).text == "<&>\n"
    [first, *_] = (await http.get("box", headers={"Accept": "application/json"})).json()
    assert (first["name"], first["bytes"], first["content_type"]) == ("<&>", 1, "text/x")
    assert first["hash"] == "9dd4e461268c8034f5c8564e155c67a6"
    xml = await http.get("box?format=xml&delimiter=/")
    assert xml.headers["content-type"] == "application/xml; charset=utf-8"
    assert "<name>&lt;&amp;&gt;</name><hash>9dd4" in xml.text
    assert '<subdir name="b/"><name>b/</name></subdir>' in xml.text
    account = (await http.get("?format=json")).json()
    assert (account[0]["name"], account[0]["count"], account[0]["bytes"]) == ("box", 4, 4)
    assert "<container><name>box</name><count>4</count>" in (await http.get("?format=xml")).text


async def test_container_metadata_merges_and_goes(http: httpx.AsyncClient) -> None:
    await http.put("box", headers=[(b"X-Container-Meta-Colour", "bl\u00fc".encode()), (b"X-Container-Meta-A", b"1")])
    head = await http.head("box")
    assert head.headers["x-container-meta-colour"].encode(head.headers.encoding).decode() == "bl\u00fc"
    answer = await http.post("box", headers={"X-Container-Meta-B": "2", "X-Remove-Container-Meta-A": "x"})
    assert answer.status_code == 204
    await http.post("box", headers={"X-Container-Meta-Colour": ""})
    headers = (await http.head("box")).headers
    assert "x-container-meta-a" not in headers
    assert "x-container-meta-colour" not in headers
    assert headers["x-container-meta-b"] == "2"


async def test_account_metadata(http: httpx.AsyncClient) -> None:
    assert (await http.post("", headers={"X-Account-Meta-Book": "Moby"})).status_code == 204
    assert (await http.head("")).headers["x-account-meta-book"] == "Moby"
    await http.post("", headers={"X-Remove-Account-Meta-Book": "x"})
    assert "x-account-meta-book" not in (await http.head("")).headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Container-Meta-" + "n" * 129: "x"}, 400),
        ({"X-Container-Meta-N": "x" * 257}, 400),
        ({f"X-Container-Meta-{i}": "x" for i in range(91)}, 400),
        ({f"X-Container-Meta-{i}": "x" * 250 for i in range(20)}, 400),
        ({"X-Container-Meta-": "x"}, 400),
        ({"X-Container-Meta-Quota-Bytes": "many"}, 400),
        ({"X-Container-Read": ".unknown:x"}, 400),
        ({"X-Container-Write": ".r:*"}, 400),
        ({"X-Storage-Policy": "gold"}, 400),
        ({"X-Versions-Location": "a", "X-History-Location": "b"}, 400),
        ({"X-Versions-Location": "a/b"}, 412),
        ({"X-Versions-Location": "a%2Fb"}, 412),
        ({"X-Versions-Location": "new"}, 409),
    ],
)
async def test_bad_container_headers_change_nothing(http: httpx.AsyncClient, headers: dict, status: int) -> None:
    answer = await http.put("new", headers=headers)
    assert answer.status_code == status
    assert (await http.head("new")).status_code == 404


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("PUT", "n" * 257, 400),
        ("PUT", "%FF", 412),
        ("GET", "?limit=10001", 412),
        ("GET", "none", 404),
        ("POST", "none", 404),
        ("DELETE", "none", 404),
        ("GET", "none/obj", 404),
        ("PATCH", "box", 405),
    ],
)
async def test_bad_requests(http: httpx.AsyncClient, method: str, url: str, status: int) -> None:
    answer = await http.request(method, url)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


async def test_an_unacceptable_listing_form(http: httpx.AsyncClient) -> None:
    assert (await http.get("", headers={"Accept": "image/png"})).status_code == 406


@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_nobody_is_refused(cloud: Runtime, token: str | None) -> None:
    async with client(cloud, token) as http:
        for method, path in (("GET", ""), ("PUT", "/box"), ("GET", "/box"), ("PUT", "/box/o"), ("GET", "/box/o")):
            assert (await http.request(method, f"{ROOT}/AUTH_p1{path}")).status_code == 401


async def test_other_projects_and_readers(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box")
    async with client(cloud, "p2/u2/member") as stranger:
        assert (await stranger.get(f"{ROOT}/AUTH_p1")).status_code == 403
        assert (await stranger.get(f"{ROOT}/AUTH_p1/box")).status_code == 403
        assert (await stranger.put(f"{ROOT}/AUTH_p1/box/o", content=b"x")).status_code == 403
    async with client(cloud, "p1/u3/reader") as reader:
        assert (await reader.get(f"{ROOT}/AUTH_p1/box")).status_code == 204
        assert (await reader.put(f"{ROOT}/AUTH_p1/box/o", content=b"x")).status_code == 403
        assert (await reader.put(f"{ROOT}/AUTH_p1/other")).status_code == 403


@pytest.mark.parametrize(
    ("acl", "token", "lists", "reads"),
    [
        ("p2:u2", "p2/u2/member", True, True),
        ("p2:*", "p2/u9/none", True, True),
        ("*:u2", "p7/u2/none", True, True),
        ("auditor", "p7/u7/auditor", False, False),
        ("Auditor", "p1/u7/auditor", True, True),
        ("p2:u3", "p2/u2/member", False, False),
        (".r:*", None, False, True),
        (".r:*,.rlistings", None, True, True),
        (".r:*,.r:-evil.org", None, False, True),
    ],
)
async def test_read_lists(
    cloud: Runtime, http: httpx.AsyncClient, acl: str, token: str | None, lists: bool, reads: bool
) -> None:
    await http.put("box", headers={"X-Container-Read": acl})
    await http.put("box/o", content=b"x")
    async with client(cloud, token) as guest:
        assert ((await guest.get(f"{ROOT}/AUTH_p1/box")).status_code == 200) is lists
        assert ((await guest.get(f"{ROOT}/AUTH_p1/box/o")).status_code == 200) is reads
        assert (await guest.put(f"{ROOT}/AUTH_p1/box/o", content=b"x")).status_code in (401, 403)


async def test_referrers(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box", headers={"X-Container-Read": ".ref:.example.com, .r:-bad.example.com"})
    assert (await http.head("box")).headers["x-container-read"] == ".r:.example.com,.r:-bad.example.com"
    await http.put("box/o", content=b"x")
    async with client(cloud) as guest:
        for referrer, status in (("http://www.example.com/x", 200), ("http://bad.example.com", 401), ("", 401)):
            answer = await guest.get(f"{ROOT}/AUTH_p1/box/o", headers={"Referer": referrer})
            assert answer.status_code == status


async def test_write_lists_let_write_but_not_administer(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box", headers={"X-Container-Write": "p2:u2", "X-Container-Meta-Temp-URL-Key": "secret"})
    async with client(cloud, "p2/u2/member") as guest:
        assert (await guest.put(f"{ROOT}/AUTH_p1/box/o", content=b"x")).status_code == 201
        assert (await guest.get(f"{ROOT}/AUTH_p1/box/o")).status_code == 403
        assert (await guest.delete(f"{ROOT}/AUTH_p1/box/o")).status_code == 204
        assert (await guest.post(f"{ROOT}/AUTH_p1/box", headers={"X-Container-Read": ".r:*"})).status_code == 403
        assert (await guest.delete(f"{ROOT}/AUTH_p1/box")).status_code == 403
    async with client(cloud, "p1/u3/reader") as reader:
        assert "x-container-meta-temp-url-key" not in (await reader.head(f"{ROOT}/AUTH_p1/box")).headers


async def test_only_the_reseller_sets_account_quotas(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box")
    assert (await http.post("", headers={"X-Account-Meta-Quota-Bytes": "5"})).status_code == 403
    async with client(cloud, "p9/u9/ResellerAdmin") as reseller:
        url = f"{ROOT}/AUTH_p1"
        assert (await reseller.post(url, headers={"X-Account-Meta-Quota-Bytes": "five"})).status_code == 400
        assert (await reseller.post(url, headers={"X-Account-Meta-Quota-Bytes": "5"})).status_code == 204
        assert (await http.put("box/o", content=b"123456")).status_code == 413
        assert (await http.put("box/o", content=b"12345")).status_code == 201
        assert (await http.post("", headers={"X-Remove-Account-Meta-Quota-Bytes": "x"})).status_code == 403
        await reseller.post(url, headers={"X-Remove-Account-Meta-Quota-Bytes": "x", "X-Account-Quota-Count": "1"})
        assert (await http.put("box/o2", content=b"")).status_code == 413
        assert (await http.put("box/o", content=b"123456")).status_code == 201


async def test_container_quotas(http: httpx.AsyncClient) -> None:
    await http.put("box", headers={"X-Container-Meta-Quota-Bytes": "10", "X-Container-Meta-Quota-Count": "2"})
    assert (await http.put("box/a", content=b"1234567890")).status_code == 201
    assert (await http.put("box/b", content=b"1")).status_code == 413
    assert (await http.put("box/b", content=b"")).status_code == 201
    assert (await http.put("box/c", content=b"")).status_code == 413
    assert (await http.put("box/a", content=b"0987654321")).status_code == 201


async def test_bulk_delete(http: httpx.AsyncClient) -> None:
    await http.put("box")
    await http.put("box/a b", content=b"1")
    await http.put("full")
    await http.put("full/x", content=b"1")
    names = "/box/a%20b\n/box\n/none/x\n/full\n"
    answer = await http.post("?bulk-delete", content=names, headers={"Accept": "application/json"})
    report = answer.json()
    assert (report["Number Deleted"], report["Number Not Found"]) == (2, 1)
    assert report["Errors"] == [["/full", "409 Conflict"]]
    assert (await http.get("")).text == "full\n"


async def test_the_reseller_deletes_an_account_with_all_bytes(
    cloud: Runtime, http: httpx.AsyncClient, data_files
) -> None:
    await http.put("box")
    await http.put("box/o", content=b"x")
    assert (await http.delete("")).status_code == 403
    async with client(cloud, "p9/u9/ResellerAdmin") as reseller:
        assert (await reseller.delete(f"{ROOT}/AUTH_p1")).status_code == 204
        assert (await reseller.put(f"{ROOT}/AUTH_p1")).status_code == 201
    from pileus.services.object_store.app.blobs import blobs_of

    await blobs_of(cloud).clean_once()
    assert data_files() == []


async def test_info_and_health(cloud: Runtime) -> None:
    async with client(cloud) as http:
        info = (await http.get("/object-store/info")).json()
        assert info["swift"]["policies"][0]["name"] == "Policy-0"
        assert info["swift"]["max_object_name_length"] == 1024
        assert (await http.get("/object-store/healthcheck")).text == "OK"
