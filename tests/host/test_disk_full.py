"""A full disk: every request is answered with a sentence, nothing is spoilt, and with room it goes on by itself."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.kernel.operations import alarms
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

pytestmark = pytest.mark.host
SIZE_MIB = 24
COMPUTE = {"OpenStack-API-Version": "compute 2.96"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "pileus-test", where], check=True)
    yield where
    subprocess.run(["umount", "--lazy", where], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is, as another program would."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def said(answer: httpx.Response) -> str:
    """Check that a refusal names the cause, and return its sentence."""
    assert answer.status_code in (503, 507), answer.text
    assert "full" in answer.text, answer.text
    return answer.text


async def until_at_rest(cloud: Any) -> None:
    for _ in range(600):
        if not await cloud.db.read(alarms.list_operations):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(await cloud.db.read(lambda tx: [str(vars(o)) for o in alarms.list_operations(tx)]))


def check_database(state: Path) -> None:
    with closing(sqlite3.connect(state / "pileus.db")) as rows:
        assert rows.execute("pragma integrity_check").fetchone() == ("ok",)
        assert rows.execute("pragma foreign_key_check").fetchall() == []


async def test_a_full_disk_refuses_spoils_nothing_and_goes_on_with_room(disk: Path) -> None:
    state = disk / "cloud"
    state.mkdir()
    async with running(state) as cloud, client(cloud, await login(cloud, "admin"), **COMPUTE) as http:
        (project,) = (await http.get("/identity/v3/projects?name=admin")).json()["projects"]
        box = f"/object-store/v1/AUTH_{project['id']}/box"
        volumes = f"/volume/v3/{project['id']}/volumes"
        assert (await http.put(box)).status_code == 201
        assert (await http.put(f"{box}/before", content=b"kept")).status_code == 201
        await http.post(volumes, json={"volume": {"size": 1, "name": "under way"}})
        known = (await http.get("/identity/v3/projects")).json()["projects"]
        filler = fill(disk)

        made, refused = [], 0
        for number in range(300):  # the log of the database may still have room that was used before
            answer = await http.post("/identity/v3/projects", json={"project": {"name": f"p{number}"}})
            if answer.status_code == 201:
                made.append(answer.json()["project"]["id"])
            else:
                said(answer)
                refused += 1
        assert refused > 100
        said(await http.put(f"{box}/big", content=os.urandom(100_000)))
        said(await http.post(volumes, json={"volume": {"size": 1}}))
        image = {"name": "i", "disk_format": "raw", "container_format": "bare"}
        said(await http.post("/image/v2/images", json=image))
        assert (await http.get(f"{box}/before")).content == b"kept"
        assert (await http.get("/identity/v3/projects")).status_code == 200
        assert (await http.get("/healthz")).status_code == 200
        check_database(state)

        filler.unlink()
        answer = await http.post("/identity/v3/projects", json={"project": {"name": "room again"}})
        assert answer.status_code == 201, answer.text
        assert (await http.put(f"{box}/big", content=os.urandom(100_000))).status_code == 201
        there = {one["id"] for one in (await http.get("/identity/v3/projects")).json()["projects"]}
        assert set(made) < there
        assert len(there) == len(known) + len(made) + 1, "nothing that was refused is there"
        await until_at_rest(cloud)
        found = (await http.get(f"{volumes}/detail")).json()["volumes"]
        assert {volume["status"] for volume in found} == {"available"}
    check_database(state)
    assert [path.name for path in (state / "object_store" / "d1" / "tmp").iterdir()] == []


async def test_an_upload_that_fills_the_disk_leaves_nothing_of_itself(disk: Path) -> None:
    state = disk / "cloud"
    state.mkdir()
    async with running(state) as cloud, client(cloud, await login(cloud, "admin")) as http:
        (project,) = (await http.get("/identity/v3/projects?name=admin")).json()["projects"]
        box = f"/object-store/v1/AUTH_{project['id']}/box"
        await http.put(box)
        free = os.statvfs(disk).f_bavail
        said(await http.put(f"{box}/vast", content=bytes(SIZE_MIB << 20)))
        assert (await http.get(f"{box}/vast")).status_code == 404
        image = {"name": "i", "disk_format": "raw", "container_format": "bare"}
        id = (await http.post("/image/v2/images", json=image)).json()["id"]
        headers = {"Content-Type": "application/octet-stream"}
        said(await http.put(f"/image/v2/images/{id}/file", content=bytes(SIZE_MIB << 20), headers=headers))
        assert (await http.get(f"/image/v2/images/{id}")).json()["status"] == "queued"
        answer = await http.put(f"/image/v2/images/{id}/file", content=b"small", headers=headers)
        assert answer.status_code == 204, answer.text
        assert os.statvfs(disk).f_bavail > free - 1000, "bytes of refused uploads were left"
