"""Connections that cannot be held for nothing: bounded in number, in bytes and in the time their clients may take.

Rule: a request pays for none of it; one task looks at all connections every other second.
"""

import asyncio
import logging
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pileus.kernel.rest.limits import LimitSettings

log = logging.getLogger("pileus.api")

LOOK_EVERY_S = 2.0
PROGRESS_BYTES = 16 << 10
LEAST_RATE = 256
"""Bytes a second of a request's body, on average after its first minute."""
ANSWERED_S = 5.0
"""How long a body may go on that was answered (refused) before its end."""
CLOSED_AT_ONCE = 64
MOST_HEADERS = 256


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with an eye on clients that take their time or more than their share."""

    limits: ClassVar[LimitSettings] = LimitSettings()

    in_head = False
    """Whether a request's head has begun and is not complete."""
    in_body = False
    head_bytes = 0
    since = 0.0
    """When the connection, or the request under way, began."""
    touched = 0.0
    """When the client last sent something."""
    body_bytes = 0
    moved_at = 0.0
    """When the client last took a piece of an answer."""
    unsent = 0
    refused_with = 400

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.since = self.touched = self.moved_at = self.loop.time()
        if len(self.connections) > self.limits.connections and not self._make_room():
            self._refuse(503, "There are too many connections; try again in a moment.", "retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        self.touched = self.loop.time()
        if len(data) > self.limits.head_bytes:
            self.head_bytes = -1  # it may hold a whole head that is too large: count it when it is complete
        super().data_received(data)
        if self.in_head and self.head_bytes >= 0:
            self.head_bytes += len(data)
        if self.in_head and (self.head_bytes < 0 or self.head_bytes > self.limits.head_bytes):
            self._refuse(431, f"The request's head is larger than {self.limits.head_bytes} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head, self.since, self.body_bytes = True, self.touched, 0
        self.head_bytes = min(self.head_bytes, 0)

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.head_bytes < 0 and self._head_size() > self.limits.head_bytes:
            self.refused_with = 431
            raise ValueError("the head is too large")  # the parser turns it into a refusal
        if len(self.headers) > MOST_HEADERS:
            self.refused_with = 431
            raise ValueError("there are too many headers")
        self._require_one_host()
        self.head_bytes = 0
        self.in_body = True
        super().on_headers_complete()

    def _require_one_host(self) -> None:
        """Refuse what two readers may understand differently (RFC 9112, 3.2); HTTP/0.9 has no headers at all."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        assert self.parser is not None
        version = self.parser.get_http_version()
        if hosts > 1 or (hosts == 0 and version != "1.0"):
            raise ValueError(f"HTTP/{version} needs exactly one header Host")

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.in_body, self.head_bytes = False, 0
        super().on_message_complete()

    def resume_writing(self) -> None:
        self.moved_at = self.loop.time()
        super().resume_writing()

    def on_response_complete(self) -> None:
        self.since = self.moved_at = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(self.refused_with, msg)

    def _refuse(self, status: int, sentence: str, headers: str = "") -> None:
        if self.transport.is_closing():
            return
        text = sentence.encode()
        head = f"content-type: text/plain\r\ncontent-length: {len(text)}\r\nconnection: close\r\n{headers}\r\n"
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(STATUS_LINE[status] + head.encode() + text)
        self.transport.close()

    def _make_room(self) -> bool:
        """Close the connections that have been idle longest; say whether there were any."""
        idle = [other for other in self.connections if isinstance(other, BoundedProtocol) and other.is_idle]
        idle = [other for other in idle if other is not self]
        idle.sort(key=lambda other: other.touched)
        for other in idle[:CLOSED_AT_ONCE]:
            other.transport.close()
            self.connections.discard(other)
        return bool(idle)

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def complaint(self, now: float) -> str | None:
        """Return why the client is to be cut off, None when it behaves."""
        limits = self.limits
        buffered = self.transport.get_write_buffer_size()
        if buffered <= self.unsent - PROGRESS_BYTES or buffered == 0:
            self.moved_at = now
        if buffered <= self.unsent - PROGRESS_BYTES or buffered > self.unsent or buffered == 0:
            self.unsent = buffered
        if buffered and now - self.moved_at > limits.stall_s:
            return f"it took none of {buffered} bytes for {limits.stall_s:g} s"
        if self.is_idle:
            if self.in_body and now - self.since > min(limits.body_s, ANSWERED_S):
                return "it went on sending a body that had been answered"
            if (self.in_head or self.cycle is None) and now - self.since > limits.head_s:
                return f"its request's head was not complete in {limits.head_s:g} s"
            return None
        if self.in_body and not self.flow.read_paused:
            if now - self.touched > limits.body_s:
                return f"its request's body stopped for {limits.body_s:g} s"
            elapsed = now - self.since
            if elapsed > 60 and self.body_bytes < LEAST_RATE * elapsed:
                return f"its request's body came at less than {LEAST_RATE} bytes a second"
        return None


def bounded(limits: LimitSettings) -> type[BoundedProtocol]:
    """Return the protocol with these limits."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits})


async def watch_connections(server: Any, limits: LimitSettings) -> None:
    """Cut off clients that hold a connection for nothing, for as long as the server runs."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        look(list(server.server_state.connections), limits, asyncio.get_running_loop().time())


def look(connections: list[Any], limits: LimitSettings, now: float) -> int:
    """Look at every connection once; return how many were cut off."""
    ours = [one for one in connections if isinstance(one, BoundedProtocol)]
    cut = {id(one): (one, why) for one in ours if (why := one.complaint(now)) is not None}
    unsent = sum(one.unsent for one in ours if id(one) not in cut)
    for one in sorted((one for one in ours if one.unsent and id(one) not in cut), key=lambda one: one.moved_at):
        if unsent <= limits.unsent_bytes:
            break
        unsent -= one.unsent
        cut[id(one)] = (one, "answers that wait for their clients take too much memory, and it was the slowest")
    for one, why in cut.values():
        log.info("a client was cut off: %s", why, extra={"client": one.client and one.client[0]})
        one.transport.abort()
    return len(cut)
