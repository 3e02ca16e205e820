"""Large objects whose manifests are made to cost: what a reader asks for bounds what is done for it."""

import hashlib
import time
from typing import Any

import httpx
import pytest

from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.object_store import store
from pileus.services.object_store.app import content, manifests

ROOT = "/object-store/v1"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


async def put_manifest(http: httpx.AsyncClient, name: str, entries: list[Any]) -> httpx.Response:
    return await http.put(f"{name}?multipart-manifest=put", json=entries)


async def test_a_few_bytes_of_a_deep_manifest_cost_a_few_look_ups(cloud: Runtime, box: httpx.AsyncClient) -> None:
    """A thousand by a thousand segments, of which ten bytes are read, by whoever may read the container."""
    await box.post("", headers={"X-Container-Read": ".r:*"})
    await box.put("leaf", content=b"x")
    assert (await put_manifest(box, "m1", [{"path": "/box/leaf"}] * 1000)).status_code == 201
    assert (await put_manifest(box, "m2", [{"path": "/box/m1"}] * 1000)).status_code == 201
    async with client(cloud) as guest:
        for wanted in ("bytes=0-9", "bytes=999990-999999", "bytes=499995-500004"):
            began = time.perf_counter()
            got = await guest.get(f"{ROOT}/AUTH_p1/box/m2", headers={"Range": wanted})
            assert (got.status_code, got.content) == (206, b"x" * 10)
            assert time.perf_counter() - began < 1
        assert (await guest.head(f"{ROOT}/AUTH_p1/box/m2")).headers["content-length"] == "1000000"


async def test_manifests_are_bounded_when_they_are_stored(
    box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "MAX_LEAVES", 9)
    await box.put("m0", content=b"x")
    for depth in range(1, 11):
        assert (await put_manifest(box, f"m{depth}", [{"path": f"/box/m{depth - 1}"}])).status_code == 201
    assert (await box.get("m10")).content == b"x"
    eleventh = await put_manifest(box, "m11", [{"path": "/box/m10"}])
    assert (eleventh.status_code, "deeper than 10" in eleventh.text) == (400, True)
    assert (await put_manifest(box, "three", [{"path": "/box/m0"}] * 3)).status_code == 201
    assert (await put_manifest(box, "nine", [{"path": "/box/three"}] * 3)).status_code == 201
    assert (await put_manifest(box, "twelve", [{"path": "/box/three"}] * 4)).status_code == 413
    assert (await put_manifest(box, "many", [{"path": "/box/m0"}] * 1001)).status_code == 413


