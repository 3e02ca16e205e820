"""Consoles: the log, the right to a screen, the page that shows it, and the websocket behind the page."""

import asyncio
import contextlib
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from pileus.kernel.rest import Body, Query, Response, Socket
from pileus.kernel.runtime import Runtime
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import PATH, api, documents
from pileus.services.compute.api.server_bodies import ConsoleOutput, ConsoleType
from pileus.services.compute.app.consoles import check_token, make_token
from pileus.services.compute.commands import FindConsole, ReadConsoleLog
from pileus.services.compute.model import Server
from pileus.services.compute.settings import ComputeSettings

ACTION = "/servers/{server}/action"
PAGE = "vnc_lite.html"
CHUNK = 1 << 16
NO_LOG_STATES = ("building", "deleted")


class RemoteConsole(Body, kw_only=True):
    protocol: str
    type: str


class TokenQuery(Query, kw_only=True):
    token: str = ""
    path: str = ""


@api.action(ACTION, "os-getConsoleOutput", rules.CONSOLE_OUTPUT)
async def get_log(server: Server, body: ConsoleOutput | None, runtime: Runtime) -> dict[str, str]:
    length = body.length if body is not None else None
    if length is not None and not str(length).removeprefix("-").isdigit():
        raise Invalid(f"Invalid input for length: '{length}' is not a whole number.")
    if server.host is None or server.vm_state in NO_LOG_STATES:
        raise Conflict(f"Instance {server.id} is not ready: it has no console yet.")
    lines = None if length is None or int(length) < 0 else int(length)
    output = await runtime.bus.call(server.host, ReadConsoleLog(guest_id=server.id, lines=lines), timeout_s=20)
    return {"output": output if lines is None else _tail(output, lines)}


def _tail(output: str, lines: int) -> str:
    """Count lines as upstream does: what follows the last line break is a line too."""
    return "\n".join(output.split("\n")[-lines:]) if lines else ""


@api.action(ACTION, "os-getVNCConsole", rules.REMOTE_CONSOLE, wrap="console", until="2.5")
def get_vnc(tx: Tx, ctx: Context, server: Server, body: ConsoleType) -> dict[str, str]:
    return {"type": body.type, "url": _page_url(ctx, make_token(tx, server, "vnc", body.type))}


@api.post("/servers/{server}/remote-consoles", rules.REMOTE_CONSOLE, wrap="remote_console", status=200, since="2.6")
def create_console(tx: Tx, ctx: Context, server: Server, body: RemoteConsole) -> dict[str, str]:
    url = _page_url(ctx, make_token(tx, server, body.protocol, body.type))
    return {"protocol": body.protocol, "type": body.type, "url": url}


@api.get("/os-console-auth-tokens/{token}", rules.CONSOLE_TOKEN, wrap="console", since="2.31")
def show_token(tx: Tx, ctx: Context, token: str) -> dict[str, Any]:
    found = check_token(tx, token)
    view = {"instance_uuid": found.server_id, "host": found.host, "port": 0, "internal_access_path": None}
    return {**view, "tls_port": None} if ctx.version >= (2, 99) else view


def _page_url(ctx: Context, token: str) -> str:
    """Return the address of the page; clients without a browser open the websocket that ``path`` names."""
    return f"{ctx.base_url}{PATH}/console?path={_socket_path(token)}&token={token}"


def _socket_path(token: str) -> str:
    return quote(f"{PATH[1:]}/console/socket?token={token}", safe="")


@documents.get("/console", None)
def open_page(tx: Tx, query: TokenQuery, settings: ComputeSettings) -> Response:
    check_token(tx, query.token)
    _file(settings, PAGE)
    location = f"{PATH}/console/novnc/{PAGE}?path={_socket_path(query.token)}&scale=true"
    return Response(302, headers=[("Location", location)], media_type=None)


@documents.get("/console/novnc/{rest:path}", None)
async def page_file(rest: str, settings: ComputeSettings) -> Response:
    path = _file(settings, rest)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(200, await asyncio.to_thread(path.read_bytes), media_type=kind)


def _file(settings: ComputeSettings, name: str) -> Path:
    """Return a file of noVNC; raise Unavailable when it is not installed, NotFound for anything beside it."""
    root = Path(settings.novnc).resolve()
    if not (root / PAGE).exists():
        raise Unavailable(
            f"noVNC is not installed in {root}: install the Debian package novnc, or set [compute] novnc to its folder."
        )
    path = root if "\0" in name else (root / name).resolve()  # the system refuses a NUL before it looks
    if not path.is_relative_to(root) or not path.is_file():
        raise NotFound(f"There is no file {name} in noVNC.")
    return path


@documents.websocket("/console/socket", None)
async def screen(socket: Socket, query: TokenQuery, runtime: Runtime) -> None:
    token = await runtime.db.read(check_token, query.token)
    address = await runtime.bus.call(token.host, FindConsole(guest_id=token.server_id), timeout_s=10)
    try:
        reader, writer = await asyncio.open_unix_connection(address.path)
    except OSError as error:
        raise Unavailable(f"The screen of instance {token.server_id} cannot be reached: {error.strerror}.") from error
    wants = socket.scope.get("subprotocols", [])
    await socket.accept("binary" if "binary" in wants else None)
    await _bridge(socket, reader, writer)


async def _bridge(socket: Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side is done."""
    from starlette.websockets import WebSocketDisconnect  # only whoever opens a console pays for it

    async def from_guest() -> None:
        while chunk := await reader.read(CHUNK):
            await socket.send_bytes(chunk)

    async def from_client() -> None:
        while True:
            writer.write(await socket.receive_bytes())
            await writer.drain()

    tasks = [asyncio.create_task(from_guest()), asyncio.create_task(from_client())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        writer.close()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, ConnectionError):
                await task
        with contextlib.suppress(RuntimeError):  # the client has closed it already
            await socket.close()
