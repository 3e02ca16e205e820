"""Archives that are unpacked on arrival."""

import bz2
import gzip
import io
import tarfile
import tracemalloc

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.object_store.app import archives

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


async def test_what_is_no_kind_of_archive(http: httpx.AsyncClient) -> None:
    assert (await http.put("?extract-archive=zip", content=b"")).status_code == 400


@pytest.mark.parametrize(
    ("kind", "content", "why"),
    [
        ("tar", b"no tar" * 200, "a number in a header cannot be read"),
        ("tar", b"", "it is empty"),
        ("tar", b"\1" * 100, "it ends in the middle of a header"),
        ("tar", bytes(1024), "No Valid Files"),
        ("tar.gz", b"x" * 100, "it is not compressed by gzip"),
        ("tar.bz2", b"x" * 100, "it is not compressed by bzip2"),
        ("tar.gz", packed({"box/a": b"1"}, "w:gz")[:60], "the compressed data ends in the middle"),
        ("tar", packed({"box/a": b"1" * 600})[:1600], "it ends in the middle of a file"),
    ],
    ids=[*"12345678"],
)
async def test_what_is_no_archive(http: httpx.AsyncClient, kind: str, content: bytes, why: str) -> None:
    report = (await http.put(f"?extract-archive={kind}", content=content, headers=JSON)).json()
    assert report["Response Status"] == "400 Bad Request"
    assert report["Response Body"].startswith(f"Invalid Tar File: {why}")
    assert (await http.get("box/a")).status_code == 404


async def test_strangers_unpack_nothing(cloud: Runtime, http: httpx.AsyncClient) -> None:
    async with client(cloud, "p2/u2/member") as stranger:
        url = "http://cloud.test/object-store/v1/AUTH_p1?extract-archive=tar"
        report = (await stranger.put(url, content=packed({"box/a": b"1"}), headers=JSON)).json()
    assert report["Errors"] == [["box/a", "403 Forbidden"]]
    assert (await http.get("")).status_code == 204


def extended(kind: bytes, claimed: int, content: bytes = b"") -> bytes:
    """Return a header of the kind that gives long names to the file after it, whatever size it claims."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, claimed
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"X"])
async def test_a_header_that_claims_much_takes_nothing(http: httpx.AsyncClient, kind: bytes) -> None:
    bomb = gzip.compress(extended(kind, 400 << 20) + bytes(12 << 20), 1)
    tracemalloc.start()
    try:
        report = (await http.put("box?extract-archive=tar.gz", content=bomb, headers=JSON)).json()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"claims {400 << 20} bytes" in report["Response Body"]
    assert peak < 4 << 20


async def test_a_bzip2_bomb_is_unpacked_in_pieces_and_stopped(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    bomb = bz2.compress(extended(b"0", 5 << 20) + bytes(5 << 20))
    tracemalloc.start()
    try:
        report = (await http.put("box?extract-archive=tar.bz2", content=bomb, headers=JSON)).json()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "unpacks to more than 1000 times its size" in report["Response Body"]
    assert (len(bomb) < 200, peak < 4 << 20) == (True, True)
    assert (await http.get("box/x")).status_code == 404


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("../x", "400 Bad Request"),
        ("..", "400 Bad Request"),
        ("box/../../other/x", "400 Bad Request"),
        ("box/" + "n" * 1025, "400 Bad Request"),
        ("c" * 257 + "/x", "400 Bad Request"),
        ("box/\udcff", "412 Precondition Failed"),
        ("box/a\0b", None),
    ],
)
async def test_names_that_step_out_or_cannot_be(http: httpx.AsyncClient, name: str, error: str | None) -> None:
    report = (await http.put("?extract-archive=tar", content=packed({name: b"x"}), headers=JSON)).json()
    assert [why for _, why in report["Errors"]] == ([error] if error else [])
    assert (await http.get("")).text == ("" if error else "box\n")


async def test_a_nul_in_a_pax_name(http: httpx.AsyncClient) -> None:
    record = b"16 path=box/a\0b\n"
    archive = extended(b"x", len(record), record) + extended(b"0", 0)
    report = (await http.put("?extract-archive=tar", content=archive, headers=JSON)).json()
    assert report["Errors"] == [["box/a%00b", "412 Precondition Failed"]]


async def test_attributes_become_type_and_metadata(http: httpx.AsyncClient) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("box/o")
        member.pax_headers = {"SCHILY.xattr.user.mime_type": "a/b", "SCHILY.xattr.user.meta.Colour": "red"}
        archive.addfile(member)
        bad = tarfile.TarInfo("box/bad")
        bad.pax_headers = {"SCHILY.xattr.user.meta.a b": "x"}
        archive.addfile(bad)
    report = (await http.put("?extract-archive=tar", content=buffer.getvalue(), headers=JSON)).json()
    headers = (await http.head("box/o")).headers
    assert (headers["content-type"], headers["x-object-meta-colour"]) == ("a/b", "red")
    assert report["Errors"] == [["box/bad", "400 Bad Request"]]


async def test_a_sparse_file_is_refused_by_itself(http: httpx.AsyncClient) -> None:
    sparse = extended(b"S", 0)
    report = (await http.put("box?extract-archive=tar", content=sparse + packed({"y": b"1"}), headers=JSON)).json()
    assert (report["Number Files Created"], report["Errors"]) == (1, [["box/x", "400 Bad Request"]])


async def test_a_thousand_failures_end_it(http: httpx.AsyncClient) -> None:
    report = (
        await http.put("?extract-archive=tar", content=packed({str(i): b"" for i in range(1200)}), headers=JSON)
    ).json()
    assert len(report["Errors"]) == 1000
    assert report["Response Status"] == "413 Request Entity Too Large"


async def test_entries_without_end_are_counted(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 50)
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    report = (await http.put("?extract-archive=tar", content=folder.tobuf() * 60, headers=JSON)).json()
    assert "more than 50 entries" in report["Response Body"]
