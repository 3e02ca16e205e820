"""A lock between whoever removes bytes and whoever copies all of them.

Rule: while a copy is being made no published byte goes, so that what the copied rows name is there to be copied.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".copying"


@contextmanager
def removing(folder: Path) -> Iterator[bool]:
    """Tell whether bytes may be removed now; no copy begins before the end."""
    descriptor = _open(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


@contextmanager
def copying(folder: Path) -> Iterator[None]:
    """Wait until nobody removes bytes, and have nobody begin to."""
    descriptor = _open(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
