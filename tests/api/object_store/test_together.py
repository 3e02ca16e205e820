"""Many clients at one object: whoever reads gets one whole version, and in the end there is one file a row."""

import asyncio
import hashlib
import random

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.drivers.directory import DirectoryUpload


@pytest.mark.parametrize("seed", [1, 2])
async def test_writers_readers_and_deleters(cloud: Runtime, http: httpx.AsyncClient, data_files, seed: int) -> None:
    dice = random.Random(seed)
    await http.put("old")
    await http.put("box", headers={"X-Versions-Location": "old"} if seed == 2 else {})
    seen: set[int] = set()

    async def client(number: int) -> None:
        for turn in range(12):
            act = dice.choice(["put", "put", "get", "get", "get", "delete", "copy", "post"])
            if act == "put":
                content = bytes([number]) * dice.choice([0, 1, 70_000, 1_500_000])
                answer = await http.put("box/o", content=content)
            elif act == "get":
                answer = await http.get("box/o", headers=dice.choice([{}, {"Range": "bytes=0-9"}]))
                if answer.status_code == 200:
                    assert hashlib.md5(answer.content).hexdigest() == answer.headers["etag"]
                assert len(set(answer.content)) <= 1 or answer.status_code == 404
            elif act == "copy":
                answer = await http.request("COPY", "box/o", headers={"Destination": f"box/copy{turn}"})
            else:
                answer = await http.request(act.upper(), "box/o")
            seen.add(answer.status_code)

    await asyncio.gather(*[client(number) for number in range(1, 9)])
    assert seen <= {200, 201, 202, 204, 206, 404, 416}
    await blobs_of(cloud).clean_once()
    sizes = [entry["bytes"] for box in ("box", "old") for entry in (await http.get(f"{box}?format=json")).json()]
    assert sorted(path.stat().st_size for path in data_files()) == sorted(size for size in sizes if size)


async def test_an_upload_that_is_replaced_before_its_bytes_are_in_place_has_succeeded(
    cloud: Runtime, http: httpx.AsyncClient, data_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    await http.put("box")
    publish, begun, go = DirectoryUpload.publish, asyncio.Event(), asyncio.Event()

    async def publish_late(self: DirectoryUpload) -> None:
        monkeypatch.setattr(DirectoryUpload, "publish", publish)
        begun.set()
        await go.wait()
        await publish(self)

    monkeypatch.setattr(DirectoryUpload, "publish", publish_late)
    first = asyncio.create_task(http.put("box/o", content=b"1" * 70_000))
    await begun.wait()
    assert (await http.put("box/o", content=b"2" * 80_000)).status_code == 201
    await blobs_of(cloud).clean_once()
    go.set()
    assert (await first).status_code == 201
    assert (await http.get("box/o")).content == b"2" * 80_000
    assert [path.stat().st_size for path in data_files()] == [80_000]
