"""Keys that are files of the state directory, rotated by number.

Rule: 0 is the next key, the highest is in use, the others only open what they once sealed.  Rotation makes 0 the
highest and adds a new 0, so that whoever reads the folder a little late knows the key already.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pileus.kernel import clock
from pileus.kernel.files import write_durably


class KeyFolder:
    """Keys in a folder, made and used as a subclass says; another process's rotation is noticed."""

    def __init__(self, folder: Path, max_active: int | None) -> None:
        self.folder = folder
        self._max_active = max_active
        self._stamp = -1
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            for number in (0, 1) if not self._numbers() else (0,):
                if not (self.folder / str(number)).exists():
                    self._write(number)
        self._load()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this cloud from changing the keys meanwhile."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdigit())

    def _write(self, number: int) -> None:
        write_durably(self.folder / str(number), self._make())

    def _load(self) -> None:
        with self._locked():
            self._stamp = self.folder.stat().st_mtime_ns
            keys = [(self.folder / str(number)).read_bytes() for number in reversed(self._numbers())]
        self._use(keys)

    def _make(self) -> bytes:
        """Return a new key as its file holds it."""
        raise NotImplementedError

    def _use(self, keys: list[bytes]) -> None:
        """Use these keys from now on, the newest first and the next one last."""
        raise NotImplementedError

    def rotate(self, older_than_s: float = 0) -> bool:
        """Let the next key sign from now on, make a new next one, forget those beyond the number kept (if any).

        Nothing happens, and False is returned, when the last rotation is not ``older_than_s`` seconds ago.
        """
        with self._locked():
            if clock.now().timestamp() - (self.folder / "0").stat().st_mtime < older_than_s:
                return False
            (self.folder / "0").rename(self.folder / str(self._numbers()[-1] + 1))
            self._write(0)
            signing = self._numbers()[1:]
            kept = len(signing) if self._max_active is None else max(1, self._max_active - 1)
            for number in signing[:-kept]:
                (self.folder / str(number)).unlink()
        self._load()
        return True

    def refresh(self) -> bool:
        """Read the keys again when the folder has changed; tell whether it had."""
        if self.folder.stat().st_mtime_ns == self._stamp:
            return False
        self._load()
        return True
