"""A cloud at work, recorded: says in ``ROOT/said`` what has been acknowledged, one JSON object a line.

Run as ``python -m tests.sim.power.workload ROOT`` under the recorder.
"""

import asyncio
import hashlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

SAID = "said"
STATE = "cloud"
CHANGES = 60


class Said:
    """What users were told; written in one call, which the recorder keeps in its place among all others."""

    def __init__(self, root: Path) -> None:
        self._file = os.open(root / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, what: str, **facts: Any) -> None:
        os.write(self._file, json.dumps({"what": what, **facts}).encode() + b"\n")


async def work(root: Path) -> None:
    """Make, change and remove things of every kind that keeps bytes or rows."""
    said, dice = Said(root), random.Random(1)
    services = find_services(["identity", "object_store", "image"])
    async with (
        running(root / STATE, services, synced=True) as cloud,
        client(cloud, await login(cloud, "admin")) as http,
    ):
        token = http.headers["X-Auth-Token"]
        said.say("token", token=token)
        (project,) = (await http.get("/identity/v3/projects?name=admin")).json()["projects"]
        box = f"/object-store/v1/AUTH_{project['id']}/box"
        assert (await http.put(box)).status_code == 201
        user = (await http.get("/identity/v3/users?name=admin")).json()["users"][0]["id"]
        body = {"credential": {"type": "cert", "blob": "secret", "user_id": user, "project_id": project["id"]}}
        credential = (await http.post("/identity/v3/credentials", json=body)).json()["credential"]
        said.say("credential", id=credential["id"], blob="secret")
        for number in range(CHANGES):
            answer = await http.post("/identity/v3/projects", json={"project": {"name": f"p{number}"}})
            assert answer.status_code == 201
            said.say("project", id=answer.json()["project"]["id"])
            data = dice.randbytes(dice.choice((10, 5_000, 200_000, 3 << 20) if number % 6 == 0 else (10, 5_000)))
            name = f"o{number % 20}"
            assert (await http.put(f"{box}/{name}", content=data)).status_code == 201
            said.say("object", name=name, md5=hashlib.md5(data).hexdigest())
            if number % 7 == 6:
                assert (await http.delete(f"{box}/{name}")).status_code == 204
                said.say("object", name=name, md5=None)
            if number % 10 == 0:
                answer = await http.post(
                    "/image/v2/images", json={"name": "i", "disk_format": "raw", "container_format": "bare"}
                )
                id, data = answer.json()["id"], dice.randbytes(30_000)
                headers = {"Content-Type": "application/octet-stream"}
                answer = await http.put(f"/image/v2/images/{id}/file", content=data, headers=headers)
                assert answer.status_code == 204, answer.text
                said.say("image", id=id, md5=hashlib.md5(data).hexdigest())


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
