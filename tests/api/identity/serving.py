"""A cloud on a real port, for clients that open connections of their own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from pileus.kernel.runtime import Runtime


@asynccontextmanager
async def served(runtime: Runtime) -> AsyncIterator[str]:
    """Yield the address of the cloud's Identity."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(runtime.app, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/identity/v3"
        finally:
            server.should_exit = True
            await task
