"""An agent that makes and removes guests, networks and volumes all day is no larger in the evening.

The real drivers in the test's own process, so that their objects can be counted; what has a bound is bounded low.
"""

import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.kernel.bus.memory import MemoryBus
from pileus.kernel.config import Configuration
from pileus.kernel.requests import Recent
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import AgentSettings, agent_parts
from tests.sim.services.cloud import COMPUTE, NETWORK, User, new_name
from tests.sim.services.day import use_volumes
from tests.sim.services.test_growth import forgetful, growing, held

__all__ = ["forgetful"]

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="real guests and networks need root"),
]
TIMES, LIVES = 5, 2


@pytest.fixture
async def cloud(host_state: Path) -> AsyncIterator[Runtime]:
    """A control plane and this host in one process, on real drivers."""
    config = Configuration(host_state, {"identity": {"password_hash_rounds": 4}}, cloud_id=secrets.token_hex(2))
    runtime = Runtime(config, bus=MemoryBus())
    await runtime.start()
    assert runtime.local_hosts is not None
    (name,) = runtime.local_hosts.hosts
    yield runtime
    await runtime.stop()
    for part in reversed(agent_parts(runtime.services, AgentSettings(config, name))):
        await part.clear(purge=True)


async def live(user: User) -> None:
    """Do a little of everything that hosts have a part in."""
    network = (await user.api.post(f"{NETWORK}/networks", {"network": {"name": new_name()}}))["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}
    await user.api.post(f"{NETWORK}/subnets", {"subnet": subnet})
    server, volume = await user.attached()
    body = {"interfaceAttachment": {"net_id": network}}
    made = await user.api.post(f"{COMPUTE}/servers/{server}/os-interface", body)
    await user.idle()
    for action in ("pause", "unpause", "suspend", "resume"):
        await user.act_on(server, action)
    await user.act_on(server, "reboot", {"type": "HARD"})
    await user.act_on(server, "createImage", {"name": new_name()})
    await user.api.delete(f"{COMPUTE}/servers/{server}/os-interface/{made['interfaceAttachment']['port_id']}")
    await user.idle()
    await user.api.delete(f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")
    await user.idle()
    await use_volumes(user)
    await user.wipe()
    await user.api.delete(f"{NETWORK}/networks/{network}")
    await user.idle()


async def test_memory_of_a_host_stays_as_it_is(cloud: Runtime, forgetful: None) -> None:
    cloud.app.recent, user = Recent(20), await User.of(cloud)
    for _ in range(3):
        await live(user)
    counts = [await held()]
    for _ in range(TIMES):
        for _ in range(LIVES):
            await live(user)
        counts.append(await held())
    assert not (grown := growing(counts, LIVES)), f"counted every {LIVES} rounds: {grown}"
