"""The metadata service: what a guest finds at 169.254.169.254, forwarded by the proxy on its host.

Rule: the proxy says, signed, through which network and from which address a request came; that alone tells which
server asks.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Forbidden, Invalid, NotFound
from pileus.kernel.rest.http import Receive, Request, Response, Send
from pileus.kernel.runtime import Runtime
from pileus.services.compute import guest_network, metadata
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store

PATH = "/metadata"
PASSWORD_LIMIT = 4096
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def metadata_app(runtime: Runtime) -> Asgi:
    """Return the application that answers guests."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request = Request.from_scope(scope, receive)
        try:
            response = await _answer(runtime, request)
        except ApiError as error:
            response = Response(error.status, f"{error.message}\n".encode(), media_type=TEXT)
        await response.send(send, head=request.method == "HEAD")

    return app


async def _answer(runtime: Runtime, request: Request) -> Response:
    header, source, address = guest_network.proven_source(runtime, request.headers)
    segments = [part for part in request.path.split("/")[2:] if part]
    if request.method == "POST" and segments[-1:] == ["password"]:
        body = await request.read(PASSWORD_LIMIT)
        await runtime.db.write(_post_password, header, source, address, body)
        return Response(200, media_type=TEXT)
    if request.method not in ("GET", "HEAD"):
        raise Invalid(f"{request.method} is not possible on metadata.", status=405)
    return await runtime.db.read(_get, header, source, address, segments)


def _find(tx: Tx, header: str, source: str, address: str) -> Server:
    server = guest_network.server_at(tx, header, source, address)
    if server is None:
        raise NotFound(f"No server has the address {address} there.")
    return server


def _post_password(tx: Tx, header: str, source: str, address: str, body: bytes) -> None:
    server = _find(tx, header, source, address)
    if server.password:
        raise Forbidden("The password has been set already: it can be set once.", status=409)
    server.password = body.decode("ascii", errors="replace")


def _get(tx: Tx, header: str, source: str, address: str, segments: list[str]) -> Response:
    server = _find(tx, header, source, address)
    match segments:
        case []:
            return _text("\n".join(metadata.EC2_VERSIONS))
        case ["openstack"]:
            return _text("\n".join(metadata.VERSIONS))
        case ["openstack", version, *rest] if version in metadata.VERSIONS:
            return _openstack(tx, server, rest)
        case [version, *rest] if version in metadata.EC2_VERSIONS:
            return _ec2(tx, server, rest)
    raise NotFound(f"There is no metadata at /{'/'.join(segments)}.")


def _openstack(tx: Tx, server: Server, rest: list[str]) -> Response:
    names = ["meta_data.json", "network_data.json", "password", "vendor_data.json", "vendor_data2.json"]
    match rest:
        case []:
            return _text("\n".join(sorted([*names, "user_data"] if server.user_data else names)))
        case ["meta_data.json"]:
            return _json(metadata.meta_data(tx, server, store.list_nics(tx, server.id)))
        case ["network_data.json"]:
            return _json(guest_network.network_data(tx, server.id))
        case ["vendor_data.json" | "vendor_data2.json"]:
            return _json({})
        case ["password"]:
            return _text(server.password or "")
        case ["user_data"] if server.user_data:
            return Response(200, metadata.user_data(server), media_type="application/octet-stream")
    raise NotFound(f"There is no metadata called {'/'.join(rest)}.")


def _ec2(tx: Tx, server: Server, rest: list[str]) -> Response:
    if not rest:
        return _text("meta-data/\nuser-data" if server.user_data else "meta-data/")
    if rest == ["user-data"] and server.user_data:
        return Response(200, metadata.user_data(server), media_type="application/octet-stream")
    if rest[0] != "meta-data":
        raise NotFound(f"There is no metadata called {'/'.join(rest)}.")
    node: Any = metadata.ec2_meta_data(tx, server)
    for name in rest[1:]:
        if not isinstance(node, dict) or name not in node:
            raise NotFound(f"There is no metadata called {'/'.join(rest)}.")
        node = node[name]
    return _text(_listing(node) if isinstance(node, dict) else str(node))


def _listing(node: dict[str, Any]) -> str:
    """Return the names in a folder as EC2 lists them: folders with a slash, keys as ``0=name``."""
    lines = []
    for name, value in sorted(node.items()):
        if name == "_name":
            continue
        if isinstance(value, dict):
            lines.append(f"{name}={value['_name']}" if "_name" in value else f"{name}/")
        else:
            lines.append(name)
    return "\n".join(lines)


def _text(text: str) -> Response:
    return Response(200, text.encode(), media_type=TEXT)


def _json(data: Any) -> Response:
    return Response(200, msgspec.json.encode(data), media_type=JSON)
