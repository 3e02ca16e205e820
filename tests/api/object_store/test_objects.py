"""Objects over HTTP."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from pileus.kernel import clock
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.drivers.fake import FakeDriver

ROOT = "/object-store/v1"
MD5 = hashlib.md5(b"hello world").hexdigest()


async def test_put_and_get(box: httpx.AsyncClient) -> None:
    put = await box.put("o", content=b"hello world", headers={"X-Object-Meta-Colour": "red"})
    assert (put.status_code, put.headers["etag"]) == (201, MD5)
    assert put.headers["last-modified"].endswith("GMT")
    for method in ("HEAD", "GET"):
        got = await box.request(method, "o")
        assert (got.status_code, got.headers["content-length"]) == (200, "11")
        assert got.headers["etag"] == MD5
        assert got.headers["x-object-meta-colour"] == "red"
        assert got.headers["accept-ranges"] == "bytes"
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.content == (b"hello world" if method == "GET" else b"")


@pytest.mark.parametrize("name", ["ü/Ω", "a b", "a//b", "a%2Fb", "x" * 1024, "q?x=1", "tail/"])
async def test_names_survive(box: httpx.AsyncClient, name: str) -> None:
    from urllib.parse import quote

    assert (await box.put(quote(name), content=b"x")).status_code == 201
    assert (await box.get(quote(name))).content == b"x"
    assert (await box.get("")).text == f"{name}\n"
    assert (await box.delete(quote(name))).status_code == 204


async def test_a_chunked_body_of_many_megabytes(box: httpx.AsyncClient, data_files) -> None:
    data = os.urandom(5_000_001)

    async def chunks() -> AsyncIterator[bytes]:
        for i in range(0, len(data), 70_000):
            yield data[i : i + 70_000]

    put = await box.put("big", content=chunks(), headers={"Transfer-Encoding": "chunked"})
    assert put.status_code == 201
    assert put.headers["etag"] == hashlib.md5(data).hexdigest()
    assert (await box.get("big")).content == data
    [path] = data_files()
    assert path.read_bytes() == data


async def test_the_content_type_is_kept_or_guessed(box: httpx.AsyncClient) -> None:
    await box.put("a.html", content=b"x")
    await box.put("b", content=b"x", headers={"Content-Type": "image/x; a=b", "Content-Encoding": "zip"})
    assert (await box.head("a.html")).headers["content-type"] == "text/html"
    headers = (await box.head("b")).headers
    assert (headers["content-type"], headers["content-encoding"]) == ("image/x; a=b", "zip")


async def test_a_wrong_etag_is_refused_and_keeps_nothing(box: httpx.AsyncClient, data_files) -> None:
    assert (await box.put("o", content=b"hello world", headers={"Etag": "0" * 32})).status_code == 422
    assert (await box.get("o")).status_code == 404
    assert data_files() == []
    assert (await box.put("o", content=b"hello world", headers={"Etag": MD5.upper()})).status_code == 201


async def test_overwriting_and_deleting_leave_no_bytes(cloud: Runtime, box: httpx.AsyncClient, data_files) -> None:
    for content in (b"one", b"two", b"three"):
        await box.put("o", content=content)
    await blobs_of(cloud).clean_once()
    [path] = data_files()
    assert path.read_bytes() == b"three"
    await box.delete("o")
    await blobs_of(cloud).clean_once()
    assert data_files() == []


async def test_post_replaces_metadata(box: httpx.AsyncClient) -> None:
    given = {"X-Object-Meta-A": "1", "Content-Encoding": "zip", "Content-Disposition": "inline", "Cache-Control": "no"}
    await box.put("o", content=b"x", headers={**given, "X-Object-Manifest": "box/none"})
    carried = {"X-Object-Meta-B": "2", "Content-Type": "a/b", "Content-Disposition": "attachment"}
    assert (await box.post("o", headers=carried)).status_code == 202
    got = await box.get("o")
    assert {*map(str.lower, given), "x-object-manifest"} & set(got.headers) == {"content-disposition"}
    assert {name: got.headers[name] for name in carried} == carried
    assert got.content == b"x"


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=0-4", 206, b"hello"),
        ("bytes=6-", 206, b"world"),
        ("bytes=-3", 206, b"rld"),
        ("bytes=0-999", 206, b"hello world"),
        ("bytes=11-", 416, None),
        ("bytes=4-2", 200, b"hello world"),
        ("lines=1-2", 200, b"hello world"),
        ("bytes=x", 200, b"hello world"),
    ],
)
async def test_ranges(box: httpx.AsyncClient, header: str, status: int, content: bytes | None) -> None:
    await box.put("o", content=b"hello world")
    got = await box.get("o", headers={"Range": header})
    assert got.status_code == status
    if content is not None:
        assert got.content == content
        assert got.headers["content-length"] == str(len(content))
    if status == 416:
        assert got.headers["content-range"] == "bytes */11"


async def test_several_ranges(box: httpx.AsyncClient) -> None:
    await box.put("o", content=b"hello world", headers={"Content-Type": "a/b"})
    got = await box.get("o", headers={"Range": "bytes=0-0,-1"})
    assert got.status_code == 206
    boundary = got.headers["content-type"].partition("boundary=")[2]
    assert int(got.headers["content-length"]) == len(got.content)
    parts = got.content.split(f"--{boundary}".encode())
    assert parts[1] == b"\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/11\r\n\r\nh\r\n"
    assert parts[2] == b"\r\nContent-Type: a/b\r\nContent-Range: bytes 10-10/11\r\n\r\nd\r\n"
    assert parts[3] == b"--"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": MD5}, 200),
        ({"If-Match": f'"{MD5}", "x"'}, 200),
        ({"If-Match": "x"}, 412),
        ({"If-None-Match": MD5}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": "x"}, 200),
        ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Thu Jan  1 00:00:00 2015"}, 200),
        ({"If-Unmodified-Since": "Fri, 01 Jan 2010 00:00:00 GMT"}, 412),
        ({"If-Unmodified-Since": "rubbish"}, 200),
        ({"Range": "bytes=0-1", "If-Range": MD5}, 206),
        ({"Range": "bytes=0-1", "If-Range": "x"}, 200),
    ],
)
async def test_conditions(box: httpx.AsyncClient, headers: dict, status: int) -> None:
    await box.put("o", content=b"hello world")
    assert (await box.get("o", headers=headers)).status_code == status


async def test_put_only_when_new(box: httpx.AsyncClient) -> None:
    assert (await box.put("o", content=b"1", headers={"If-None-Match": "*"})).status_code == 201
    assert (await box.put("o", content=b"2", headers={"If-None-Match": "*"})).status_code == 412
    assert (await box.put("o", content=b"2", headers={"If-None-Match": "x"})).status_code == 400
    assert (await box.get("o")).content == b"1"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Object-Meta-N": "x" * 257}, 400),
        ({"X-Delete-At": "soon"}, 400),
        ({"X-Delete-At": "1000"}, 400),
        ({"X-Delete-After": "-1"}, 400),
        ({"X-Object-Manifest": "no-prefix"}, 400),
        ({"Content-Length": str(5 * 1024**3 + 3)}, 413),
        ({"X-Copy-From": "nowhere"}, 412),
        ({"X-Copy-From": "/box/none", "Content-Length": "0"}, 404),
    ],
)
async def test_bad_put_headers_keep_nothing(box: httpx.AsyncClient, headers: dict, status: int, data_files) -> None:
    content = b"" if "X-Copy-From" in headers else b"x"
    assert (await box.put("o", content=content, headers=headers)).status_code == status
    assert (await box.head("o")).status_code == 404
    assert data_files() == []


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "none", 404),
        ("HEAD", "none", 404),
        ("POST", "none", 404),
        ("DELETE", "none", 404),
        ("COPY", "none", 412),
        ("PUT", "x" * 1025, 400),
        ("PUT", "%FF", 412),
    ],
)
async def test_bad_requests(box: httpx.AsyncClient, method: str, url: str, status: int) -> None:
    assert (await box.request(method, url)).status_code == status


async def test_a_body_of_unknown_length_needs_to_be_chunked(box: httpx.AsyncClient) -> None:
    request = box.build_request("PUT", "o")
    request.headers.pop("content-length", None)
    assert (await box.send(request)).status_code == 411


async def test_copy_both_ways(box: httpx.AsyncClient) -> None:
    await box.put("src", content=b"copied", headers={"X-Object-Meta-A": "1", "Content-Type": "a/b"})
    copy = await box.request("COPY", "src", headers={"Destination": "/box/dst%201", "X-Object-Meta-B": "2"})
    assert copy.status_code == 201
    assert copy.headers["x-copied-from"] == "box/src"
    got = await box.get("dst%201")
    assert (got.content, got.headers["content-type"]) == (b"copied", "a/b")
    assert (got.headers["x-object-meta-a"], got.headers["x-object-meta-b"]) == ("1", "2")
    fresh = {"X-Copy-From": "box/src", "X-Fresh-Metadata": "true", "Content-Length": "0"}
    assert (await box.put("dst2", headers=fresh)).status_code == 201
    got = await box.get("dst2")
    assert got.content == b"copied"
    assert "x-object-meta-a" not in got.headers
    assert (await box.request("COPY", "src", headers={"Destination": "/none/x"})).status_code == 404


async def test_copying_to_another_account_needs_write_there(cloud: Runtime, box: httpx.AsyncClient) -> None:
    await box.put("src", content=b"copied")
    async with client(cloud, "p2/u2/member") as other:
        await other.put(f"{ROOT}/AUTH_p2/theirs")
        headers = {"Destination": "theirs/x", "Destination-Account": "AUTH_p2"}
        assert (await box.request("COPY", "src", headers=headers)).status_code == 403
        await other.post(f"{ROOT}/AUTH_p2/theirs", headers={"X-Container-Write": "p1:u1"})
        assert (await box.request("COPY", "src", headers=headers)).status_code == 201
        assert (await other.get(f"{ROOT}/AUTH_p2/theirs/x")).content == b"copied"


async def test_expiry(cloud: Runtime, box: httpx.AsyncClient, data_files) -> None:
    before = clock.now().timestamp()
    await box.put("o", content=b"x", headers={"X-Delete-After": "100"})
    assert int((await box.head("o")).headers["x-delete-at"]) >= int(before) + 100
    await box.post("o", headers={"X-Delete-At": str(int(before) + 2)})
    assert (await box.get("o")).status_code == 200
    await asyncio.sleep(int(before) + 2.05 - clock.now().timestamp())
    assert (await box.get("o")).status_code == 404
    await blobs_of(cloud).clean_once()
    assert (await box.get("")).status_code == 204
    assert data_files() == []


async def test_what_has_expired_does_not_keep_a_container(cloud: Runtime, box: httpx.AsyncClient) -> None:
    await box.put("o", content=b"x", headers={"X-Delete-After": "1"})
    await asyncio.sleep(1.1)
    assert (await box.delete("")).status_code == 204


async def test_dynamic_large_objects(box: httpx.AsyncClient) -> None:
    for i, data in enumerate([b"one", b"two", b"three"]):
        await box.put(f"seg/{i}", content=data)
    await box.put("whole", content=b"", headers={"X-Object-Manifest": "box/seg/", "Content-Type": "a/b"})
    got = await box.get("whole")
    assert got.content == b"onetwothree"
    assert got.headers["x-object-manifest"] == "box/seg/"
    etags = b"".join(hashlib.md5(data).hexdigest().encode() for data in (b"one", b"two", b"three"))
    assert got.headers["etag"] == f'"{hashlib.md5(etags).hexdigest()}"'
    assert (await box.get("whole", headers={"Range": "bytes=2-6"})).content == b"etwot"
    assert (await box.get("whole?multipart-manifest=get")).content == b""
    assert (await box.request("COPY", "whole", headers={"Destination": "box/flat"})).status_code == 201
    flat = await box.get("flat")
    assert flat.content == b"onetwothree"
    assert "x-object-manifest" not in flat.headers


async def make_static(box: httpx.AsyncClient) -> httpx.Response:
    await box.put("s1", content=b"aaaa")
    await box.put("s2", content=b"bbbb")
    manifest = [
        {"path": "/box/s1", "etag": hashlib.md5(b"aaaa").hexdigest(), "size_bytes": 4},
        {"path": "/box/s2", "range": "1-2"},
    ]
    return await box.put("slo?multipart-manifest=put", json=manifest)


async def test_static_large_objects(cloud: Runtime, box: httpx.AsyncClient, data_files) -> None:
    put = await make_static(box)
    assert put.status_code == 201
    tags = hashlib.md5(b"aaaa").hexdigest() + hashlib.md5(b"bbbb").hexdigest() + ":1-2;"
    assert put.headers["etag"] == f'"{hashlib.md5(tags.encode()).hexdigest()}"'
    got = await box.get("slo")
    assert got.content == b"aaaabb"
    assert got.headers["x-static-large-object"] == "True"
    assert (await box.get("slo", headers={"Range": "bytes=3-4"})).content == b"ab"
    [first, second] = (await box.get("slo?multipart-manifest=get")).json()
    assert (first["name"], first["bytes"], second["range"]) == ("/box/s1", 4, "1-2")
    nested = await box.put("slo2?multipart-manifest=put", json=[{"path": "/box/slo"}, {"path": "/box/s1"}])
    assert nested.status_code == 201
    assert (await box.get("slo2")).content == b"aaaabbaaaa"
    await box.put("s1", content=b"cccc")
    assert (await box.get("slo")).status_code == 409
    report = await box.delete("slo?multipart-manifest=delete", headers={"Accept": "application/json"})
    assert report.json()["Number Deleted"] == 3
    assert (await box.get("")).text == "slo2\n"
    await blobs_of(cloud).clean_once()
    assert data_files() == []


@pytest.mark.parametrize(
    "manifest",
    [
        b"not json",
        b"{}",
        b"[]",
        b'[{"path": "/box/none"}]',
        b'[{"path": "box"}]',
        b'[{"path": "/box/s", "etag": "0"}]',
        b'[{"path": "/box/s", "size_bytes": 7}]',
        b'[{"path": "/box/s", "range": "9-"}]',
        b'[{"path": "/box/s", "range": "x"}]',
        b'[{"path": "/box/empty"}]',
    ],
)
async def test_bad_manifests(box: httpx.AsyncClient, manifest: bytes) -> None:
    await box.put("s", content=b"1234")
    await box.put("empty", content=b"")
    assert (await box.put("slo?multipart-manifest=put", content=manifest)).status_code == 400
    assert (await box.head("slo")).status_code == 404


async def test_a_manifest_gives_no_access_to_other_containers(cloud: Runtime, box: httpx.AsyncClient) -> None:
    await box.put("secret", content=b"secret")
    async with client(cloud, "p1/u1/member") as owner:
        await owner.put(f"{ROOT}/AUTH_p1/open", headers={"X-Container-Write": "p2:u2", "X-Container-Read": "p2:u2"})
    async with client(cloud, "p2/u2/member") as guest:
        url = f"{ROOT}/AUTH_p1/open/trick"
        slo = await guest.put(f"{url}?multipart-manifest=put", json=[{"path": "/box/secret"}])
        assert slo.status_code == 403
        assert (await guest.put(url, content=b"", headers={"X-Object-Manifest": "box/sec"})).status_code == 201
        assert (await guest.get(url)).status_code == 403


@pytest.mark.parametrize(("mode", "after_first_delete"), [("X-Versions-Location", b"v1"), ("X-History-Location", None)])
async def test_versions(
    cloud: Runtime, http: httpx.AsyncClient, mode: str, after_first_delete: bytes | None, data_files
) -> None:
    await http.put("old")
    await http.put("cur", headers={mode: "old"})
    await http.put("cur/o", content=b"v1")
    await http.put("cur/o", content=b"v2")
    assert (await http.get("cur/o")).content == b"v2"
    [archived] = (await http.get("old?format=json")).json()
    assert archived["name"].startswith("001o/")
    assert (await http.get(f"old/{archived['name']}")).content == b"v1"
    assert (await http.delete("cur/o")).status_code == 204
    got = await http.get("cur/o")
    if after_first_delete is None:
        assert got.status_code == 404
        kinds = [entry["content_type"] for entry in (await http.get("old?format=json")).json()]
        assert kinds[2].startswith("application/x-deleted")
    else:
        assert got.content == after_first_delete
        assert (await http.delete("cur/o")).status_code == 204
        assert (await http.get("old")).status_code == 204
        await blobs_of(cloud).clean_once()
        assert data_files() == []


async def test_a_missing_archive_refuses_to_overwrite(http: httpx.AsyncClient) -> None:
    await http.put("cur", headers={"X-Versions-Location": "gone"})
    await http.put("cur/o", content=b"v1")
    assert (await http.put("cur/o", content=b"v2")).status_code == 412
    assert (await http.get("cur/o")).content == b"v1"


def signed(method: str, expires: int, path: str, key: bytes, digest: str = "sha256") -> str:
    signature = hmac.new(key, f"{method}\n{expires}\n{path}".encode(), digest).hexdigest()
    return f"{path}?temp_url_sig={signature}&temp_url_expires={expires}"


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
async def test_temporary_urls(cloud: Runtime, box: httpx.AsyncClient, digest: str) -> None:
    await box.put("o", content=b"secret")
    await box.post("http://cloud.test/object-store/v1/AUTH_p1", headers={"X-Account-Meta-Temp-URL-Key": "k"})
    expires, path = int(clock.now().timestamp()) + 100, f"{ROOT}/AUTH_p1/box/o"
    async with client(cloud) as guest:
        url = signed("GET", expires, path, b"k", digest)
        got = await guest.get(url)
        assert (got.status_code, got.content) == (200, b"secret")
        assert got.headers["content-disposition"].startswith('attachment; filename="o"')
        assert (await guest.get(f"{url}&inline")).headers["content-disposition"] == "inline"
        named = (await guest.get(f"{url}&inline&filename=x.txt")).headers["content-disposition"]
        assert named.startswith('inline; filename="x.txt"')
        assert (await guest.head(url)).status_code == 200
        assert (await guest.put(url, content=b"x")).status_code == 401
        assert (await guest.get(url.replace("box/o?", "box/p?"))).status_code == 401
        assert (await guest.get(signed("GET", expires, path, b"wrong"))).status_code == 401
        assert (await guest.get(signed("GET", 1000, path, b"k"))).status_code == 401
        put = signed("PUT", expires, path, b"k", digest)
        assert (await guest.put(put, content=b"new")).status_code == 201
        assert (await guest.put(put, content=b"", headers={"X-Object-Manifest": "box/o"})).status_code == 400
    assert (await box.get("o")).content == b"new"


async def test_temporary_urls_by_prefix_and_container_key(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box", headers={"X-Container-Meta-Temp-URL-Key": "ck"})
    await http.put("box/pre/1", content=b"1")
    await http.put("box/other", content=b"2")
    expires = int(clock.now().timestamp()) + 100
    signature = hmac.new(b"ck", f"GET\n{expires}\nprefix:/v1/AUTH_p1/box/pre/".encode(), "sha256").hexdigest()
    query = f"temp_url_sig={signature}&temp_url_expires={expires}&temp_url_prefix=pre/"
    async with client(cloud) as guest:
        assert (await guest.get(f"{ROOT}/AUTH_p1/box/pre/1?{query}")).content == b"1"
        assert (await guest.get(f"{ROOT}/AUTH_p1/box/other?{query}")).status_code == 401


async def test_an_upload_that_breaks_off_leaves_nothing(cloud: Runtime, box: httpx.AsyncClient, data_files) -> None:
    messages = [{"type": "http.request", "body": bytes(3_000_000), "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"x-auth-token", b"p1/u1/member"), (b"content-length", b"9000000")]
    scope = {"type": "http", "method": "PUT", "path": f"{ROOT}/AUTH_p1/box/o", "headers": headers, "query_string": b""}

    async def receive() -> dict:
        return messages.pop(0)

    async def send(message: dict) -> None:
        raise AssertionError(f"nobody is there to receive {message}")

    await cloud.app(scope, receive, send)
    assert (await box.head("o")).status_code == 404
    assert data_files() == []


async def test_a_download_ends_when_the_client_leaves(cloud: Runtime, box: httpx.AsyncClient) -> None:
    await box.put("o", content=bytes(8 << 20))
    scope = {"type": "http", "method": "GET", "path": f"{ROOT}/AUTH_p1/box/o", "query_string": b""}
    scope["headers"] = [(b"x-auth-token", b"p1/u1/member")]
    left, sent = asyncio.Event(), 0

    async def receive() -> dict:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))
        if sent:
            left.set()
        await asyncio.sleep(0)

    await cloud.app(scope, receive, send)
    assert 0 < sent <= 2 << 20


async def test_a_full_device_is_507(cloud: Runtime, box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_of(cloud), "driver", FakeDriver(capacity_bytes=10))
    answer = await box.put("o", content=b"more than ten bytes")
    assert answer.status_code == 507
    assert "free space" in answer.text
    assert (await box.head("o")).status_code == 404


async def test_a_client_that_leaves_at_the_end_leaves_no_row_without_bytes(
    cloud: Runtime, box: httpx.AsyncClient
) -> None:
    upload = asyncio.create_task(box.put("o", content=b"data"))
    await asyncio.sleep(0)
    for _ in range(200):
        if blobs_of(cloud)._commits:
            upload.cancel()
            break
        await asyncio.sleep(0)
    await asyncio.gather(upload, return_exceptions=True)
    await asyncio.sleep(0.2)
    got = await box.get("o")
    assert (got.status_code, got.content) in ((200, b"data"), (404, got.content))
