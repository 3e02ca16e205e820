"""The process with every API, the workers and, in a fake cloud, the hosts."""

import asyncio
import gc
import resource
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn
import uvloop

from pileus.cli import notify
from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem
from pileus.cli.tls import Tls
from pileus.kernel import telemetry
from pileus.kernel.config import ConfigError, Configuration
from pileus.kernel.errors import ApiError
from pileus.kernel.policy import PolicyError
from pileus.kernel.rest.connections import BoundedProtocol, bounded, watch_connections
from pileus.kernel.rest.limits import LimitSettings
from pileus.kernel.runtime import Runtime
from pileus.kernel.watchdog import LoopWatch

if TYPE_CHECKING:
    from pileus.fake.cloud import FakeCloud


def run(state: State) -> None:
    """Serve until told to stop."""
    cloud = state.load()
    try:
        config = configuration(state)
        telemetry.configure(config.cloud.log_level)
        tls = Tls(config) if cloud.tls else None
        context = tls.context() if tls is not None else None
        public = listen(cloud.host, cloud.port)
        local = listen_locally(state.path / "run" / "api.sock")
        uvloop.run(serve(made(config), local, public, tls, context))
    except (ConfigError, PolicyError, ApiError) as error:
        raise Problem(str(error)) from error


def made(config: Configuration) -> "Runtime | FakeCloud":
    """Return what is served: a control plane, with all that tests may do to it where the cloud is fake."""
    if not config.cloud.fake:
        return Runtime(config)
    from pileus.fake.cloud import FakeCloud

    return FakeCloud(config)


class Server(uvicorn.Server):
    """uvicorn's, on a socket with TLS beside one without."""

    def __init__(self, config: uvicorn.Config, public: socket.socket, context: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._public, self._context = public, context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        limits = cast(type[BoundedProtocol], self.config.http_protocol_class).limits
        patience = {} if self._context is None else {"ssl_handshake_timeout": limits.head_s, "ssl_shutdown_timeout": 5}
        self.servers.append(
            await asyncio.get_running_loop().create_server(
                self._protocol, sock=self._public, ssl=self._context, backlog=self.config.backlog, **patience
            )
        )
        notify.ready()

    def _protocol(self) -> asyncio.Protocol:
        protocol = cast(type[BoundedProtocol], self.config.http_protocol_class)
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


async def serve(
    runtime: "Runtime | FakeCloud",
    local: socket.socket,
    public: socket.socket,
    tls: Tls | None = None,
    context: ssl.SSLContext | None = None,
) -> None:
    """Start the runtime, answer requests, stop in order; ``context`` is for the public socket."""
    await runtime.start()
    watch = LoopWatch()
    watch.start()
    calm_collector()
    limits = runtime.config.get(LimitSettings)
    allow_files(limits.connections)
    server = Server(
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
        ),
        public,
        context,
    )
    if tls is not None and context is not None:
        runtime.spawn(tls.watch(context), "certificate watch")
    runtime.spawn(watch_connections(server, limits), "connection watch")
    try:
        await server.serve(sockets=[local])
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
