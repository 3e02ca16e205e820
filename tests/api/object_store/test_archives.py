"""Archives that are unpacked on arrival."""

import io
import tarfile

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client

JSON = {"Accept": "application/json"}


def packed(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2")])
async def test_files_become_objects(http: httpx.AsyncClient, kind: str, mode: str) -> None:
    files = {"box/a.txt": b"one", "./box/b/c": b"t" * 3_000_000, "other/empty": b""}
    answer = await http.put(f"?extract-archive={kind}", content=packed(files, mode), headers=JSON)
    assert answer.json() == {
        "Number Files Created": 3,
        "Response Status": "201 Created",
        "Response Body": "",
        "Errors": [],
    }
    assert (await http.get("box/b/c")).content == b"t" * 3_000_000
    assert (await http.head("box/a.txt")).headers["content-type"] == "text/plain"
    assert (await http.get("")).text == "box\nother\n"


async def test_below_a_container_and_a_prefix(http: httpx.AsyncClient) -> None:
    await http.put("box?extract-archive=tar", content=packed({"x": b"1"}))
    await http.put("box/deep/er?extract-archive=tar", content=packed({"y": b"2"}))
    assert (await http.get("box")).text == "deep/er/y\nx\n"


async def test_what_cannot_be_stored_is_told(http: httpx.AsyncClient) -> None:
    await http.put("full", headers={"X-Container-Meta-Quota-Bytes": "2"})
    files = {"full/big": b"123", "full/ok": b"1", "no-object": b"x"}
    report = (await http.put("?extract-archive=tar", content=packed(files), headers=JSON)).json()
    assert report["Number Files Created"] == 1
    assert report["Errors"] == [["full/big", "413 Request Entity Too Large"], ["no-object", "400 Bad Request"]]


@pytest.mark.parametrize(
    ("query", "content", "status"),
    [
        ("extract-archive=zip", b"", 400),
        ("extract-archive=tar", b"no tar" * 200, 400),
        ("extract-archive=tar.gz", b"x", 400),
    ],
)
async def test_what_is_no_archive(http: httpx.AsyncClient, query: str, content: bytes, status: int) -> None:
    assert (await http.put(f"?{query}", content=content)).status_code == status


async def test_strangers_unpack_nothing(cloud: Runtime, http: httpx.AsyncClient) -> None:
    async with client(cloud, "p2/u2/member") as stranger:
        url = "http://cloud.test/object-store/v1/AUTH_p1?extract-archive=tar"
        report = (await stranger.put(url, content=packed({"box/a": b"1"}), headers=JSON)).json()
    assert report["Errors"] == [["box/a", "403 Forbidden"]]
    assert (await http.get("")).status_code == 204
