"""Locks that live exactly as long as the process that holds them, and name it.

They are record locks of POSIX: no child inherits them, the kernel takes them away with the process however that ends,
and ``F_GETLK`` says who holds one without taking it, so looking never stands in the way of a start.  Rule: such a
lock falls with *any* descriptor of its file that its process closes, so only this module opens these files.
"""

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = "hhqqi"
"""``struct flock`` of Linux on 64 bits: type, whence, start, length, pid."""
_held: dict[str, int] = {}
"""The descriptors of the locks that this process holds, by path."""


def take(path: Path, *, wait: bool = False) -> bool:
    """Take a lock until this process ends or releases it; return False when another process holds it.

    With ``wait`` it is waited for.  Raises OSError where the file can be neither made nor opened.
    """
    if str(path) in _held:
        return True
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        if _is(path, descriptor):
            _held[str(path)] = descriptor
            return True
        os.close(descriptor)  # its last holder has removed the file meanwhile: that lock keeps none out


def release(path: Path, *, remove: bool = False) -> None:
    """Give a lock back; with ``remove`` its file goes first, while no other can hold it."""
    descriptor = _held.pop(str(path), None)
    if descriptor is not None:
        if remove:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Return the pid of the process that holds a lock, or None; 0 is one of another pid namespace."""
    if str(path) in _held:
        return os.getpid()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else pid
    finally:
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
