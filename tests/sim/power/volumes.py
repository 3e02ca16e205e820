"""The volume driver at work on real files, recorded: says in ``ROOT/said`` what it has reported as done.

Run as ``python -m tests.sim.power.volumes ROOT`` under the recorder.
"""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from pileus.services.block_storage.drivers.base import FromSnapshot, ImageFile
from pileus.services.block_storage.drivers.qcow2 import Qcow2Driver
from tests.sim.power.workload import STATE, Said

IMAGE_BYTES = 3 << 20


async def work(root: Path) -> None:
    """Make a volume of an image, grow it, keep a snapshot, make a second volume of that, remove the first."""
    with tempfile.TemporaryDirectory() as aside:
        image = Path(aside) / "image.raw"
        image.write_bytes(random.Random(3).randbytes(IMAGE_BYTES))
        driver, said = Qcow2Driver(root / STATE, Path(aside) / "run"), Said(root)
        await driver.start()
        await driver.ensure_volume("one", 1, ImageFile(str(image), "raw"))
        said.say("there", files=["volumes/one"])
        await driver.ensure_snapshot("snap", "one")
        said.say("there", files=["volumes/one", "snapshots/snap"])
        await driver.extend("one", 2)
        said.say("there", files=["volumes/one", "snapshots/snap"])
        await driver.ensure_volume("two", 1, FromSnapshot("snap"))
        said.say("there", files=["volumes/one", "snapshots/snap", "volumes/two"])
        await driver.ensure_volume_gone("one")
        said.say("there", files=["snapshots/snap", "volumes/two"])


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
