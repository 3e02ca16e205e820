"""A few cases of the kill matrix with real drivers: ``python -m tests.matrix --world linux`` walks them all.

Real guests, networks and volumes; the agent is a process, killed with ``kill -9``.  After each interruption the host
must hold exactly what the rows say, and everything must still be deletable.
"""

import os
import shutil
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from pileus.kernel.rest.local import Refused
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing.interruptions import walk
from tests.matrix.linux import audit, on_linux, restart_agent
from tests.sim.services.cloud import User, check, undisturbed
from tests.sim.services.stories import attach_and_detach_volume, create_server

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="real guests and networks need root"),
]
ONE_IN = 9
STORIES = {create_server: ["server.create"], attach_and_detach_volume: ["server.attach_volume", "server.detach_volume"]}


async def test_nothing_is_stuck_lost_or_left_over_on_a_real_host(host_state: Path) -> None:
    passed: Counter[str] = Counter()
    async with on_linux(host_state) as cloud:
        for tell, kinds in STORIES.items():

            async def act(runtime: Runtime, tell=tell) -> None:
                user = await User.of(runtime)
                with suppress(Refused):  # after a failure that was made up, the rest of a story may be refused
                    await tell(user)
                await user.idle()

            cases = await walk(
                lambda: undisturbed(cloud),
                act,
                partial(check, audit=audit),
                kinds,
                restart_agent,
                120,
                drivers_take_time=True,
                one_in=ONE_IN,
            )
            passed.update(case.how for case in cases)
    assert {"crash", "kill agent", "fail"} <= passed.keys(), passed
