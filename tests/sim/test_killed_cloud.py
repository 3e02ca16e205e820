"""A real fake cloud, killed with ``kill -9`` in the middle of boots and deletes, again and again.

What was accepted is carried out: every server is there and runs, or is gone; ports, allocations, guests agree.
"""

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.cli.state import State

ROUNDS = 3
MOST_A_ROUND = 16
"""Servers; the demo network has addresses for some sixty."""


class Cloud:
    """A cloud of its own process and its own state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def up(self) -> None:
        self.command("up", "--fake", "--port", str(self.port))

    def command(self, verb: str, *words: str) -> None:
        command = [sys.executable, "-m", "pileus.cli.main", verb, "--state", str(self.state), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self) -> None:
        pid = State(self.state).pid("server")
        assert pid is not None, "the server does not run"
        os.kill(pid, signal.SIGKILL)

    def login(self) -> None:
        admin = json.loads((self.state / "credentials.json").read_text())["admin"]
        user = {"name": admin["user"], "password": admin["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = self.http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        self.http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        self.http.headers["OpenStack-API-Version"] = "compute 2.96"
        project = answer.json()["token"]["project"]["id"]
        quotas = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
        assert self.http.put(f"/compute/v2.1/os-quota-sets/{project}", json=quotas).status_code == 200

    def get(self, path: str, key: str) -> list[dict[str, Any]]:
        return self.http.get(path).json()[key]

    def count(self, query: str) -> int:
        with sqlite3.connect(self.state / "pileus.db") as connection:
            return connection.execute(query).fetchone()[0]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path / "cloud")
    cloud.up()
    yield cloud
    cloud.command("down", "--purge")


@pytest.mark.timeout(300)
def test_what_was_accepted_is_carried_out(cloud):
    cloud.login()
    chance = random.Random(7)
    body = {
        "name": "s",
        "imageRef": cloud.get("/image/v2/images", "images")[0]["id"],
        "flavorRef": cloud.get("/compute/v2.1/flavors", "flavors")[0]["id"],
        "networks": [
            {"uuid": network["id"]}
            for network in cloud.get("/networking/v2.0/networks", "networks")
            if not network["router:external"]
        ][:1],
    }
    accepted: list[str] = []
    deleted: set[str] = set()
    for number in range(1, ROUNDS + 1):
        until = time.monotonic() + chance.uniform(0.3, 1.0)
        while time.monotonic() < until and len(accepted) < MOST_A_ROUND * number:
            answer = cloud.http.post("/compute/v2.1/servers", json={"server": body})
            assert answer.status_code == 202, answer.text
            accepted.append(answer.json()["server"]["id"])
            if chance.random() < 0.3:
                victim = chance.choice(accepted)
                if cloud.http.delete(f"/compute/v2.1/servers/{victim}").status_code == 204:
                    deleted.add(victim)
        cloud.kill()
        cloud.up()

    wanted = dict.fromkeys(set(accepted) - deleted, ("ACTIVE", None))
    found: dict[str, tuple[str, str | None]] = {}
    servers: list[dict[str, Any]] = []
    for _ in range(300):
        servers = cloud.get("/compute/v2.1/servers/detail?limit=1000", "servers")
        found = {one["id"]: (one["status"], one["OS-EXT-STS:task_state"]) for one in servers}
        if found == wanted:
            break
        time.sleep(0.1)
    broken = [one["fault"]["message"] for one in servers if one["status"] == "ERROR"]
    assert broken == []
    assert found == wanted
    assert cloud.count("select count(*) from operations where live_resource is not null") == 0
    assert cloud.count("select count(*) from network_ports where device_owner like 'compute:%'") == len(wanted)
    assert cloud.count("select count(distinct consumer_uuid) from placement_allocations") == len(wanted)
    (guests,) = (cloud.state / "compute" / "hosts").glob("*/guests-*.json")
    assert json.loads(guests.read_text()).keys() == wanted.keys()
