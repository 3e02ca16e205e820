"""A small keep-alive HTTP client for measuring: the less it costs, the less it disturbs what it measures."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec


class Connection:
    """One connection, kept while the server keeps it; answers with Content-Length only, which is what Pileus sends."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **headers}.items())
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> "Answer":
        """Send one request and return its answer; a closed connection is opened again."""
        if self._writer is None or self._reader is None or self._writer.is_closing() or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        payload = b"" if body is None else msgspec.json.encode(body)
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        kind = "Content-Type: application/json\r\n" if payload else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{extra}{kind}Content-Length: {len(payload)}\r\n\r\n"
        self._writer.write(head.encode() + payload)
        raw = await self._reader.readuntil(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        length = int(found.get("content-length", "0"))
        content = await self._reader.readexactly(length) if length and method != "HEAD" else b""
        if found.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(lines[0].split()[1]), found, content)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Answer(msgspec.Struct):
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def expect(self, *statuses: int) -> "Answer":
        """Raise unless the status is one of these."""
        if self.status not in statuses:
            raise RuntimeError(f"HTTP {self.status}: {self.body[:500].decode(errors='replace')}")
        return self
