"""One HTTP exchange over ASGI.  Rule: bodies stream; only small JSON bodies are ever held whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import msgspec

from pileus.kernel.errors import Invalid, TooLarge
from pileus.kernel.rest import bounds

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_LIMIT = 1 << 20
"""Bytes of a JSON body at most."""


class Socket(Protocol):
    """An open websocket as its handler uses it; Starlette's, which is imported when the first one is opened."""

    scope: MutableMapping[str, Any]

    async def accept(self, subprotocol: str | None = None) -> None: ...
    async def receive_bytes(self) -> bytes: ...
    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class Disconnected(Exception):
    """The client went away in the middle of its request."""


@dataclass(slots=True)
class Request:
    """What the client sent.  ``headers`` has lower-case names; repeated headers are joined with commas."""

    method: str
    path: str
    headers: dict[str, str]
    query_string: bytes
    scheme: str
    source_ip: str | None
    root: str = ""
    params: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    receive: Receive | None = None
    through_proxy: bool = False
    """A proxy of the operator's own sent it: what its headers say of the client counts."""

    @classmethod
    def from_scope(cls, scope: MutableMapping[str, Any], receive: Receive | None) -> "Request":
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        raw_path = scope.get("raw_path")
        path = raw_path.decode("latin-1").partition("?")[0] if raw_path else scope["path"]
        client = scope.get("client")
        return cls(
            scope.get("method", "GET"),
            path,
            headers,
            scope.get("query_string", b""),
            scope.get("scheme", "http"),
            client[0] if client else None,
            receive=receive,
        )

    @property
    def base_url(self) -> str:
        """Return ``http://host:port`` as the client sees it; of proxies only a trusted one is believed."""
        forwarded = self.headers if self.through_proxy else {}
        # A row of proxies makes lists; the first entry is what the client itself used.
        scheme = forwarded.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        if scheme not in ("http", "https"):
            scheme = {"ws": "http", "wss": "https"}.get(self.scheme, self.scheme)
        host = forwarded.get("x-forwarded-host", "").partition(",")[0].strip() or self.headers.get("host", "127.0.0.1")
        return f"{scheme}://{host}"

    def query_items(self) -> list[tuple[str, str]]:
        """Return the parameters of the URL in order, decoded."""
        count = self.query_string.count(b"&") + 1
        if count > bounds.PARAMETERS:
            raise Invalid(
                f"The URL has {count} parameters; at most {bounds.PARAMETERS} are accepted: ask for less at once."
            )
        try:
            items = parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True)
        except ValueError as error:
            raise Invalid(f"The query string cannot be read: {error}.") from error
        for name, value in items:
            if len(value) > bounds.PARAMETER:
                raise Invalid(
                    f"The parameter '{name[:64]}' of the URL has {len(value)} characters, more than {bounds.PARAMETER}."
                )
        return items

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raise Disconnected when the client goes away before its end."""
        if self.body is not None:
            yield self.body
            return
        assert self.receive is not None
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """Return the whole body; raise TooLarge beyond ``limit`` bytes."""
        if self.body is None:
            declared = self.headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > limit:
                raise TooLarge(f"The request body has {declared} bytes; at most {limit} are accepted here.")
            chunks, size = [], 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"The request body is larger than the {limit} bytes accepted here.")
                chunks.append(chunk)
            self.body = b"".join(chunks)
        return self.body

    def json(self) -> Any:
        """Return the body that ``read`` fetched, decoded; an empty one is None."""
        if not self.body:
            return None
        try:
            raw = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"The request body is not valid JSON: {error}.") from error
        bounds.check(raw)
        return raw


@dataclass(slots=True)
class Response:
    """What goes back.  ``body`` is bytes, or an async iterable of them that is sent as the client takes it."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    media_type: str | None = "application/json"
    length: int | None = None
    """Content-Length of a streamed body, when known."""
    when_ended: Any = None
    """A ``WhenEnded`` whose operation is awaited before anything is sent."""

    async def send(self, send: Send, *, head: bool = False, receive: Receive | None = None) -> None:
        """Send it; for HEAD only its headers.  A streamed body ends when the client leaves, and is always closed."""
        body = self.body
        headers = self.headers
        length = len(body) if self.length is None and isinstance(body, bytes) else self.length
        if length is not None and self.status != 204:
            headers = [*headers, ("Content-Length", str(length))]
        if self.media_type is not None and (body or self.length is not None or self.status not in (204, 304)):
            headers = [*headers, ("Content-Type", self.media_type)]
        start = {"type": "http.response.start", "status": self.status, "headers": encode_headers(headers)}
        if isinstance(body, bytes):
            await send(start)
            await send({"type": "http.response.body", "body": b"" if head else body})
            return
        gone = asyncio.ensure_future(_gone(receive)) if receive is not None and not head else None
        try:
            await send(start)
            if not head:
                async for chunk in body:
                    if gone is not None and gone.done():
                        return  # the server swallows what is sent to nobody: stop reading it from the disk
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            if gone is not None:
                gone.cancel()
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()


async def _gone(receive: Receive) -> None:
    """Return when the client has left; what it still sends meanwhile is passed over."""
    while (await receive())["type"] != "http.disconnect":
        continue


def encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI wants them; line breaks cannot be smuggled in."""
    return [
        (name.lower().encode("latin-1"), value.replace("\r", " ").replace("\n", " ").encode("utf-8"))
        for name, value in headers
    ]


def json_response(data: Any, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return ``data`` as a JSON answer."""
    return Response(status, msgspec.json.encode(data), headers or [])


def path_segments(path: str) -> list[str]:
    """Return the decoded segments of a path; a slash inside a segment survives as ``%2F`` did."""
    return [unquote(segment) for segment in path.split("/")[1:]]
