"""What guests write to their serial consoles, in a file QEMU appends to. One rule: it stays bounded."""

from pathlib import Path

LIMIT_BYTES = 1 << 20


def trim(path: Path) -> None:
    """Cut a log that has grown beyond twice its limit down to its end; QEMU appends, so it goes on behind that."""
    if path.stat().st_size > 2 * LIMIT_BYTES:
        rest = tail(path)
        with path.open("r+b") as file:
            file.truncate(0)
        with path.open("ab") as file:
            file.write(rest)


def tail(path: Path) -> bytes:
    """Return the end of a log, at most its limit; nothing if there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LIMIT_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""
