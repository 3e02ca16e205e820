"""Drift made by hand on a real cloud: what is of nobody is put aside or left alone, what is lost is told or mended."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.cloud import RealCloud, wait
from tests.real.api import COMPUTE, IMAGE, NETWORK, VOLUME, Api
from tests.real.audit import Rows, processes_of, settled
from tests.real.processes import kill, login, real_cloud, start_again
from tests.soak.watch import read

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="real guests and networks need root"),
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[RealCloud]:
    with real_cloud("pileus-drift-") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def api(cloud: RealCloud) -> Iterator[Api]:
    api = login(cloud)
    yield api
    api.close()


@pytest.fixture(scope="module")
def server(cloud: RealCloud, api: Api) -> str:
    image = api.get(f"{IMAGE}/images?name=pileus-mini")["images"][0]["id"]
    flavors = api.get(f"{COMPUTE}/flavors")["flavors"]
    flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "pileus.mini")
    network = api.get(f"{NETWORK}/networks?name=private")["networks"][0]["id"]
    body = {"name": "d", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}
    made = api.post(f"{COMPUTE}/servers", {"server": body})["server"]["id"]
    settled(cloud.state.path)
    return made


def test_a_dhcp_server_that_was_killed_is_back_at_once(cloud: RealCloud, server: str) -> None:
    ((pid, _),) = [found for found in processes_of(cloud.state.path) if found[1][0] == "dnsmasq"]
    os.kill(pid, signal.SIGKILL)

    def another() -> bool:
        return [words[0] for other, words in processes_of(cloud.state.path) if other != pid].count("dnsmasq") == 1

    wait("another DHCP server", another, 20)
    settled(cloud.state.path)


def test_a_guest_and_a_file_of_nobody_are_kept_and_told_and_a_lost_file_is_told(
    cloud: RealCloud, api: Api, server: str
) -> None:
    state = cloud.state.path
    volume = api.post(f"{VOLUME}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    settled(state)
    files = state / "block_storage" / "volumes"
    stray_volume, stray_guest = str(uuid4()), str(uuid4())
    shutil.copy(files / f"{volume}.qcow2", files / f"{stray_volume}.qcow2")
    (files / f"{volume}.qcow2").unlink()
    guests = state / "compute" / "guests"
    record = json.loads((guests / server / "guest.json").read_text())
    record["spec"] |= {"id": stray_guest, "nics": [], "disks": []}
    (guests / stray_guest).mkdir(mode=0o700)
    (guests / stray_guest / "guest.json").write_text(json.dumps(record | {"wanted": "off", "made": {}}))

    kill(cloud.state, "agent")
    start_again(cloud.state)
    told = wait("a stray guest", lambda: read(state, "select guest_id from compute_strays"), 60)
    assert told == [(stray_guest,)]
    assert (guests / stray_guest / "guest.json").exists(), "a guest that nobody knows may be somebody's"
    aside = state / "block_storage" / "quarantine"
    wait("quarantine", lambda: [path.name for path in aside.iterdir() if stray_volume in path.name], 60)
    assert not (files / f"{stray_volume}.qcow2").exists()
    wait("the loss", lambda: api.get(f"{VOLUME}/volumes/{volume}")["volume"]["status"] == "error", 60)
    (message,) = api.get(f"{VOLUME}/messages")["messages"]
    assert message["resource_uuid"] == volume
    assert api.get(f"{COMPUTE}/servers/{server}")["server"]["status"] == "ACTIVE"

    for path in (*aside.iterdir(), guests / stray_guest):  # what an operator does after having looked
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kill(cloud.state, "agent")
    start_again(cloud.state)
    api.delete(f"{VOLUME}/volumes/{volume}")
    api.delete(f"{COMPUTE}/servers/{server}")
    wait("the volume deleted", lambda: volume not in Rows.read(state).volumes, 60)
    settled(state)
    wait("no stray", lambda: not read(state, "select guest_id from compute_strays"), 60)
