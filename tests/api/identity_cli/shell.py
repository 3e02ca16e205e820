"""The unmodified ``openstack`` client inside the tests' process, and a cloud (of identity) that it reaches by HTTP.

Rule: the client sees nothing but a URL and its options; it is in process only because starting it takes a second.
"""

import asyncio
import contextlib
import io
import json
import logging
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from cliff.display import DisplayCommandBase
from openstackclient.shell import OpenStackShell
from osc_lib.clientmanager import ClientCache, ClientManager

from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service
from pileus.kernel.testing import running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import password_of

PATIENCE_S = 30


class Served:
    """A cloud, of identity unless told otherwise, on a port of its own, in a thread of its own."""

    def __init__(self, state: Path, services: Sequence[Service] = (SERVICE,)) -> None:
        self.state, self.services = state, services
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/identity/v3"
        self.runtime: Runtime
        self._server: uvicorn.Server
        self._ready = threading.Event()
        self.changes: dict[str, str] = {}
        """Every request that changed something, by its id."""

    def read(self, work: Callable[[Tx], Any]) -> Any:
        """Return what a function finds in the cloud's database."""
        return asyncio.run_coroutine_threadsafe(self.runtime.db.read(work), self._loop).result(PATIENCE_S)

    @contextlib.contextmanager
    def running(self) -> Iterator["Served"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="cloud")
        thread.start()
        try:
            assert self._ready.wait(PATIENCE_S), "the cloud did not start"
            yield self
        finally:
            self._server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with running(self.state, self.services) as self.runtime:
            config = uvicorn.Config(self._noting, interface="asgi3", log_config=None, lifespan="off", access_log=False)
            self._server = uvicorn.Server(config)
            self._ready.set()
            await self._server.serve(sockets=[self.socket])

    async def _noting(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, and remember it when it was a change that was made."""

        async def pass_on(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                headers = dict(message["headers"])
                if scope["method"] not in ("GET", "HEAD"):
                    self.changes[headers[b"x-openstack-request-id"].decode()] = f"{scope['method']} {scope['path']}"
            await send(message)

        await self.runtime.app(scope, receive, pass_on)


class Client:
    """One user's ``openstack``: call it with the words of a command."""

    def __init__(self, cloud: Served, shell: OpenStackShell, **options: str) -> None:
        self._shell = shell
        self.options = {"auth-url": cloud.url, "identity-api-version": "3", "region-name": "RegionOne", **options}

    def __call__(self, command: str, *, fails: bool = False) -> Any:
        """Run a command; return its JSON answer, or its text where it shows none, or with ``fails`` its complaint."""
        words = shlex.split(command)
        found, _, _ = self._shell.command_manager.find_command(words)
        shows = issubclass(found, DisplayCommandBase)
        given = [f"--os-{name}={value}" for name, value in self.options.items()]  # a password may begin with a dash
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _logging_kept():
            self._shell.stdout, self._shell.stderr = out, err
            for kept in vars(ClientManager).values():  # or one user's requests go out with another's token
                if isinstance(kept, ClientCache):
                    kept._handle = None
            try:
                code = self._shell.run([*given, *words, *(["-f", "json"] if shows else [])])
            except SystemExit as exit:
                code = exit.code
        if isinstance(code, tuple):  # `federation protocol set` returns its rows where an exit code belongs
            code = 0
        if fails:
            assert code != 0, f"openstack {command} should have failed: {out.getvalue()}"
            return err.getvalue()
        assert code == 0, f"openstack {command}: {err.getvalue()}{out.getvalue()}"
        return json.loads(out.getvalue()) if shows else out.getvalue()

    def as_user(self, **options: str) -> "Client":
        """Return the client of another user or for another scope; an empty text takes an option away."""
        changed = {**self.options, **{name.replace("_", "-"): value for name, value in options.items()}}
        other = object.__new__(Client)
        other._shell = self._shell
        other.options = {name: value for name, value in changed.items() if value}
        return other


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Undo what the client does to the program's logging, and spare the tests its chatter."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.disable(disabled)


def people(cloud: Served, shell: OpenStackShell, name: str) -> Client:
    """Return the client of one of the users every cloud starts with, in its own project."""
    return Client(
        cloud,
        shell,
        **{
            "username": name,
            "password": password_of(cloud.runtime, name),
            "project-name": name,
            "user-domain-id": "default",
            "project-domain-id": "default",
        },
    )


def ready_shell() -> OpenStackShell:
    """Return a client that knows its commands."""
    shell = OpenStackShell()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        shell.run(["--os-identity-api-version", "3", "complete"])
    return shell
