"""Many deletes in one request, and versions kept in another container."""

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.object_store.api import bulk
from pileus.services.object_store.app.blobs import blobs_of

JSON = {"Accept": "application/json"}


async def test_a_bulk_delete_lets_others_write_between_its_pieces(
    cloud: Runtime, box: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PIECE", 3)
    pieces: list[int] = []
    delete_piece = bulk._delete_piece

    def counted(tx, ctx, account, names):
        pieces.append(len(names))
        return delete_piece(tx, ctx, account, names)

    monkeypatch.setattr(bulk, "_delete_piece", counted)
    for i in range(4):
        await box.put(f"{i}", content=b"x")
    names = [f"box/{i}" for i in range(4)] + ["box/none", "none/x", "box/a%00", "box"]
    report = (
        await box.post("http://cloud.test/object-store/v1/AUTH_p1?bulk-delete", content="\n".join(names), headers=JSON)
    ).json()
    assert (report["Number Deleted"], report["Number Not Found"]) == (5, 2)
    assert report["Errors"] == [["box/a%00", "412 Precondition Failed"]]
    assert pieces == [3, 3, 2]


async def test_names_are_counted_before_any_is_deleted(box: httpx.AsyncClient) -> None:
    await box.put("o", content=b"x")
    url = "http://cloud.test/object-store/v1/AUTH_p1?bulk-delete"
    assert (await box.post(url, content="box/o\n" * 10001)).status_code == 413
    assert (await box.post(url, content="\n" * 30000 + "box/o")).status_code == 413
    assert (await box.post(url, content="box/o\nbox/" + "n" * 4000)).status_code == 400
    assert (await box.head("o")).status_code == 200


async def test_a_bulk_delete_goes_to_the_account(box: httpx.AsyncClient) -> None:
    await box.put("o", content=b"x")
    for method in ("POST", "DELETE"):
        for path in ("o", ""):
            answer = await box.request(method, f"{path}?bulk-delete", content=b"box/o")
            assert (answer.status_code, "/v1/AUTH_p1" in answer.text) == (400, True)
    assert (await box.head("o")).status_code == 200


async def test_a_bulk_delete_that_only_fails_is_left(cloud: Runtime, box: httpx.AsyncClient) -> None:
    async with client(cloud, "p2/u2/member") as stranger:
        url = "http://cloud.test/object-store/v1/AUTH_p1?bulk-delete"
        report = (await stranger.post(url, content="box/o\n" * 3000, headers=JSON)).json()
    assert (len(report["Errors"]), report["Number Deleted"]) == (1000, 0)
    assert "Max delete failures exceeded" in report["Response Body"]


async def test_an_account_goes_in_pieces(
    cloud: Runtime, box: httpx.AsyncClient, data_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pileus.services.object_store.api import accounts

    monkeypatch.setattr(accounts, "PIECE", 2)
    for i in range(5):
        await box.put(f"{i}", content=b"x")
    async with client(cloud, "p9/admin/ResellerAdmin") as reseller:
        assert (await reseller.delete("/object-store/v1/AUTH_p1")).status_code == 204
        assert (await reseller.delete("/object-store/v1/AUTH_p1")).status_code == 404
    await blobs_of(cloud).clean_once()
    assert data_files() == []


@pytest.mark.parametrize("mode", ["X-Versions-Location", "X-History-Location"])
async def test_versions_in_a_container_whose_name_is_encoded(http: httpx.AsyncClient, mode: str) -> None:
    await http.put("old%20%C3%BC")
    assert (await http.put("cur", headers={mode: "old%20%C3%BC"})).status_code == 201
    assert (await http.head("cur")).headers[mode] == "old%20%C3%BC"
    for content in (b"1", b"2"):
        assert (await http.put("cur/o", content=content)).status_code == 201
    [archived] = (await http.get("old%20%C3%BC?format=json")).json()
    assert archived["name"].startswith("001o/")
    assert (await http.put("cur", headers={mode: "cur"})).status_code == 409


async def test_history_notes_the_deletion_of_what_is_not_there(http: httpx.AsyncClient) -> None:
    await http.put("old")
    await http.put("cur", headers={"X-History-Location": "old"})
    assert (await http.delete("cur/o")).status_code == 404
    [marker] = (await http.get("old?format=json")).json()
    assert marker["content_type"].startswith("application/x-deleted")
    await http.put("cur/o", content=b"1")
    assert (await http.delete("cur/o")).status_code == 204
    assert (await http.delete("cur/o")).status_code == 404
    assert len((await http.get("old?format=json")).json()) == 4


async def test_versions_after_a_history(http: httpx.AsyncClient) -> None:
    """A stack of versions pops the note of a deletion with the version below it."""
    await http.put("old")
    await http.put("cur", headers={"X-History-Location": "old"})
    await http.put("cur/o", content=b"1")
    await http.delete("cur/o")
    assert (await http.post("cur", headers={"X-Versions-Location": "old"})).status_code == 204
    headers = (await http.head("cur")).headers
    assert ("x-history-location" in headers, headers["x-versions-location"]) == (False, "old")
    assert (await http.delete("cur/o")).status_code == 204
    assert (await http.get("cur/o")).content == b"1"
    assert (await http.delete("cur/o")).status_code == 204
    assert (await http.delete("cur/o")).status_code == 404
    assert (await http.get("old")).status_code == 204
    await http.post("cur", headers={"X-Remove-History-Location": "x"})
    assert "x-versions-location" not in (await http.head("cur")).headers
