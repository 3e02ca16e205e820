"""How control plane and agents speak over ZeroMQ: frames, addresses, limits.

Rule: an agent dials every control process and is known by its host's name; either side may vanish at any frame.
"""

import os
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

REGISTER, BEAT, ANSWER, PUBLISH = b"R", b"B", b"A", b"P"
"""From agents: a ``Registration``; ``Beat``; an ``Answer``; a topic and a message."""
COMMAND, TIME, WHO = b"C", b"T", b"W"
"""From the control plane: an ``Envelope``; the answer to a beat; "I do not know you, register"."""

QUEUE = 1000
"""Messages that wait for one peer; beyond it senders are refused."""
LONGEST_SOCKET_PATH = 100
"""Bytes of a unix socket's path that every kernel takes (``sun_path`` holds 108, zmq appends nothing)."""


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """A sign of life; ``at`` is the agent's clock, ``heard_at`` the control plane's in its answer."""

    at: float
    heard_at: float = 0.0


class SocketFolder:
    """The folder of unix sockets of one state directory, also when its path is too long for a socket's address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    def address(self, name: str) -> str:
        """Return the ZeroMQ address of the socket called ``name``."""
        path = str(self.folder / name)
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            if self._descriptor is None:
                self._descriptor = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
            path = f"/proc/self/fd/{self._descriptor}/{name}"
        return f"ipc://{path}"

    def names(self) -> list[str]:
        """Return the sockets that are there."""
        return sorted(path.name for path in self.folder.glob("*.sock"))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def prepare(socket: zmq.asyncio.Socket) -> None:
    """Set what both sides set: bounded queues, nothing kept at close, dead peers noticed within seconds."""
    socket.set_hwm(QUEUE)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6000)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.setsockopt(zmq.MAXMSGSIZE, 64 * 1024 * 1024)
