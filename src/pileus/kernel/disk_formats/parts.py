"""What an inspector keeps of an image, and what a reader of one format makes of it."""

import struct
from dataclasses import dataclass

SECTOR = 512


class UnsafeImage(Exception):
    """The image points at something outside itself, or is damaged; the message says where."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes say: the format's name, the size in bytes that a guest would see, whether a key is needed."""

    format: str
    virtual_size: int
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an image that tell what it is.

    ``whole``: all of it has arrived; before that ``tail`` and ``window`` mean nothing and ``size`` is what came so far.
    """

    head: bytes
    window: bytes
    tail: bytes
    size: int
    whole: bool

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Read numbers at ``offset`` of the head.  Raises struct.error where it is shorter."""
        return struct.unpack_from(layout, self.head, offset)
