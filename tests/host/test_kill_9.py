"""``kill -9`` of the agent and of the server in the middle of boots, attachments, detachments and deletions.

Real QEMU, real interfaces and filters, real volumes.  After each restart everything that was accepted is done, and
host and rows agree in every process, tap, chain, DHCP entry, namespace, file and open file descriptor.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.cloud import RealCloud, wait
from tests.real.api import ACCEPTED, COMPUTE, IMAGE, LOST, NETWORK, VOLUME
from tests.real.audit import Rows, settled
from tests.real.processes import kill, login, real_cloud, start_again

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="real guests and networks need root"),
]
MOMENTS = [number / 10 for number in (range(11) if os.environ.get("PILEUS_KILL_ALL") else (1, 5))]
"""When to strike, as fractions of the time that the undisturbed verb takes; ``PILEUS_KILL_ALL=1`` for all of them."""
LATEST_S = 60
"""How long after the restart the world may take to come to rest."""


class World:
    """A cloud with one guest that has booted, and verbs to do to it."""

    def __init__(self, cloud: RealCloud) -> None:
        self.cloud, self.api = cloud, login(cloud)
        self.image = self.api.get(f"{IMAGE}/images")["images"][0]["id"]
        flavors = self.api.get(f"{COMPUTE}/flavors")["flavors"]
        self.flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "pileus.mini")
        networks = self.api.get(f"{NETWORK}/networks?router:external=false")["networks"]
        self.network = next(network["id"] for network in networks if network["name"] == "private")
        self.volume = self.api.post(f"{VOLUME}/volumes", {"volume": {"size": 1}})["volume"]["id"]
        self.guest = self.api.post(f"{COMPUTE}/servers", self.wanted())["server"]["id"]
        console = f"{COMPUTE}/servers/{self.guest}/action"
        wait("the guest's login prompt", lambda: "login:" in str(self.api.call("POST", console, CONSOLE)[1]), 120)
        settled(cloud.state.path)

    def wanted(self, **more: Any) -> dict[str, Any]:
        server = {"name": "k", "flavorRef": self.flavor, "imageRef": self.image, "networks": [{"uuid": self.network}]}
        return {"server": server | more}

    def attach(self) -> tuple[int, Any]:
        body = {"volumeAttachment": {"volumeId": self.volume}}
        return self.api.call("POST", f"{COMPUTE}/servers/{self.guest}/os-volume_attachments", body)

    def detach(self) -> tuple[int, Any]:
        return self.api.call("DELETE", f"{COMPUTE}/servers/{self.guest}/os-volume_attachments/{self.volume}")

    def create(self) -> tuple[int, Any]:
        volume = {"uuid": self.volume, "source_type": "volume", "destination_type": "volume", "boot_index": -1}
        root = {"uuid": self.image, "source_type": "image", "destination_type": "local", "boot_index": 0}
        return self.api.call(
            "POST", f"{COMPUTE}/servers", self.wanted(name="k2", block_device_mapping_v2=[root, volume])
        )

    def delete(self) -> tuple[int, Any]:
        (server,) = [id for id in self.rows().servers if id != self.guest]
        return self.api.call("DELETE", f"{COMPUTE}/servers/{server}")

    def rows(self) -> Rows:
        return Rows.read(self.cloud.state.path)

    def at_rest(self) -> str:
        """Wait until host and rows agree; return the status of the volume."""
        settled(self.cloud.state.path, LATEST_S)
        (volume,) = self.rows().volumes.values()
        return volume["status"]

    def interrupt(self, verb: Callable[[], tuple[int, Any]], role: str, delay_s: float) -> tuple[int, Any]:
        """Do a verb, kill a process ``delay_s`` later, start it again, and return the verb's answer."""
        answers: list[tuple[int, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(verb()))
        asking.start()
        time.sleep(delay_s)
        kill(self.cloud.state, role)
        start_again(self.cloud.state)
        asking.join()
        return answers[0]


CONSOLE = {"os-getConsoleOutput": {"length": 50}}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with real_cloud() as cloud:
        world = World(cloud)
        yield world
        for server in world.rows().servers:
            world.api.delete(f"{COMPUTE}/servers/{server}")
        settled(cloud.state.path)
        world.api.delete(f"{VOLUME}/volumes/{world.volume}")
        settled(cloud.state.path)
        assert not world.rows().volumes
        world.api.close()


@pytest.mark.parametrize("role", ["agent", "server"])
@pytest.mark.parametrize(("there", "back"), [("attach", "detach"), ("create", "delete")])
def test_what_was_accepted_is_done_and_nothing_is_left_over(world: World, there: str, back: str, role: str) -> None:
    took = {verb: undisturbed(world, verb) for verb in (there, back)}
    for moment in MOMENTS:
        for verb, reached, otherwise in ((there, "in-use", "available"), (back, "available", "in-use")):
            status, answer = world.interrupt(getattr(world, verb), role, moment * took[verb])
            assert status == LOST or status in ACCEPTED, f"{verb} was refused: {status} {answer}"
            found = world.at_rest()
            assert found == reached or (status == LOST and found == otherwise), f"{verb} at {moment}: {found}"
            if found != reached:  # it was never accepted: nothing of it may be there, and it can be done again
                assert getattr(world, verb)()[0] in ACCEPTED
                assert world.at_rest() == reached


def undisturbed(world: World, verb: str) -> float:
    """Do a verb and return how long it took until all was at rest, in seconds."""
    began = time.monotonic()
    assert getattr(world, verb)()[0] in ACCEPTED
    world.at_rest()
    return time.monotonic() - began
