"""Copies of a whole fake cloud under ``STATE/snapshots/NAME``: the database, keys, objects, what fake hosts hold.

Rule: a snapshot appears whole or not at all (a rename), and is never changed; objects' files are linked, since no
file in the object store is written again once it is there.
"""

import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel import clock
from pileus.kernel.config import Configuration
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.service import Service
from pileus.services.object_store import public as object_store

START = "start"
"""The snapshot to which ``reset`` goes back; ``pileus up`` makes it when the cloud is new."""
FOLDER, DATABASE, ABOUT = "snapshots", "database", "snapshot.json"
MOST = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a snapshot: when it was made, by its own cloud's clock, and how far that was ahead."""

    saved_at: str
    ahead_s: float = 0.0


class Snapshots:
    """The snapshots of one cloud.  Its methods work on files at once and are run where nobody waits for them."""

    def __init__(self, config: Configuration, services: list[Service], database: Path) -> None:
        self._state = config.state
        self._database = database
        self._folder = config.state / FOLDER
        self._objects = object_store.folder_of(config)
        self._names = [service.type for service in services] + ["credentials.json"]
        if not self._objects.is_relative_to(config.state):
            self._names.append("objects")

    def require(self, name: str) -> Path:
        """Return where a snapshot lies; raise NotFound when there is none of that name."""
        path = self._path(name)
        if not path.is_dir():
            there = ", ".join(self._listed()) or "none"
            raise NotFound(f"There is no snapshot {name}; there are: {there}.")
        return path

    def described(self) -> list[dict[str, Any]]:
        """Return name, time and size in bytes of each, by name."""
        found = []
        for name in self._listed():
            about = self._about(self._folder / name)
            size = sum(path.stat().st_size for path in (self._folder / name).rglob("*") if path.is_file())
            found.append({"name": name, "saved_at": about.saved_at, "bytes": size})
        return found

    def save(self, name: str, ahead_s: float) -> None:
        """Copy everything; called while nobody writes into the database.

        What hosts and the object store do meanwhile is as after a crash at this moment: the database, copied first,
        says what is left to do.
        """
        target = self._path(name)
        if not target.is_dir() and len(self._listed()) >= MOST:
            raise Conflict(f"There are {MOST} snapshots already; delete some.")
        made = self._new_folder("saving")
        _copy_database(self._database, made / DATABASE)
        for part in self._names:
            _copy(self._where(part), made / part, link=self._where(part) == self._objects)
        about = About(saved_at=clock.iso(clock.now()), ahead_s=ahead_s)
        (made / ABOUT).write_bytes(msgspec.json.encode(about))
        self._put(made, target)

    def stage(self, name: str) -> tuple[Path, About]:
        """Copy a snapshot to where ``put_back`` takes it from."""
        found = self.require(name)
        staged = self._new_folder("loading")
        shutil.copyfile(found / DATABASE, staged / DATABASE)
        for part in self._names:
            _copy(found / part, staged / part, link=self._where(part) == self._objects)
        return staged, self._about(found)

    def put_back(self, staged: Path) -> None:
        """Put what was staged in the place of what is there; nobody may have any of it open."""
        old = self._new_folder("old")
        for suffix in ("", "-wal", "-shm"):
            there = self._database.with_name(self._database.name + suffix)
            if there.exists():
                there.rename(old / there.name)
        (staged / DATABASE).rename(self._database)
        self._database.chmod(0o600)
        for part in self._names:
            where = self._where(part)
            if where.exists():
                where.rename(old / f"{part}.part")
            if (staged / part).exists():
                (staged / part).rename(where)
        shutil.rmtree(staged)
        shutil.rmtree(old)

    def delete(self, name: str) -> None:
        """Remove one; the start stays, since ``reset`` needs it."""
        if name == START:
            raise Conflict(f"The snapshot {START} is what reset goes back to; it can be saved anew, not deleted.")
        self._put(None, self.require(name))

    def _listed(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))

    def _about(self, path: Path) -> About:
        return msgspec.json.decode((path / ABOUT).read_bytes(), type=About)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Invalid("A snapshot's name has up to 64 letters, digits, dots, dashes and underscores.")
        return self._folder / name

    def _where(self, part: str) -> Path:
        return self._objects if part in ("objects", self._objects.name) else self._state / part

    def _new_folder(self, name: str) -> Path:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        made = self._folder / f".{name}"
        shutil.rmtree(made, ignore_errors=True)  # of a process that died
        made.mkdir()
        return made

    def _put(self, made: Path | None, target: Path) -> None:
        gone = self._folder / ".gone"
        shutil.rmtree(gone, ignore_errors=True)
        if target.exists():
            target.rename(gone)
        if made is not None:
            made.rename(target)
        shutil.rmtree(gone, ignore_errors=True)


def _copy_database(source: Path, target: Path) -> None:
    """Copy what is committed, by SQLite's own means; the copy need not survive a loss of power."""
    target.touch(mode=0o600)
    there, here = sqlite3.connect(target), sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    try:
        there.execute("pragma synchronous=off")
        here.backup(there)
    finally:
        here.close()
        there.close()


def _copy(source: Path, target: Path, *, link: bool) -> None:
    """Copy a file or a folder with all in it; what vanishes meanwhile was not to stay."""
    try:
        if source.is_dir():
            target.mkdir(mode=0o700)
            for path in os.scandir(source):
                _copy(Path(path.path), target / path.name, link=link)
        elif source.is_file():
            if link:
                os.link(source, target)
            else:
                shutil.copy2(source, target)
    except FileNotFoundError:
        return
