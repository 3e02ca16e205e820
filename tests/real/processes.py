"""A real cloud's own processes: started, and killed with ``kill -9`` as the kernel would when memory runs out."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pileus.cli import up
from pileus.cli.state import State
from pileus.cli.terminal import Steps
from tests.e2e.cloud import RealCloud, host_picture
from tests.real.api import Api


@contextmanager
def real_cloud(prefix: str = "pileus-kill-") -> Iterator[RealCloud]:
    """A running cloud of its own, purged at the end; what the purge leaves behind is a failure."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    folder.chmod(0o711)
    cloud = RealCloud(folder)
    try:
        cloud.up()
        yield cloud
        cloud_id = cloud.state.load().cloud_id
        cloud.pileus("down", "--purge")
        left = {kind: found for kind, found in host_picture(cloud_id).items() if found}
        assert not left, f"the purge left behind: {left}"
    finally:
        if cloud.state.exists():
            cloud.pileus("down", "--purge")
        shutil.rmtree(folder, ignore_errors=True)


def login(cloud: RealCloud, user: str = "demo") -> Api:
    """Return a client of one of the cloud's first users."""
    return Api(cloud.state.path, f"http://127.0.0.1:{cloud.port}", user)


def kill(state: State, role: str) -> None:
    """``kill -9`` a role's process and wait until the kernel has taken it away."""
    pid = state.pid(role)
    assert pid is not None, f"the {role} does not run"
    os.kill(pid, signal.SIGKILL)
    while state.pid(role) is not None:
        time.sleep(0.005)


def start_again(state: State) -> None:
    """Start what has been killed, as ``pileus up`` does."""
    up.start(state, state.load(), Steps())
