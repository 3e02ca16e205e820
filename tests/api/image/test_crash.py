"""``kill -9`` in the middle of an upload leaves a queued image and, after the next start, no bytes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pileus.kernel.testing import running
from pileus.services.object_store.drivers.sparing import LOCK
from tests.api.image.conftest import SERVICES, speaking, upload

PROGRAM = """
import asyncio, sys
from pathlib import Path
from pileus.kernel.testing import running
from pileus.services.image.app import uploads
from pileus.services.object_store.app.blobs import Blobs
from tests.api.image.conftest import BINARY, SERVICES, create, speaking

moment = sys.argv[2]

async def stop_here():
    while not any(path.is_file() for path in (Path(sys.argv[1]) / "object_store").rglob("*")):
        await asyncio.sleep(0.01)
    print(image["id"], flush=True)
    await asyncio.sleep(60)

async def chunks():
    yield bytes(3_000_000)
    if moment == "arriving":
        await stop_here()

async def main():
    global image
    async with running(Path(sys.argv[1]), SERVICES) as cloud, speaking(cloud, "p1/u1/member") as http:
        image = await create(http)
        if moment == "sealed":
            write = cloud.db.write
            async def before_commit(work, *args, **kwargs):
                if "._finish." in work.__qualname__:
                    await stop_here()
                return await write(work, *args, **kwargs)
            cloud.db.write = before_commit
        if moment == "committed":
            from pileus.services.object_store.drivers.directory import DirectoryUpload
            async def before_publish(self):
                await stop_here()
            DirectoryUpload.publish = before_publish
        await http.put(f"images/{image['id']}/file", content=chunks(), headers=BINARY)

asyncio.run(main())
"""


def die(state: Path, moment: str) -> str:
    """Let a process die at a moment of an upload; return the image's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(state), moment],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    image_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert image_id
    return image_id


def files(state: Path) -> list[Path]:
    return [path for path in (state / "object_store").rglob("*") if path.is_file() and path.name != LOCK]


@pytest.mark.parametrize("moment", ["arriving", "sealed"])
async def test_before_the_commit(tmp_path: Path, moment: str) -> None:
    image_id = die(tmp_path, moment)
    assert len(files(tmp_path)) == 1
    async with running(tmp_path, SERVICES) as cloud, speaking(cloud, "p1/u1/member") as http:
        image = (await http.get(f"images/{image_id}")).json()
        assert (image["status"], image["size"]) == ("queued", None)
        assert files(tmp_path) == []
        assert (await upload(http, image_id)).status_code == 204


async def test_after_the_commit(tmp_path: Path) -> None:
    image_id = die(tmp_path, "committed")
    async with running(tmp_path, SERVICES) as cloud, speaking(cloud, "p1/u1/member") as http:
        assert (await http.get(f"images/{image_id}")).json()["status"] == "active"
        [path] = files(tmp_path)
        assert path.suffix == ".data"
        assert len((await http.get(f"images/{image_id}/file")).content) == 3_000_000
