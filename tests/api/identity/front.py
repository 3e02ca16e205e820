"""A cloud on real sockets, and a proxy in front of it that ends TLS and hands over the client's certificate."""

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn

from pileus.kernel.runtime import Runtime

HEADER = "X-Client-Certificate"


@contextlib.asynccontextmanager
async def served(runtime: Runtime) -> AsyncIterator[int]:
    """Serve a cloud on a free port of loopback; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(runtime.app, log_config=None, lifespan="off", proxy_headers=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def proxied(port: int, certificate: Path, key: Path, clients: Path) -> AsyncIterator[int]:
    """End TLS in front of a port; clients must show a certificate that ``clients`` vouches for; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(clients))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line for line in head.decode("latin-1").split("\r\n")[:-2] if _kept(line)]
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            lines += [f"{HEADER}: {base64.b64encode(shown).decode()}", "X-Forwarded-Proto: https", "Connection: close"]
            behind, ahead = await asyncio.open_connection("127.0.0.1", port)
            ahead.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            pump = asyncio.create_task(_pump(reader, ahead))
            await _pump(behind, writer)
            pump.cancel()
            ahead.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _kept(line: str) -> bool:
    return line.partition(":")[0].strip().lower() not in (HEADER.lower(), "connection", "x-forwarded-proto")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
