"""The process with every API, the workers and, in a fake cloud, the hosts."""

import gc
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from pileus.cli.state import State
from pileus.cli.terminal import Problem
from pileus.kernel import telemetry
from pileus.kernel.config import ConfigError, Configuration
from pileus.kernel.errors import ApiError
from pileus.kernel.policy import PolicyError
from pileus.kernel.rest.connections import bounded, watch_connections
from pileus.kernel.rest.limits import LimitSettings
from pileus.kernel.runtime import Runtime
from pileus.kernel.watchdog import LoopWatch

if TYPE_CHECKING:
    from pileus.fake.cloud import FakeCloud


def run(state: State) -> None:
    """Serve until told to stop."""
    cloud = state.load()
    chosen = {"host": cloud.host, "port": cloud.port, "fake": cloud.fake, "cloud_id": cloud.cloud_id}
    try:
        config = Configuration.load(state.path, **chosen, fake_hosts=cloud.fake_hosts)
        telemetry.configure(config.cloud.log_level)
        sockets = [listen(cloud.host, cloud.port), listen_locally(state.path / "run" / "api.sock")]
        uvloop.run(serve(made(config), sockets))
    except (ConfigError, PolicyError, ApiError) as error:
        raise Problem(str(error)) from error


def made(config: Configuration) -> "Runtime | FakeCloud":
    """Return what is served: a control plane, with all that tests may do to it where the cloud is fake."""
    if not config.cloud.fake:
        return Runtime(config)
    from pileus.fake.cloud import FakeCloud

    return FakeCloud(config)


async def serve(runtime: "Runtime | FakeCloud", sockets: list[socket.socket]) -> None:
    """Start the runtime, answer requests, stop in order."""
    await runtime.start()
    watch = LoopWatch()
    watch.start()
    calm_collector()
    limits = runtime.config.get(LimitSettings)
    allow_files(limits.connections)
    server = uvicorn.Server(
        uvicorn.Config(
            runtime.app,
            http=bounded(limits),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            backlog=1024,
            ws_ping_interval=30,
        )
    )
    runtime.spawn(watch_connections(server, limits), "connection watch")
    try:
        await server.serve(sockets=sockets)
    finally:
        watch.stop()
        await runtime.stop()


def allow_files(connections: int) -> None:
    """Let the process hold as many connections open as it may be asked to, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 1024
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard >= 0 else wanted, hard))


def calm_collector() -> None:
    """Leave out of garbage collection what has been imported, and look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # a list of a thousand rows is not garbage: look less often while it is made


def listen(host: str, port: int) -> socket.socket:
    """Open the public port; a taken one is named."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise Problem(
            f"Cannot listen on {host} port {port}: {error.strerror}.", "Choose another with --port."
        ) from error
    return listener


def listen_locally(path: Path) -> socket.socket:
    """Open the socket through which this machine's agent reaches the APIs."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener
