"""One QMP connection. One rule: whatever goes wrong on it comes out as a sentence about the guest."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from qemu.qmp import EventListener, ExecInterruptedError, QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError

from pileus.kernel.errors import ApiError, Unavailable

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # a guest that ends is no error of ours

Event = dict[str, Any]
_GOODBYE_S = 5.0


class Refused(ApiError):
    """QEMU understood a command and would not obey it; the message is QEMU's own."""


class Monitor:
    """A guest's own monitor: commands with a time limit, and its events in order."""

    def __init__(self, guest_id: str) -> None:
        self._guest_id = guest_id
        self._client = QMPClient()  # without a name: it would have a logger of its own, and loggers stay for ever
        self._events: asyncio.Task[None] | None = None

    async def connect(self, path: str, handle: Callable[[Event], None], timeout_s: float = 20.0) -> None:
        """Connect, greet, and call `handle` with every event from then on."""
        try:
            await asyncio.wait_for(self._client.connect(path), timeout_s)
        except (QMPError, OSError, TimeoutError) as error:
            raise Unavailable(f"QEMU of guest {self._guest_id} does not answer on its monitor: {error}") from error
        listener = EventListener()
        self._client.register_listener(listener)
        self._events = asyncio.create_task(self._listen(listener, handle))

    async def _listen(self, listener: EventListener, handle: Callable[[Event], None]) -> None:
        async for event in listener:
            handle(dict(event))

    async def execute(self, command: str, timeout_s: float = 30.0, /, **arguments: Any) -> Any:
        """Run a command and return its answer; raise Refused if QEMU says no, Unavailable if it says nothing."""
        try:
            return await asyncio.wait_for(self._client.execute(command, arguments or None), timeout_s)
        except ExecuteError as error:
            raise Refused(f"QEMU of guest {self._guest_id} refused {command}: {error}") from error
        except TimeoutError as error:
            raise Unavailable(
                f"QEMU of guest {self._guest_id} did not answer {command} within {timeout_s:.0f} seconds."
            ) from error
        except (ExecInterruptedError, QMPError, OSError) as error:
            raise Unavailable(f"QEMU of guest {self._guest_id} ended while it was told {command}.") from error

    async def send_file(self, name: str, fd: int) -> None:
        """Hand an open file to QEMU, which knows it by `name` from then on (`getfd`)."""
        connected = self._client._writer  # no public way on Python 3.11: qemu.qmp's own breaks under uvloop
        assert connected is not None
        with socket.socket(fileno=os.dup(connected.get_extra_info("socket").fileno())) as channel:
            channel.setblocking(True)
            channel.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("@i", fd))])
        await self.execute("getfd", fdname=name)

    async def close(self) -> None:
        """Let go of the connection; the guest stays."""
        if self._events:
            self._events.cancel()
        try:
            await asyncio.wait_for(self._client.disconnect(), _GOODBYE_S)
        except (QMPError, OSError, EOFError, TimeoutError):
            return  # it had gone before us, or hangs
