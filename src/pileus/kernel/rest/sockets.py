"""Websockets: declared like routes, served by ``async`` handlers that take the open socket."""

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from pileus.kernel.errors import ApiError, NotFound
from pileus.kernel.rest.http import Receive, Request, Send, path_segments

if TYPE_CHECKING:
    from pileus.kernel.rest.app import App

log = logging.getLogger("pileus.api")
REFUSED = 1008
"""Close code "policy violation": https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1"""


async def serve_socket(
    app: "App", request: Request, scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    """Find the websocket route, authorise as for a request, and hand the socket to its handler."""
    ctx = app.context(request)
    socket = WebSocket(scope, receive, send)
    try:
        segments = path_segments(request.path)
        tree = app.trees.get(segments[0])
        found = tree.find(segments[1:]) if tree is not None else None
        endpoint = None
        if found is not None:
            node, request.params = found
            endpoint = next((e for e in node.endpoints.get("GET", ()) if e.route.websocket), None)
        if endpoint is None:
            raise NotFound(f"There is no websocket at {request.path}.")
        app.websockets.enter()
        try:
            arguments = await app.runtime.db.read(app.prepare, endpoint, request, ctx, None)
            await endpoint.route.handler(**arguments, socket=socket)
        finally:
            app.websockets.leave()
    except WebSocketDisconnect:
        log.info("websocket closed by its client", extra={"request_id": ctx.request_id})
    except ApiError as error:
        log.info("websocket refused: %s", error.message, extra={"request_id": ctx.request_id})
        if error.status == 503 and "websocket.http.response" in scope.get("extensions", {}):
            text, headers = error.message, error.headers
            return await socket.send_denial_response(PlainTextResponse(text, error.status, headers))
        await socket.close(REFUSED, error.message[:120])
