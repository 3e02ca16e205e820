"""When the power fails nothing is lost that somebody was told of, whatever the disk had not yet written.

A cloud works under a recorder of its system calls; from the record every kind of disk that a crash may leave is
made, at many moments, and looked at or started again.
"""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

from .disk import WRITE, Disk, Record, read_log
from .volumes import IMAGE_BYTES
from .workload import SAID, STATE

SOURCE = Path(__file__).parent / "recorder.c"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("cc"), "there is no C compiler: apt-get install gcc libc6-dev"
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def recorded(recorder: Path, folder: Path, *command: str) -> list[Record]:
    """Run a Python module on ``folder/root`` under the recorder and return what it did there."""
    (folder / "root" / STATE).mkdir(parents=True)
    told = {"LD_PRELOAD": str(recorder), "POWER_ROOT": str(folder / "root"), "POWER_LOG": str(folder / "log")}
    words = [sys.executable, "-m", *command, str(folder / "root")]
    subprocess.run(words, env={**os.environ, **told}, cwd=ROOT, check=True, timeout=300)
    return list(read_log(folder / "log"))


def moments(records: list[Record], root: Path) -> Iterator[tuple[int, Disk, list[dict[str, Any]], bool]]:
    """Yield after every record the disk, what has been said so far, and whether that was the saying of something."""
    disk, said = Disk(str(root), str(root / STATE)), list[dict[str, Any]]()
    for number, record in enumerate(records):
        saying = record.kind == WRITE and record.path == str(root / SAID)
        if saying:
            said.append(json.loads(record.more))
        else:
            disk.take(record)
        yield number, disk, said, saying


@pytest.fixture(scope="module")
def worked(recorder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("power")
    return folder / "root", recorded(recorder, folder, "tests.sim.power.workload")


def crashes(disk: Disk, target: Path, seeds: range) -> Iterator[tuple[str, Path]]:
    """Yield disks that a crash may leave: nothing unsynced kept, all kept, and by chance."""
    kinds: list[tuple[str, random.Random | None, bool]] = [("nothing", None, False), ("all", None, True)]
    kinds += [(f"by chance {seed}", random.Random(seed), False) for seed in seeds]
    for name, dice, keep in kinds:
        shutil.rmtree(target, ignore_errors=True)
        disk.after_crash(target, dice, keep=keep)
        yield name, target / STATE


def look(state: Path, said: list[dict[str, Any]], pending: str | None) -> None:
    """Compare rows and bytes with what was said; ``pending`` is an object that is just being changed."""
    with closing(sqlite3.connect(state / "pileus.db")) as rows:
        assert rows.execute("pragma integrity_check").fetchone() == ("ok",)
        assert rows.execute("pragma foreign_key_check").fetchall() == []
        projects = {id for (id,) in rows.execute("select id from identity_projects")}
        query = "select o.name, o.blob from object_store_objects o join object_store_containers c "
        query += "on c.id = o.container_id where c.name = 'box'"
        objects = dict(rows.execute(query).fetchall())
        images = {id for (id,) in rows.execute("select id from image_images where status = 'active'")}
    assert {fact["id"] for fact in said if fact["what"] == "project"} <= projects
    assert {fact["id"] for fact in said if fact["what"] == "image"} <= images
    last = {fact["name"]: fact["md5"] for fact in said if fact["what"] == "object"}
    for name, md5 in last.items():
        if name == pending:
            continue
        found = None if name not in objects else hashlib.md5(blob_file(state, objects[name]).read_bytes()).hexdigest()
        assert found == md5, f"object {name}"


def blob_file(state: Path, blob: str) -> Path:
    """Return where a blob's bytes lie: published, or sealed and about to be."""
    hash, _, version = blob.partition("/")
    device = state / "object_store" / "d1"
    found = [*device.glob(f"objects/*/*/{hash}/{version}.data"), *device.glob(f"tmp/{hash}.{version}")]
    assert found, f"the bytes of {blob} are gone"
    return found[0]


def test_whenever_the_power_fails_what_was_acknowledged_is_there(worked, tmp_path) -> None:
    root, records = worked
    dice, looked = random.Random(7), 0
    answers = sum(record.kind == WRITE and record.path == str(root / SAID) for record in records)
    assert answers > 100
    for number, disk, said, saying in moments(records, root):
        if len(said) < 3 or not (saying or dice.random() < 40 / len(records)):
            continue
        upcoming = (json.loads(r.more) for r in records[number + 1 :] if r.path == str(root / SAID))
        pending = next((fact["name"] for fact in upcoming if "name" in fact), None)
        for how, state in crashes(disk, tmp_path / "crashed", range(looked, looked + 1)):
            try:
                look(state, said, pending)
            except (AssertionError, sqlite3.Error) as error:
                error.add_note(f"after record {number} of {len(records)}, keeping {how} of what was not synced")
                raise
            looked += 1
    assert looked > 400


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 1.0])
async def test_a_cloud_that_lost_power_goes_on_where_it_was(worked, tmp_path, part) -> None:
    root, records = worked
    answers = sum(record.kind == WRITE and record.path == str(root / SAID) for record in records)
    until = max(12, int(part * answers))
    disk, said = next((disk, said) for _, disk, said, saying in moments(records, root) if len(said) == until)
    disk.after_crash(tmp_path)
    services = find_services(["identity", "object_store", "image"])
    token = next(fact["token"] for fact in said if fact["what"] == "token")
    async with running(tmp_path / STATE, services, synced=True) as cloud, client(cloud, token) as http:
        await login(cloud, "admin")  # the passwords that were written down
        (project,) = (await http.get("/identity/v3/projects?name=admin")).json()["projects"]  # the token goes on
        box = f"/object-store/v1/AUTH_{project['id']}/box"
        for fact in said:
            match fact["what"]:
                case "credential":
                    answer = await http.get(f"/identity/v3/credentials/{fact['id']}")
                    assert answer.json()["credential"]["blob"] == fact["blob"]
                case "image":
                    answer = await http.get(f"/image/v2/images/{fact['id']}/file")
                    assert hashlib.md5(answer.content).hexdigest() == fact["md5"]
        for name, md5 in {fact["name"]: fact["md5"] for fact in said if fact["what"] == "object"}.items():
            answer = await http.get(f"{box}/{name}")
            assert answer.status_code == (200 if md5 else 404)
            assert md5 is None or hashlib.md5(answer.content).hexdigest() == md5
        assert list((tmp_path / STATE / "object_store/d1/tmp").iterdir()) == []


def test_volumes_and_snapshots_that_were_reported_are_whole(recorder, tmp_path) -> None:
    assert shutil.which("qemu-img"), "there is no qemu-img: apt-get install qemu-utils"
    records = recorded(recorder, tmp_path, "tests.sim.power.volumes")
    root, content, looked = tmp_path / "root", random.Random(3).randbytes(IMAGE_BYTES), 0
    for _, disk, said, saying in moments(records, root):
        for how, state in crashes(disk, tmp_path / "crashed", range(3)) if saying else ():
            for name in said[-1]["files"]:
                file, raw = state / f"{name}.qcow2", tmp_path / "raw"
                subprocess.run(["qemu-img", "check", "-q", file], check=True)
                subprocess.run(["qemu-img", "convert", "-O", "raw", file, raw], check=True)
                with raw.open("rb") as found:
                    assert found.read(IMAGE_BYTES) == content, f"{name}, keeping {how} of what was not synced"
                looked += 1
    assert looked == 10 * 5
