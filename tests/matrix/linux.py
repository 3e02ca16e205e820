"""Where the matrix is run on the real thing: QEMU guests, Linux networks, qcow2 volumes, an agent to be killed.

The control plane is in this process, where its worker dies between any two steps; the agent is the program that
operators run, killed with ``kill -9``.  Rule: after each case the host is judged by ``tests.real.audit``.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pileus.cli.state import Cloud, State
from pileus.kernel import clock
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import running
from tests.e2e.cloud import host_picture
from tests.real.audit import differences

PATIENCE_S = 45.0
"""How long host and rows may take to agree: longer than any reconciler's pause that matters to a guest."""


@asynccontextmanager
async def on_linux(folder: Path) -> AsyncIterator[Runtime]:
    """A control plane on a file, this machine its only host; nothing of it is left at the end."""
    if os.geteuid() != 0:
        raise PermissionError("Real guests and networks need root.")
    await asyncio.to_thread(folder.chmod, 0o711)  # guests run as a user of their own
    state, cloud = State(folder / "state"), Cloud(cloud_id=secrets.token_hex(2))
    state.save(cloud)
    try:
        async with running(state.path, fake=False, cloud_id=cloud.cloud_id) as runtime:
            state.start("agent")
            await audit(runtime)
            try:
                yield runtime
            finally:
                await asyncio.to_thread(state.stop, "agent")
    finally:
        words = [sys.executable, "-m", "pileus.cli.main", "down", "--purge", "--state", str(state.path)]
        await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
        shutil.rmtree(state.path, ignore_errors=True)
    left = {kind: found for kind, found in host_picture(cloud.cloud_id).items() if found}
    assert not left, f"the purge left behind: {left}"


async def restart_agent(cloud: Runtime, name: str) -> None:
    """``kill -9`` the agent and start it again; guests and DHCP servers outlive it."""
    state = State(cloud.config.state)
    pid = state.pid("agent")
    assert pid is not None, "the agent has died of itself"
    os.kill(pid, signal.SIGKILL)
    while state.pid("agent") is not None:
        await clock.sleep(0.005)
    state.start("agent")


async def audit(cloud: Runtime) -> None:
    """Compare host and rows; every difference that reconcilers do not settle in time is a line of the failure."""
    deadline = clock.monotonic() + PATIENCE_S
    while wrong := await asyncio.to_thread(differences, cloud.config.state):
        assert clock.monotonic() < deadline, "\n" + "\n".join(wrong)
        await clock.sleep(0.1)