async def test_no_look_ups_hold_the_database_for_long(
    cloud: Runtime, box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[int] = []
    find_segments = store.find_segments

    def counted(tx: Tx, container: Any, names: list[str]) -> Any:
        looked_up.append(len(names))
        return find_segments(tx, container, names)

    monkeypatch.setattr(store, "find_segments", counted)
    await box.put("s", content=b"x")
    assert (await put_manifest(box, "m", [{"path": "/box/s"}] * 250)).status_code == 201
    assert looked_up == [100, 100, 50]
    assert (await box.get("m")).content == b"x" * 250


async def test_a_segment_that_becomes_a_manifest_of_itself(box: httpx.AsyncClient) -> None:
    """The etag of a manifest is the MD5 of its segments' etags: an object of that text has the same."""
    text = md5(b"x") + md5(b"y")
    await box.put("x", content=b"x")
    await box.put("y", content=b"y")
    await box.put("s", content=text.encode())
    assert (await put_manifest(box, "outer", [{"path": "/box/s"}])).status_code == 201
    swapped = await put_manifest(box, "s", [{"path": "/box/x"}, {"path": "/box/y"}])
    assert swapped.headers["etag"] == f'"{md5(text.encode())}"'
    assert (await box.get("outer")).status_code == 409
    itself = await put_manifest(box, "s", [{"path": "/box/x"}, {"path": "/box/s"}])
    assert (itself.status_code, "cannot name itself" in itself.text) == (409, True)


@pytest.mark.parametrize(
    "entry",
    [{"path": "/box/s", "colour": 1}, {"path": "/box/s", "data": "eA=="}, {"path": "/box/a\0"}, {"etag": "x"}, 7],
)
async def test_unknown_keys_of_an_entry(box: httpx.AsyncClient, entry: Any) -> None:
    await box.put("s", content=b"x")
    assert (await put_manifest(box, "m", [entry])).status_code == 400
    assert (await box.head("m")).status_code == 404


async def test_the_manifest_itself(box: httpx.AsyncClient) -> None:
    await box.put("s", content=b"abcd")
    await put_manifest(box, "m", [{"path": "/box/s", "range": "1-2"}])
    got = await box.get("m?multipart-manifest=get")
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert got.headers["etag"] == md5(got.content)
    head = await box.head("m?multipart-manifest=get")
    assert (head.headers["etag"], head.headers["content-length"]) == (md5(got.content), str(len(got.content)))
    raw = await box.get("m?multipart-manifest=get&format=raw")
    assert raw.json() == [{"path": "/box/s", "etag": md5(b"abcd"), "size_bytes": 4, "range": "1-2"}]
    assert (await put_manifest(box, "again", raw.json())).status_code == 201
    assert (await box.get("again")).content == b"bc"


async def test_the_segments_are_deleted_through_nested_manifests(box: httpx.AsyncClient) -> None:
    for name in ("a", "b"):
        await box.put(name, content=b"x")
    await put_manifest(box, "inner", [{"path": "/box/a"}, {"path": "/box/b"}])
    await put_manifest(box, "outer", [{"path": "/box/inner"}, {"path": "/box/a"}])
    report = await box.delete("outer?multipart-manifest=delete", headers={"Accept": "application/json"})
    assert (report.json()["Number Deleted"], report.json()["Errors"]) == (4, [])
    assert (await box.get("")).status_code == 204


async def test_a_copied_manifest_is_judged_where_it_will_stand(cloud: Runtime, box: httpx.AsyncClient) -> None:
    await box.put("s", content=b"secret")
    await put_manifest(box, "m", [{"path": "/box/s"}])
    same = await box.request("COPY", "m?multipart-manifest=get", headers={"Destination": "box/copy"})
    assert (same.status_code, (await box.get("copy")).content) == (201, b"secret")
    async with client(cloud, "p2/u2/member") as other:
        await other.put(f"{ROOT}/AUTH_p2/in", headers={"X-Container-Write": "p1:u1"})
        target = {"Destination": "in/m", "Destination-Account": "AUTH_p2"}
        missing = await box.request("COPY", "m?multipart-manifest=get", headers=target)
        assert (missing.status_code, "/box/s, 404 Not Found" in missing.text) == (400, True)
        await other.put(f"{ROOT}/AUTH_p2/box")
        await other.put(f"{ROOT}/AUTH_p2/box/s", content=b"secret")
        assert (await box.request("COPY", "m?multipart-manifest=get", headers=target)).status_code == 403
        await other.post(f"{ROOT}/AUTH_p2/box", headers={"X-Container-Read": "p1:u1"})
        assert (await box.request("COPY", "m?multipart-manifest=get", headers=target)).status_code == 201


async def test_a_copy_of_a_range(box: httpx.AsyncClient) -> None:
    await box.put("o", content=b"hello world")
    copy = {"Destination": "box/part", "Range": "bytes=6-8"}
    assert (await box.request("COPY", "o", headers=copy)).status_code == 201
    assert (await box.get("part")).content == b"wor"
    assert (await box.request("COPY", "o", headers={**copy, "Range": "bytes=0-0,3-4"})).status_code == 400


async def test_ranges_of_a_dynamic_large_object(box: httpx.AsyncClient) -> None:
    await box.put("seg/1", content=b"hello ")
    await put_manifest(box, "seg/2", [{"path": "/box/seg/1", "range": "0-4"}])
    await box.put("whole", content=b"", headers={"X-Object-Manifest": "box/seg/"})
    assert (await box.get("whole")).content == b"hello hello"
    assert (await box.get("whole", headers={"Range": "bytes=5-7"})).content == b" he"
    several = await box.get("whole", headers={"Range": "bytes=0-0,-1"})
    assert (several.status_code, several.content) == (200, b"hello hello")


async def test_more_segments_than_a_listing_has(box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(content.LIMITS, "container_listing_limit", 4)
    monkeypatch.setattr(content, "PAGE", 2)
    for i in range(7):
        await box.put(f"seg/{i}", content=b"%d" % i)
    await box.put("whole", content=b"", headers={"X-Object-Manifest": "box/seg/"})
    got = await box.get("whole")
    assert (got.content, "content-length" in got.headers) == (b"0123456", False)
    assert "content-length" not in (await box.head("whole")).headers
    within = await box.get("whole", headers={"Range": "bytes=1-2"})
    assert (within.status_code, within.content, within.headers["content-range"]) == (206, b"12", "bytes 1-2/*")
    for beyond in ("bytes=2-6", "bytes=-2", "bytes=5-"):
        assert (await box.get("whole", headers={"Range": beyond})).status_code == 200
    assert (await box.request("COPY", "whole", headers={"Destination": "box/copy"})).status_code == 413


async def test_a_segment_lost_later_breaks_the_answer_off(
    box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "BATCH", 2)
    for name in ("a", "b", "c"):
        await box.put(name, content=b"xx")
    await put_manifest(box, "m", [{"path": f"/box/{name}"} for name in ("a", "b", "c")])
    await box.delete("c")
    assert (await box.get("m", headers={"Range": "bytes=0-3"})).content == b"xxxx"
    assert (await box.get("m", headers={"Range": "bytes=4-"})).status_code == 409
    broken = await box.get("m")
    assert len(broken.content) < int(broken.headers["content-length"])
